// One recording in the list: what is shown of it, and what can be done with it.

import { audioAddress } from './api.js';
import { Player } from './player.js';
import * as store from './store.js';
import { drawWhole } from './waveform.js';
import { clock, explain, percent, size, spoken, translate, when, words } from './words.js';

/** What can be done in each state, in the order of the page. */
const ACTIONS = {
  recording: [],
  kept: ['send', 'save', 'remove'],
  waiting: ['cancel'],
  sending: ['cancel'],
  converting: ['copy', 'remove'],
  unsent: ['retry', 'save', 'remove'],
  refused: ['retry', 'save', 'remove'],
  ready: ['copy', 'download', 'remove'],
};

/** Seconds that a key moves the position by. */
const KEYS = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -30, PageUp: 30 };

const show = (element, visible) => element.toggleAttribute('hidden', !visible);

/** Keeps a file where downloads go. */
function download(blob, name) {
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export class Row {
  /** actions: {send, cancel, remove, rename, copy} called with the item; say(text): tells it to a screen reader. */
  constructor(item, { actions, sender, say }) {
    this.item = item;
    this.sender = sender;
    this.say = say;
    this.element = document.getElementById('item').content.firstElementChild.cloneNode(true);
    translate(this.element);
    this.part = (name) => this.element.querySelector(`.${name}`);
    this.card = this.element.querySelector('article');
    this.canvas = this.element.querySelector('canvas');
    this.bar = this.element.querySelector('progress');
    this.player = new Player(() => this.#sound(), () => this.#showPosition());
    this.quarter = 0;

    const title = this.part('name');
    title.id = `name-${item.id}`;
    this.card.setAttribute('aria-labelledby', title.id);
    for (const button of this.part('actions').children) button.setAttribute('aria-describedby', title.id);
    this.part('rename').setAttribute('aria-label', words('item.rename'));
    this.part('rename').addEventListener('change', ({ target }) => actions.rename(item, target.value.trim()));
    this.part('send').addEventListener('click', () => actions.send(item));
    this.part('retry').addEventListener('click', () => actions.send(item));
    this.part('cancel').addEventListener('click', () => actions.cancel(item));
    this.part('remove').addEventListener('click', () => actions.remove(item));
    this.part('copy').addEventListener('click', () => this.#copy(actions));
    this.part('save').addEventListener('click', async () => {
      const wav = await store.sound(item).catch(() => null);
      if (wav) download(wav, `${item.name}.wav`);
      else this.#write(words('problem.unread'));
    });
    this.part('play').addEventListener('click', () => this.player.toggle());
    this.part('seek').addEventListener('input', ({ target }) => this.player.seek(Number(target.value)));
    this.part('seek').addEventListener('keydown', (event) => this.#key(event));
    this.resized = new ResizeObserver(() => this.#draw());
    this.resized.observe(this.canvas);
    this.update();
  }

  /** Shows the item as it is now. */
  update() {
    const { item } = this;
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    if (this.shown !== undefined && this.shown !== item.state && (item.state === 'ready' || this.shown === 'ready')) {
      this.player.reset(); // from the sound of this browser to the service's
    }

    show(this.element, item.state !== 'recording');
    this.part('name').textContent = item.name;
    this.part('name').classList.toggle('unseen', item.state === 'kept');
    show(this.part('rename'), item.state === 'kept');
    if (document.activeElement !== this.part('rename')) this.part('rename').value = item.name;
    this.part('facts').textContent = this.#facts();

    show(this.part('player'), Boolean(item.waveform?.length));
    this.part('seek').max = item.duration ?? 0;
    this.part('seek').setAttribute('aria-label', words('item.seek', { name: item.name }));
    this.#showPosition();
    this.#showProgress();

    this.#write(this.#note());
    this.part('note').classList.toggle('problem', ['unsent', 'refused'].includes(item.state));
    const possible = new Set(ACTIONS[item.state]);
    if (item.state === 'refused' && !item.again) possible.delete('retry');
    if (item.source === 'file') possible.delete('save'); // the person has the file
    for (const action of ['send', 'retry', 'cancel', 'copy', 'download', 'save', 'remove']) {
      show(this.part(action), possible.has(action));
    }
    if (item.record) this.part('download').href = audioAddress(item.record);
    if (this.shown && this.shown !== item.state) this.#tell();
    this.shown = item.state;
    // What had the focus is gone: it goes on to the next thing that can be done here, never to the top of the page.
    if (focused && !focused.checkVisibility()) this.focus();
  }

  focus() {
    const next = [...this.part('actions').children].find((action) => action.checkVisibility());
    (next ?? this.card).focus();
  }

  leave() {
    this.player.reset();
    this.resized.disconnect();
    this.element.remove();
  }

  #facts() {
    const { item } = this;
    const bytes = item.record?.mp3?.bytes ?? item.bytes;
    const day = when(item.created);
    return [item.name.includes(day) ? '' : day, item.duration ? clock(item.duration) : '', bytes ? size(bytes) : ''].filter(Boolean).join(' · ');
  }

  #write(note) {
    this.part('note').textContent = note;
    show(this.part('note'), note !== '');
  }

  #note() {
    const { item } = this;
    const progress = this.sender.progress(item);
    const sentences = [];
    if (item.state === 'kept') sentences.push(words(`state.${item.note ?? 'kept'}`));
    if (item.state === 'waiting') sentences.push(words('state.waiting'));
    if (item.state === 'sending' && progress && progress.loaded === progress.total) sentences.push(words('state.finishing'));
    if (item.state === 'converting') sentences.push(words('state.converting'));
    if (['unsent', 'refused'].includes(item.state)) sentences.push(explain(item.problem));
    if (item.state === 'unsent' && item.problem.code !== 'invalid_credentials') sentences.push(words('state.later'));
    if (item.state === 'ready' && item.record.truncated) sentences.push(words('state.truncated'));
    if (item.state === 'ready' && item.record.levels?.silent) sentences.push(words('state.silent'));
    if (item.unkept && item.state !== 'ready') sentences.push(words('state.unkept'));
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
    const progress = this.sender.progress(item);
    show(this.part('sending'), ['sending', 'converting'].includes(item.state));
    this.bar.setAttribute('aria-label', words('item.sending', { name: item.name }));
    const moving = item.state === 'sending' && progress && progress.loaded < progress.total;
    show(this.part('amount'), moving);
    if (!moving) {
      this.bar.removeAttribute('value'); // how long it takes from here, nobody knows
      return;
    }
    this.bar.value = progress.loaded / progress.total;
    const values = { sent: size(progress.loaded), all: size(progress.total), speed: size(progress.speed) };
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
    play.querySelector('use').setAttribute('href', isPlaying ? '#i-pause' : '#i-play');
    const seek = this.part('seek');
    seek.value = position;
    seek.setAttribute('aria-valuetext', words('item.position', { now: spoken(position), all: spoken(all) }));
    this.part('player').classList.toggle('begun', position > 0);
    this.part('clock').textContent = position ? `${clock(position)} / ${clock(all)}` : clock(all);
    if (player.failed) this.#write(this.#note());
    this.#draw();
  }

  #draw() {
    const { waveform, duration } = this.item;
    if (waveform?.length) drawWhole(this.canvas, waveform, duration ? this.player.position / duration : 0);
  }

  #key(event) {
    if (event.key === ' ') this.player.toggle();
    else if (event.key in KEYS) this.player.seek(this.#within(this.player.position + KEYS[event.key]));
    else if (event.key === 'Home') this.player.seek(0);
    else if (event.key === 'End') this.player.seek(this.#within(this.item.duration));
    else return;
    event.preventDefault();
  }

  #within(seconds) {
    return Math.max(0, Math.min(this.item.duration ?? 0, seconds));
  }

  async #sound() {
    if (this.item.state === 'ready') return audioAddress(this.item.record);
    const wav = await store.sound(this.item).catch(() => null);
    return wav ? URL.createObjectURL(wav) : '';
  }

  async #copy(actions) {
    const label = this.part('copy').querySelector('span');
    await actions.copy(this.item);
    label.textContent = words('item.copied');
    clearTimeout(this.copied);
    this.copied = setTimeout(() => { label.textContent = words('item.copy'); }, 2500);
  }
}
