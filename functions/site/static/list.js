// One recording in the list: what is shown of it, and what can be done with it.

import { audioAddress } from './api.js';
import { byId, one } from './elements.js';
import { Player } from './player.js';
import { qrElement } from './qr.js';
import * as store from './store.js';
import { clock, explain, percent, rough, size, spoken, time, translate, words } from './strings.js';
import { drawWhole } from './waveform.js';

/**
 * @import { Item, Queue, State } from './queue.js'
 *
 * What the buttons do.
 * @typedef {object} Actions
 * @property {(item: Item) => void} send
 * @property {(item: Item) => void} cancel
 * @property {(item: Item) => void} remove
 * @property {(item: Item, name: string) => void} rename
 * @property {(item: Item) => Promise<boolean>} copy whether it was copied
 * @property {(item: Item) => void} share
 * @property {(item: Item) => boolean} owned
 */

/**
 * What can be done in each state: first what is next, then the rest.
 * @type {Record<State, string[]>}
 */
const ACTIONS = {
  recording: [],
  reading: ['remove'],
  kept: ['send', 'save', 'remove'],
  waiting: ['cancel'],
  sending: ['cancel'],
  converting: ['copy', 'share', 'remove'],
  unsent: ['retry', 'save', 'remove'],
  refused: ['retry', 'save', 'remove'],
  ready: ['copy', 'share', 'download', 'edit', 'remove'],
};
const ALL = ['send', 'retry', 'cancel', 'copy', 'share', 'download', 'save', 'edit', 'remove'];

/**
 * Seconds that a key moves the position by.
 * @type {Record<string, number>}
 */
const KEYS = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -30, PageUp: 30 };
/** How long (ms) what has just appeared under a pointer is not pressed: a double-click was meant for what was there. */
const SETTLE = 500;

const show = (/** @type {Element} */ element, /** @type {boolean} */ visible) => element.toggleAttribute('hidden', !visible);

/**
 * Keeps a file where downloads go.
 * @param {Blob} blob @param {string} name
 */
