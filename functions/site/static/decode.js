// Audio of other formats: whatever the browser can decode becomes a WAV file, 16 bit at 44.1 kHz.

import { wavHeader } from './wav.js';

const RATE = 44_100;
/** The longest (s) that is decoded here: as floating-point stereo three quarters of an hour are a gigabyte. */
export const LONGEST = 45 * 60;

/** The length (s) of a file that the browser can play; NaN where it cannot tell. Throws where it cannot play it. */
function length(/** @type {Blob} */ file) {
  const audio = new Audio();
  audio.preload = 'metadata';
  audio.src = URL.createObjectURL(file);
  return new Promise((resolve, reject) => {
    audio.onloadedmetadata = () => resolve(Number.isFinite(audio.duration) ? audio.duration : NaN);
    audio.onerror = () => reject(new DOMException('not audio', 'not_audio'));
    setTimeout(resolve, 10_000, NaN);
  }).finally(() => URL.revokeObjectURL(audio.src));
}

/**
 * A WAV Blob of a file. Throws a DOMException named 'not_audio' or 'too_long'.
 * @param {Blob} file
 * @returns {Promise<Blob>}
 */
export async function toWav(file) {
  const seconds = await length(file);
  // Where the length is unknown (a WebM recording has none), a minute takes 60 kB at the very least.
  if (seconds > LONGEST || (Number.isNaN(seconds) && file.size > LONGEST * 8_000)) throw new DOMException('too long', 'too_long');
  let decoded;
  try {
    decoded = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new DOMException('not audio', 'not_audio');
  }
  if (decoded.duration > LONGEST) throw new DOMException('too long', 'too_long');
  const channels = Array.from({ length: Math.min(2, decoded.numberOfChannels) }, (_, i) => decoded.getChannelData(i).slice());
  const worker = new Worker(new URL('./wav-worker.js', import.meta.url), { type: 'module' });
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = () => reject(new DOMException('the worker failed', 'not_audio'));
      const header = wavHeader(channels[0].length * channels.length * 2, RATE, channels.length);
      worker.postMessage({ header, channels, rate: RATE }, channels.map(({ buffer }) => buffer));
    });
  } finally {
    worker.terminate();
  }
}
