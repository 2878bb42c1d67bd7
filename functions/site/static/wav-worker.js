// A worker: a header and decoded channels in, a WAV file out, a second at a time. It imports nothing: Firefox and Safari
// hold a worker's imports against the Content-Security-Policy of its own file, which allows none.

onmessage = (/** @type {MessageEvent<{header: DataView<ArrayBuffer>, channels: Float32Array[], rate: number}>} */ { data: { header, channels, rate } }) => {
  const frames = channels[0].length;
  /** @type {BlobPart[]} */
  const parts = [header];
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
