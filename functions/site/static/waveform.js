// Waveforms: peaks gathered, peaks drawn. A peak is 0 to 255, as in the service's answers.

/** Peaks of a recording of any length: never more than twice `size` of them; when there are, neighbours are joined. */
export class Envelope {
  #size;
  #peaks = /** @type {number[]} */ ([]);
  #span = 1; // how many blocks one peak stands for
  #count = 0;

  constructor(size = 200) {
    this.#size = size;
  }

  /** Adds the peak (0 to 1) of the next block. */
  add(/** @type {number} */ peak) {
    const value = Math.round(peak * 255);
    if (this.#count++ % this.#span === 0) this.#peaks.push(value);
    else this.#peaks[this.#peaks.length - 1] = Math.max(this.#peaks[this.#peaks.length - 1], value);
    if (this.#peaks.length === 2 * this.#size && this.#count % this.#span === 0) {
      this.#peaks = fit(this.#peaks, this.#size);
      this.#span *= 2;
    }
  }

  get peaks() {
    return fit(this.#peaks, this.#size);
  }
}

/**
 * As many peaks as there is room for; of those that share a place, the highest.
 * @param {number[]} peaks @param {number} room
 */
export function fit(peaks, room) {
  if (peaks.length <= room) return [...peaks];
  return Array.from({ length: room }, (_, i) =>
    Math.max(...peaks.slice(Math.floor((i * peaks.length) / room), Math.floor(((i + 1) * peaks.length) / room))),
  );
}

/** A canvas sized to its box and the screen's pixels, cleared: its context in CSS pixels, its size and its colours. */
function sheet(/** @type {HTMLCanvasElement} */ canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(canvas);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
  return { context, width, height, colour };
}

/** Quiet speech is to be seen too: the ear hears in ratios, so the drawing is not linear either. */
const tall = (/** @type {number} */ peak, /** @type {number} */ height) => Math.max(2, (Math.max(0, peak) / 255) ** 0.65 * height);

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} middle @param {number} height @param {number} width */
function bar(context, x, middle, height, width) {
  context.beginPath();
  context.roundRect(x, middle - height / 2, width, height, width / 2);
  context.fill();
}

/**
 * Draws a whole recording; `played` (0 to 1) of it in another colour.
 * @param {HTMLCanvasElement} canvas @param {number[]} peaks @param {number} played
 */
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

const IDLE_PAUSE = 50; // ms between two pictures while idle: the swell is slow, and a battery is spared

/** The strip that runs while recording: the newest sound under the needle, a line for each second. It breathes when idle. */
export class Tape {
  #canvas;
  #blocks = /** @type {{peak: number, mean: number}[]} */ ([]); // 0 to 255, the newest last
  #count = 0;
  #rate = 20; // blocks a second
  #state = /** @type {'idle' | 'on' | 'paused'} */ ('idle');
  #calm = matchMedia('(prefers-reduced-motion: reduce)');
  #drawnAt = 0;
  #frame = 0;
  #timer = 0;

  constructor(/** @type {HTMLCanvasElement} */ canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#draw(0)).observe(canvas);
    for (const query of [matchMedia('(prefers-color-scheme: dark)'), this.#calm]) query.addEventListener('change', () => this.#wake());
    document.addEventListener('visibilitychange', () => this.#wake());
    this.#wake();
  }

  start(/** @type {number} */ blocksPerSecond) {
    this.#rate = blocksPerSecond;
    this.#blocks = [];
    this.#count = 0;
    this.#drawnAt = 0;
    this.#become('on');
  }

  /**
   * Adds the peak and the loudness (0 to 1) of the next block.
   * @param {number} peak @param {number} mean
   */
  add(peak, mean) {
    this.#count += 1;
    this.#blocks.push({ peak: peak * 255, mean: mean * 255 });
    if (this.#blocks.length > 1000) this.#blocks = this.#blocks.slice(-500);
    // For those who want less motion the strip moves once a second.
    if (this.#calm.matches && this.#count - this.#drawnAt >= this.#rate) this.#draw(0);
  }

  pause(/** @type {boolean} */ paused) {
    this.#become(paused ? 'paused' : 'on');
  }

  stop() {
    this.#become('idle');
  }

  #become(/** @type {'idle' | 'on' | 'paused'} */ state) {
    this.#state = state;
    this.#wake();
  }

  #wake() {
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
    this.#draw(performance.now());
    if (this.#calm.matches || document.hidden || this.#state === 'paused') return;
    const drawNext = () => {
      this.#frame = requestAnimationFrame((now) => {
        this.#draw(now);
        wait();
      });
    };
    const wait = () => {
      if (this.#state === 'idle') this.#timer = setTimeout(drawNext, IDLE_PAUSE);
      else drawNext();
    };
    wait();
  }

  #draw(/** @type {number} */ now) {
    const paper = sheet(this.#canvas);
    const { width } = paper;
    if (!width) return;
    this.#drawnAt = this.#count;
    if (this.#state === 'idle') this.#breathe(paper, this.#calm.matches ? 0 : now);
    else this.#run(paper);
  }

  /**
   * A quiet line of sound, as of a room where nobody speaks yet.
   * @param {ReturnType<typeof sheet>} paper @param {number} now
   */
  #breathe({ context, width, height, colour }, now) {
    const step = 9;
    context.fillStyle = colour('unheard');
    for (let x = step / 2, i = 0; x < width; x += step, i += 1) {
      const swell = Math.sin(i / 5 + now / 900) * Math.sin(i / 17 - now / 2300);
      const envelope = Math.sin((x / width) * Math.PI);
      bar(context, x, height / 2, 4 + Math.abs(swell) * envelope * height * 0.42, 4);
    }
  }

  #run(/** @type {ReturnType<typeof sheet>} */ { context, width, height, colour }) {
    const step = 4;
    const needle = Math.round(width * 0.8);
    const second = this.#rate * step;
    const middle = height / 2;
    context.font = `11px ${getComputedStyle(this.#canvas).fontFamily}`;
    const first = Math.ceil((this.#count * step - needle) / second);
    const last = Math.floor((this.#count * step + width - needle) / second);
    for (let n = first; n <= last; n += 1) {
      const x = Math.round(needle - this.#count * step + n * second) + 0.5;
      context.fillStyle = colour('rule');
      context.fillRect(x - 0.5, 0, 1, height);
      if (n >= 0) {
        context.fillStyle = colour('quiet');
        context.fillText(String(n), x + 5, 15);
      }
    }
    const live = colour('live');
    for (let i = 0; i < this.#blocks.length; i += 1) {
      const x = needle - (i + 1) * step;
      if (x < -step) break;
      const { peak, mean } = this.#blocks[this.#blocks.length - 1 - i];
      context.fillStyle = live;
      context.globalAlpha = 0.35; // how loud it got
      bar(context, x, middle, tall(peak, height - 44), 2.8);
      context.globalAlpha = 1; // how loud it was
      bar(context, x, middle, tall(Math.min(peak, mean * 1.4), height - 44), 2.8);
    }
    context.fillStyle = live;
    context.fillRect(needle, 0, 2, height);
  }
}
