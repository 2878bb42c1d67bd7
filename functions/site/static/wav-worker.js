// A worker: decoded channels in, a WAV file out, a second at a time.

import { wavHeader } from './wav.js';

onmessage = (/** @type {MessageEvent<{channels: Float32Array[], rate: number}>} */ { data: { channels, rate } }) => {
  const frames = channels[0].length;
  /** @type {BlobPart[]} */
  const parts = [wavHeader(frames * channels.length * 2, rate, channels.length)];
  for (let from = 0; from < frames; from += rate) {
    const block = new Int16Array(Math.min(rate, frames - from) * channels.length);
    for (let i = 0; i < block.length; i += 1) {
      const level = channels[i % channels.length][from + Math.floor(i / channels.length)];
      block[i] = Math.round(Math.max(-1, Math.min(1, level)) * 32767);
    }
    parts.push(block);
  }
  postMessage(new Blob(parts, { type: 'audio/wav' }));
};