function download(blob, name) {
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Whether an element is shown, as far as `hidden` goes. */
const isShown = (/** @type {Element} */ element) => element.getClientRects().length > 0;

export class Row {
  editing = false;
  quarter = 0;
  changedAt = -Infinity;
  frame = 0;
  /** @type {number | undefined} */
  copied;
  /** @type {State | undefined} the state when it was last shown */
  shown;

  /**
   * @param {Item} item
   * @param {{actions: Actions, queue: Queue, say: (text: string) => void}} page say: for a screen reader
   */
  constructor(item, { actions, queue, say }) {
    this.item = item;
    this.queue = queue;
    this.actions = actions;
    this.say = say;
    this.element = one(document.importNode(byId('item', HTMLTemplateElement).content, true), 'li');
    translate(this.element);
    this.card = one(this.element, 'article');
    this.canvas = one(this.element, 'canvas', HTMLCanvasElement);
    this.bar = one(this.element, 'progress', HTMLProgressElement);
    this.field = this.part('rename', HTMLInputElement);
    this.seek = this.part('seek', HTMLInputElement);
    this.address = this.part('address', HTMLInputElement);
    this.player = new Player(() => this.#sound(), () => this.#showPosition());

    const title = this.part('name');
    title.id = `name-${item.id}`;
    this.card.setAttribute('aria-labelledby', title.id);
    for (const action of ALL) this.part(action).setAttribute('aria-describedby', title.id);
    for (const action of ['share', 'download', 'save', 'edit']) this.part(action).title = this.part(action).textContent.trim();
    const { field, seek } = this;
    field.setAttribute('aria-label', words('item.rename'));
    field.addEventListener('change', () => this.#rename());
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') field.value = item.name;
      if (event.key !== 'Enter' && event.key !== 'Escape') return;
      event.preventDefault(); // else the button that gets the focus is pressed by it
      this.#rename();
      if (!this.editing) return;
      this.editing = false;
      this.update();
      this.part('edit').focus();
    });
    field.addEventListener('blur', () => {
      if (!this.editing) return;
      this.editing = false;
      this.update();
    });
    const press = (/** @type {string} */ action, /** @type {() => void} */ work) => this.part(action).addEventListener('click', () => performance.now() - this.changedAt > SETTLE && work());
    press('send', () => actions.send(item));
    press('retry', () => actions.send(item));
    this.part('cancel').addEventListener('click', () => actions.cancel(item));
    press('remove', () => actions.remove(item));
    this.part('copy').addEventListener('click', () => this.#copy());
    press('share', () => this.share(Boolean(this.part('sharing').hidden)));
    press('edit', () => {
      this.editing = true;
      this.update();
      field.select();
    });
    press('save', async () => {
      const wav = await store.sound(item).catch(() => null);
      if (wav) download(wav, `${item.name}.wav`);
      else this.#write(words('problem.unread'));
    });
    this.part('send-to').addEventListener('click', () => actions.share(item));
    this.part('show-qr').addEventListener('click', () => this.#showQr());
    show(this.part('send-to'), Boolean(navigator.share));
    this.part('play').addEventListener('click', () => this.player.toggle());
    seek.addEventListener('input', () => this.player.seek(Number(seek.value)));
    seek.addEventListener('keydown', (event) => this.#key(event));
    seek.addEventListener('pointermove', (event) => this.#point(event));
    seek.addEventListener('pointerleave', () => show(this.part('pointer'), false));
    this.resized = new ResizeObserver(() => this.#draw());
    this.resized.observe(this.canvas);
    this.update();
  }

  /**
   * The element of that class.
   * @template {Element} [T=HTMLElement]
   * @param {string} name @param {new () => T} [kind]
   */
  part(name, kind) {
    return one(this.element, `.${name}`, kind);
  }

  /** Shows the item as it is now. */
  update() {
    const { item } = this;
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    if (this.shown !== undefined && this.shown !== item.state) {
      this.changedAt = performance.now();
      // From the sound of this browser to the service's.
      if (item.state === 'ready' || this.shown === 'ready') this.player.reset();
    }

    show(this.element, item.state !== 'recording' && !item.leaving);
    const editing = item.state === 'kept' || this.editing;
    this.part('name').textContent = item.name;
    this.part('name').classList.toggle('unseen', editing);
    show(this.field, editing);
    if (document.activeElement !== this.field) this.field.value = item.name;
    this.part('facts').textContent = this.#facts();

    const playable = item.state !== 'reading' && (item.state === 'ready' || Boolean(item.waveform?.length));
    show(this.part('play'), playable);
    show(this.part('player'), playable);
    this.seek.max = String(item.duration ?? 0);
    this.seek.setAttribute('aria-label', words('item.seek', { name: item.name }));
    this.#showPosition();
    this.#showProgress();

    this.#write(this.#note());
    this.part('note').classList.toggle('problem', ['unsent', 'refused'].includes(item.state));
    const possible = new Set(ACTIONS[item.state]);
    if (item.state === 'refused' && !item.again) possible.delete('retry');
    if (item.source !== 'microphone') possible.delete('save'); // the person has the file
    if (!this.actions.owned(item)) possible.delete('edit');
    if (this.editing) possible.delete('edit');
    for (const action of ALL) show(this.part(action), possible.has(action));
    const removing = words(item.record && !this.actions.owned(item) ? 'item.remove' : 'item.delete');
    one(this.part('remove'), 'span').textContent = removing;
    this.part('remove').title = removing;
    if (item.record) {
      this.part('download', HTMLAnchorElement).href = audioAddress(item.record);
      this.address.value = item.record.page;
      this.part('open', HTMLAnchorElement).href = item.record.page;
    }
    if (!possible.has('share')) show(this.part('sharing'), false);
    if (this.shown && this.shown !== item.state) this.#tell();
    this.shown = item.state;
    // What had the focus is gone: it goes on to the next thing that can be done here, never to the top of the page.
    if (focused && !isShown(focused)) this.focus();
  }

  focus() {
    const next = ALL.map((action) => this.part(action)).find(isShown);
    (next ?? this.card).focus();
  }

  /** Shows the address with what can be done with it, or hides it. */
  share(visible = true) {
    show(this.part('sharing'), visible);
    this.part('share').setAttribute('aria-expanded', String(visible));
    if (!visible) this.part('qr').replaceChildren();
    this.#draw();
  }

  leave() {
    this.player.reset();
    this.resized.disconnect();
    this.element.remove();
  }

  #rename() {
    const { item } = this;
    const name = this.field.value.trim();
    if (name && name !== item.name) this.actions.rename(item, name);
    else this.field.value = item.name; // an emptied field is no name
  }

  #facts() {
    const { item } = this;
    const bytes = item.record?.mp3?.bytes ?? item.bytes;
    return [time(item.created), item.duration ? clock(item.duration) : '', bytes ? size(bytes) : ''].filter(Boolean).join(' · ');
  }

  #write(/** @type {string} */ note) {
    this.part('note').textContent = note;
    show(this.part('note'), note !== '');
  }

  #note() {
    const { item } = this;
    const progress = this.queue.progress(item);
    const sentences = [];
    const kept = item.unkept && item.note !== 'elsewhere' ? 'state.unkept' : null;
    if (item.state === 'kept') sentences.push(words(kept ?? `state.${item.note ?? 'kept'}`));
    if (item.state === 'reading') sentences.push(words('state.reading'));
    if (item.state === 'waiting') sentences.push(words('state.waiting'));
    if (item.state === 'sending' && progress && progress.loaded === progress.total) sentences.push(words('state.finishing'));
    if (item.state === 'converting') sentences.push(words('state.converting'));
    if (item.problem && ['unsent', 'refused'].includes(item.state)) sentences.push(explain(item.problem));
    if (item.state === 'unsent' && item.problem?.code !== 'invalid_credentials') sentences.push(words(kept ?? 'state.later'));
    if (item.state === 'unsent' && item.bytes && item.sent) sentences.push(words('state.left', { left: size(item.bytes - item.sent) }));
    if (item.state === 'ready' && item.record?.truncated) sentences.push(words('state.truncated'));
    if (item.state === 'ready' && item.record?.levels?.silent) sentences.push(words('state.silent'));
    if (kept && ['waiting', 'sending', 'converting'].includes(item.state)) sentences.push(words(kept));
    if (this.player.failed) sentences.push(words('problem.playback'));
    return sentences.join(' ');
  }

  #tell() {
    const { item } = this;
    if (item.state === 'ready') this.say(words('say.ready', { name: item.name }));
    else if (['unsent', 'refused', 'converting'].includes(item.state)) this.say(`${item.name}. ${this.#note()}`);
  }

  #showProgress() {
    const { item } = this;
    const progress = this.queue.progress(item);
    show(this.part('sending'), ['reading', 'sending', 'converting'].includes(item.state));
    this.bar.setAttribute('aria-label', words('item.sending', { name: item.name }));
    const moving = item.state === 'sending' && progress && progress.loaded < progress.total;
    show(this.part('amount'), Boolean(moving));
    if (!moving) {
      this.bar.removeAttribute('value'); // how long it takes from here, nobody knows
      return;
    }
    this.bar.value = progress.loaded / progress.total;
    const left = progress.speed ? rough((progress.total - progress.loaded) / progress.speed) : '';
    const values = { sent: size(progress.loaded), all: size(progress.total), speed: size(progress.speed), left };
    this.part('amount').textContent = words(progress.speed ? 'amount.speed' : 'amount', values);
    const quarter = Math.floor(this.bar.value * 4);
    if (quarter > this.quarter) this.say(words('say.percent', { name: item.name, percent: percent(quarter / 4) }));
    this.quarter = quarter;
  }

  #showPosition() {
    const { item, player } = this;
    const { position, isPlaying } = player;
    const all = item.duration ?? 0;
    const play = this.part('play');
    play.setAttribute('aria-label', words(isPlaying ? 'item.pause' : 'item.play', { name: item.name }));
    play.setAttribute('aria-busy', String(player.buffering));
    one(play, 'use', SVGUseElement).setAttribute('href', isPlaying ? '#i-pause' : '#i-play');
    this.seek.value = String(position);
    this.seek.setAttribute('aria-valuetext', words('item.position', { now: spoken(position), all: spoken(all) }));
    this.part('clock').textContent = position ? `${clock(position)} / ${clock(all)}` : clock(all);
    if (player.failed) this.#write(this.#note());
    this.#draw();
    if (isPlaying && !this.frame) {
      const run = () => {
        this.frame = 0;
        if (!this.player.isPlaying) return;
        this.#draw();
        this.frame = requestAnimationFrame(run);
      };
      this.frame = requestAnimationFrame(run);
    }
  }

  #draw() {
    const { waveform, duration } = this.item;
    if (waveform?.length) drawWhole(this.canvas, waveform, duration ? this.player.position / duration : 0);
  }

  /** The time under the pointer. */
  #point(/** @type {PointerEvent} */ { offsetX }) {
    const share = Math.max(0, Math.min(1, offsetX / this.seek.clientWidth));
    const pointer = this.part('pointer');
    pointer.textContent = clock(share * (this.item.duration ?? 0));
    pointer.style.left = `${share * 100}%`;
    show(pointer, true);
  }

  #key(/** @type {KeyboardEvent} */ event) {
    if (event.key === ' ') this.player.toggle();
    else if (event.key in KEYS) this.player.seek(this.#within(this.player.position + KEYS[event.key]));
    else if (event.key === 'Home') this.player.seek(0);
    else if (event.key === 'End') this.player.seek(this.#within(Infinity));
    else return;
    event.preventDefault();
  }

  #within(/** @type {number} */ seconds) {
    return Math.max(0, Math.min(this.item.duration ?? 0, seconds));
  }

  async #sound() {
    if (this.item.state === 'ready' && this.item.record) return audioAddress(this.item.record);
    const wav = await store.sound(this.item).catch(() => null);
    return wav ? URL.createObjectURL(wav) : '';
  }

  #showQr() {
    const { record } = this.item;
    const code = record && !this.part('qr').childElementCount ? qrElement(record.page) : null;
    code?.setAttribute('aria-label', words('share.qr'));
    this.part('qr').replaceChildren(...(code ? [code] : []));
  }

  async #copy() {
    const label = one(this.part('copy'), 'span');
    if (!(await this.actions.copy(this.item))) {
      this.share();
      this.address.select();
      return;
    }
    label.textContent = words('item.copied');
    clearTimeout(this.copied);
    this.copied = setTimeout(() => { label.textContent = words('item.copy'); }, 2500);
  }
}

