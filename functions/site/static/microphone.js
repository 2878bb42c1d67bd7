// The microphone: mono 16-bit samples at the rate that the device has.

const CAPTURE = new URL('./capture.js', import.meta.url);
/** How long (ms) the last block is waited for: a context that the system has stopped has none to give. */
const FAREWELL = 2000;
/** How long (ms) the audio context may take to run: without an output device some browsers never start it. */
const START = 8000;
fetch(CAPTURE).catch(() => {}); // so that it is there when the network no longer is: recording needs none

/**
 * Rejects when `signal` aborts, or after `time` ms where one is given.
 * @param {AbortSignal} signal @param {number} [time]
 * @returns {Promise<never>}
 */
function limit(signal, time) {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new DOMException('cancelled', 'AbortError')), { once: true });
    if (time) setTimeout(() => reject(new DOMException('audio does not start', 'stuck')), time);
  });
}

/** The microphones that can be chosen: [{id, name}]. Their names are known once one was allowed. */
export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
  const inputs = devices.filter(({ kind, deviceId, label }) => kind === 'audioinput' && deviceId && label);
  return inputs.filter(({ deviceId }) => deviceId !== 'default').map(({ deviceId, label }) => ({ id: deviceId, name: label }));
}

/**
 * @typedef {{samples: ArrayBuffer, peak: number, mean: number}} Block peak and mean: 0 to 1
 *
 * Opens the microphone (`device`: its id, '' for the default one) and calls onBlock some 20 times a second, and onLost() when the device goes away. Returns {sampleRate, stop()}; stop()
 * returns when the last block was handed over.
 * Throws a DOMException named as getUserMedia's, or 'insecure', 'stuck' or 'AbortError'.
 * @param {{device: string, signal: AbortSignal, onBlock: (block: Block) => void, onLost: () => void}} options
 */
export async function openMicrophone({ device, signal, onBlock, onLost }) {
  if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) {
    throw new DOMException('no microphone without https', 'insecure');
  }
  // The context is made at once, still within the person's gesture: some browsers keep it silent otherwise.
  const context = new AudioContext();
  /** @type {MediaStream | undefined} */
  let stream;
  /** @type {AudioWorkletNode} */
  let node;
  try {
    // What would clean up a telephone call only takes away from a recording.
    /** @type {MediaTrackConstraints} */
    const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
    if (device) audio.deviceId = { exact: device };
    const asked = navigator.mediaDevices.getUserMedia({ audio });
    // An answer that comes after the person gave up opens nothing.
    asked.then((late) => signal.aborted && late.getTracks().forEach((track) => track.stop()), () => {});
    stream = await Promise.race([asked, limit(signal)]);
    await Promise.race([context.audioWorklet.addModule(CAPTURE).then(() => context.resume()), limit(signal, START)]);
    node = new AudioWorkletNode(context, 'capture', { channelCount: 1, channelCountMode: 'explicit' });
    context.createMediaStreamSource(stream).connect(node).connect(context.destination); // unconnected, it may not run
  } catch (error) {
    stream?.getTracks().forEach((track) => track.stop());
    context.close().catch(() => {});
    throw error;
  }
  /** @type {Promise<void>} */
  const over = new Promise((resolve) => {
    node.port.onmessage = ({ data }) => (data ? onBlock(data) : resolve());
  });
  stream.getAudioTracks()[0].onended = onLost;
  // A call or another app may have stopped the context.
  context.onstatechange = () => context.state === 'suspended' && context.resume();

  return {
    sampleRate: context.sampleRate,
    async stop() {
      context.onstatechange = null;
      node.port.postMessage('stop');
      await Promise.race([over, new Promise((resolve) => setTimeout(resolve, FAREWELL))]);
      stream.getTracks().forEach((track) => track.stop());
      await context.close();
    },
  };
}
