// WAV files: the header of ours, and whether a file is one.

/**
 * The 44 bytes before `bytes` bytes of 16-bit samples (EBU Tech 3285).
 * @param {number} bytes @param {number} sampleRate
 */
export function wavHeader(bytes, sampleRate, channels = 1) {
  const header = new DataView(new ArrayBuffer(44));
  const text = (/** @type {number} */ at, /** @type {string} */ letters) => [...letters].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  text(0, 'RIFF');
  header.setUint32(4, 36 + bytes, true);
  text(8, 'WAVEfmt ');
  header.setUint32(16, 16, true); // size of what follows, up to 'data'
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, channels, true);
  header.setUint32(24, sampleRate, true);
  header.setUint32(28, sampleRate * 2 * channels, true); // bytes a second
  header.setUint16(32, 2 * channels, true); // bytes a frame
  header.setUint16(34, 16, true); // bits a sample
  text(36, 'data');
  header.setUint32(40, bytes, true);
  return header;
}

/** Whether a file begins as a WAV file does; any other is decoded here first. The service has the last word. */
export async function looksLikeWav(/** @type {Blob} */ file) {
  const start = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  return ['RIFF', 'RIFX', 'RF64', 'BW64'].includes(String.fromCharCode(...start));
}