/** The rows under their days, newest first; `find`: a piece of the names to show. */
export class List {
  #element = byId('list');
  /** @type {Map<string, Row>} */
  rows = new Map();

  /** @param {(moment: number) => string} day the name of a moment's */
  constructor(day) {
    this.day = day;
    this.find = '';
  }

  get(/** @type {string} */ id) {
    return this.rows.get(id);
  }

  /** The rows that are shown. */
  get visible() {
    return [...this.rows.values()].filter((row) => !row.element.hidden);
  }

  /**
   * The row of an item, made where it is new.
   * @param {Item} item @param {(item: Item) => Row} make
   */
  put(item, make) {
    let row = this.rows.get(item.id);
    if (row) row.update();
    else {
      row = make(item);
      const earlier = [...this.rows.values()].filter((other) => other.item.created < item.created);
      this.rows.set(item.id, row);
      if (earlier.length) earlier.reduce((a, b) => (a.item.created > b.item.created ? a : b)).element.before(row.element);
      else this.#element.append(row.element);
    }
    this.arrange();
    return row;
  }

  drop(/** @type {Item} */ item) {
    this.rows.get(item.id)?.leave();
    this.rows.delete(item.id);
    this.arrange();
  }

  /** Writes the days between the rows, and hides what is not looked for. */
  arrange() {
    const sought = this.find.trim().toLowerCase();
    let day = '';
    for (const mark of this.#element.querySelectorAll('.day')) mark.remove();
    for (const element of [...this.#element.children]) {
      const row = [...this.rows.values()].find((each) => each.element === element);
      if (!row) continue;
      row.element.hidden = row.item.state === 'recording' || Boolean(row.item.leaving) || !row.item.name.toLowerCase().includes(sought);
      if (row.element.hidden) continue;
      const its = this.day(row.item.created);
      if (its !== day) {
        const mark = Object.assign(document.createElement('li'), { className: 'day', textContent: its });
        element.before(mark);
        day = its;
      }
    }
  }
}
