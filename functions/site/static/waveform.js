// Waveforms: peaks gathered, peaks drawn. A peak is 0 to 255, as in the service's answers.

/** Peaks of a recording of any length: never more than twice `size` of them; when there are, neighbours are joined. */
export class Envelope {
  #size;
  #peaks = [];
  #span = 1; // how many blocks one peak stands for
  #count = 0;

  constructor(size = 200) {
    this.#size = size;
  }

  /** Adds the peak (0 to 1) of the next block. */
  add(peak) {
    const value = Math.round(peak * 255);
    if (this.#count++ % this.#span === 0) this.#peaks.push(value);
    else this.#peaks[this.#peaks.length - 1] = Math.max(this.#peaks.at(-1), value);
    if (this.#peaks.length === 2 * this.#size && this.#count % this.#span === 0) {
      this.#peaks = fit(this.#peaks, this.#size);
      this.#span *= 2;
    }
  }

  get peaks() {
    return fit(this.#peaks, this.#size);
  }
}

/** As many peaks as there is room for; of those that share a place, the highest. */
export function fit(peaks, room) {
  if (peaks.length <= room) return [...peaks];
  return Array.from({ length: room }, (_, i) =>
    Math.max(...peaks.slice(Math.floor((i * peaks.length) / room), Math.floor(((i + 1) * peaks.length) / room))),
  );
}

/** A canvas sized to its box and the screen's pixels, cleared: its context in CSS pixels, its size and its colours. */
function sheet(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  return { context, width, height, colour };
}

/** Quiet speech is to be seen too: the ear hears in ratios, so the drawing is not linear either. */
const tall = (peak, height) => Math.max(2, (Math.max(0, peak) / 255) ** 0.65 * height);

function bar(context, x, middle, height, width) {
  context.beginPath();
  context.roundRect(x, middle - height / 2, width, height, width / 2);
  context.fill();
}

/** Draws a whole recording; `played` (0 to 1) of it in another colour. */
export function drawWhole(canvas, peaks, played = 0) {
  const { context, width, height, colour } = sheet(canvas);
  if (!width) return;
  const shown = fit(peaks, Math.floor(width / 4));
  const step = width / shown.length;
  const [heard, rest] = [colour('heard'), colour('unheard')];
  shown.forEach((peak, i) => {
    context.fillStyle = (i + 0.5) / shown.length <= played ? heard : rest;
    bar(context, i * step, height / 2, tall(peak, height), Math.min(3, step * 0.65));
  });
}

/** Peaks such as a spoken sentence has, for decoration. */
export function sentence(size) {
  const wave = (i, period, shift) => Math.abs(Math.sin(((i + shift) / period) * Math.PI));
  return Array.from({ length: size }, (_, i) => 255 * wave(i, 41, 3) ** 0.6 * wave(i, 13, 1) * (0.25 + 0.75 * wave(i, 2.7, 0)) + 3);
}

/** The strip that runs while recording: the newest sound under the needle, a line for each second. */
export class Tape {
  #canvas;
  #peaks = [];
  #blocks = 0;
  #rate = 20; // blocks a second
  #running = false;
  #calm = matchMedia('(prefers-reduced-motion: reduce)');
  #drawnAt = 0;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
    this.#calm.addEventListener('change', () => this.draw());
  }

  start(blocksPerSecond) {
    this.#rate = blocksPerSecond;
    this.#running = true;
    this.#peaks = [];
    this.#blocks = 0;
    this.draw();
  }

  /** Adds the peak (0 to 1) of the next block. */
  add(peak) {
    this.#blocks += 1;
    this.#peaks.push(peak * 255);
    if (this.#peaks.length > 1000) this.#peaks = this.#peaks.slice(-500);
    // For who wants less motion the strip moves once a second.
    if (this.#calm.matches && this.#blocks - this.#drawnAt < this.#rate) return;
    this.draw();
  }

  stop() {
    this.#running = false;
    this.#peaks = [];
    this.#blocks = 0;
    this.draw();
  }

  draw() {
    const { context, width, height, colour } = sheet(this.#canvas);
    this.#drawnAt = this.#blocks;
    const step = 4;
    const needle = Math.round(width * 0.8);
    const second = this.#rate * step;
    const middle = height / 2;

    context.font = `11px ${getComputedStyle(this.#canvas).fontFamily}`;
    const first = Math.ceil((this.#blocks * step - needle) / second);
    const last = Math.floor((this.#blocks * step + width - needle) / second);
    for (let n = first; n <= last; n += 1) {
      const x = Math.round(needle - this.#blocks * step + n * second) + 0.5;
      context.fillStyle = colour('rule');
      context.fillRect(x - 0.5, 0, 1, height);
      if (n >= 0 && this.#running) {
        context.fillStyle = colour('quiet');
        context.fillText(String(n), x + 5, 15);
      }
    }
    context.fillStyle = colour('rule');
    context.fillRect(0, Math.round(middle), width, 1);
    if (!this.#running) return;

    context.fillStyle = colour('live');
    for (let i = 0; i < this.#peaks.length; i += 1) {
      const x = needle - (i + 1) * step;
      if (x < -step) break;
      bar(context, x, middle, tall(this.#peaks[this.#peaks.length - 1 - i], height - 44), 2.6);
    }
    context.fillRect(needle, 0, 2, height);
  }
}
