// Runs on the audio thread: the microphone's samples, as 16-bit blocks with the peak and the loudness of each.

/** Frames a block: some 20 blocks a second, so that the waveform moves evenly. */
const BLOCK = 2048;

class Capture extends AudioWorkletProcessor {
  open = true;
  samples = new Int16Array(BLOCK);
  filled = 0;
  peak = 0;
  energy = 0;

  constructor() {
    super();
    // Any message means: that was all. The last block is as long as it is; then comes null.
    this.port.onmessage = () => {
      this.open = false;
      if (this.filled) this.pass();
      this.port.postMessage(null);
    };
  }

  pass() {
    const { buffer } = this.samples.slice(0, this.filled);
    const mean = Math.sqrt(this.energy / this.filled);
    this.port.postMessage({ samples: buffer, peak: this.peak, mean }, [buffer]);
    this.filled = 0;
    this.peak = 0;
    this.energy = 0;
  }

  process(/** @type {Float32Array[][]} */ [[input]]) {
    if (!this.open) return false;
    for (const value of input ?? []) {
      const level = Math.max(-1, Math.min(1, value));
      this.samples[this.filled++] = Math.round(level * 32767);
      this.peak = Math.max(this.peak, Math.abs(level));
      this.energy += level * level;
      if (this.filled === BLOCK) this.pass();
    }
    return true;
  }
}

registerProcessor('capture', Capture);
