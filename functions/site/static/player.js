// Plays one recording; whoever begins to play silences the others.

/** @type {Player | null} */
let playing = null;
let silenced = false;

/** While something is recorded nothing plays: the microphone would hear it. */
export function silence(/** @type {boolean} */ on) {
  silenced = on;
  if (on) playing?.pause();
}

export class Player {
  /** @type {HTMLAudioElement | null} */
  #audio = null;
  #source;
  #changed;
  #again = 0; // when the address was last asked for again

  /**
   * @param {() => Promise<string>} source of the address
   * @param {() => void} changed called whenever the position or the state may have changed
   */
  constructor(source, changed) {
    this.#source = source;
    this.#changed = changed;
  }

  get isPlaying() {
    return Boolean(this.#audio && !this.#audio.paused);
  }

  get position() {
    return this.#audio?.currentTime ?? 0;
  }

  /** Whether it is to play and has nothing to play yet. */
  get buffering() {
    return Boolean(this.isPlaying && this.#audio && this.#audio.readyState < 3);
  }

  get failed() {
    return Boolean(this.#audio?.error);
  }

  async #load(at = 0) {
    const audio = new Audio();
    audio.preload = 'metadata';
    for (const event of ['play', 'pause', 'timeupdate', 'seeked', 'ended', 'waiting', 'playing']) audio.addEventListener(event, this.#changed);
    audio.addEventListener('error', () => this.#recover(audio));
    this.#audio = audio;
    audio.src = await this.#source();
    if (at) audio.currentTime = at; // before the sound is there this says where it is to begin
    return audio;
  }

  /** The signed address that a long MP3 is read from has a short life: when it has run out, a new one is asked for. */
  async #recover(/** @type {HTMLAudioElement} */ audio) {
    if (audio !== this.#audio) return;
    const at = audio.currentTime;
    if (!at || Date.now() - this.#again < 10_000) return this.#changed();
    this.#again = Date.now();
    const next = await this.#load(at);
    if (playing === this) next.play().catch(() => this.#changed());
  }

  async toggle() {
    if (this.isPlaying) {
      this.pause();
      return;
    }
    if (silenced) return;
    if (this.failed) this.reset();
    const audio = this.#audio ?? (await this.#load());
    if (playing !== this) playing?.pause();
    if (silenced) return;
    playing = this;
    await audio.play().catch(() => this.#changed());
  }

  pause() {
    this.#audio?.pause();
  }

  async seek(/** @type {number} */ seconds) {
    if (this.#audio) this.#audio.currentTime = seconds;
    else await this.#load(seconds);
    this.#changed();
  }

  /** Forgets the sound: its source has changed, or has to be asked for again. */
  reset() {
    const audio = this.#audio;
    this.#audio = null;
    if (!audio) return;
    audio.pause();
    if (audio.src.startsWith('blob:')) URL.revokeObjectURL(audio.src);
    audio.removeAttribute('src');
    audio.load();
  }
}
