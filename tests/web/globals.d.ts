// What TypeScript's own libraries do not know: Swagger UI, and the audio thread (Web Audio API, 1.32.3 and 1.32.4).
declare const SwaggerUIBundle: { (options: object): void; presets: { apis: unknown } }
declare class AudioWorkletProcessor {
  readonly port: MessagePort
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void
