// Recording from the microphone. Every second of it is kept in the browser before the next is over.

import { byId } from './elements.js';
import { microphones, openMicrophone } from './microphone.js';
import { silence } from './player.js';
import * as store from './store.js';
import { clock, spoken, words } from './strings.js';
import { Envelope, Tape } from './waveform.js';

/** More than this many bytes of samples would not fit a WAV file's 32-bit sizes. */
const MOST = 4_000_000_000;
/** Below this peak for SILENCE seconds, something is likely wrong with the microphone. */
const FAINT = 0.004;
const SILENCE = 3;
/** A peak past this is cut off; for so many seconds after one it is said. */
const CLIPPED = 0.985;
const CLIPPING = 2;
const BLOCK = 2048; // frames; as in capture.js
const EXPLAINED = ['NotAllowedError', 'NotFoundError', 'NotReadableError', 'OverconstrainedError', 'insecure', 'stuck'];

/**
 * @import { Block } from './microphone.js'
 * @import { Ask, Say } from './page.js'
 * @import { Item } from './queue.js'
 *
 * What is being recorded. waiting: samples that are not kept yet; faint: frames in a row; clipped: at which second.
 * @typedef {object} Recording
 * @property {Item} item
 * @property {Envelope} envelope
 * @property {ArrayBuffer[]} waiting
 * @property {number} frames
 * @property {number} saved
 * @property {number} parts
 * @property {number} faint
 * @property {number} clipped
 * @property {Promise<void>} writing
 * @property {Awaited<ReturnType<typeof openMicrophone>>} [microphone]
 * @property {() => void} [release]
 * @property {WakeLockSentinel} [awake]
 * @property {boolean} [paused]
 * @property {boolean} [ending]
 *
 * @typedef {'idle' | 'opening' | 'on' | 'paused' | 'busy'} Face
 */

/**
 * begun(item), kept(item), dropped(item): what became of a recording.
 * @param {object} page
 * @param {(source: 'microphone') => Item} page.newItem
 * @param {(item: Item) => Promise<void>} page.begun
 * @param {(item: Item) => Promise<void>} page.kept
 * @param {(item: Item) => Promise<void>} page.dropped
 * @param {Ask} page.ask
 * @param {Say} page.say
 */
export function openRecorder({ newItem, begun, kept, dropped, ask, say }) {
  const tape = new Tape(byId('tape', HTMLCanvasElement));
  const button = byId('record', HTMLButtonElement);
  const select = byId('microphone', HTMLSelectElement);
  const title = document.title;
  /** @type {Recording | null} the recording that is going on */
  let current = null;
  /** @type {AbortController | null} aborts the wait for the microphone */
  let opening = null;

  /** @type {Partial<Record<Face, string>>} */
  const LABELS = { on: 'booth.stop', paused: 'booth.stop', opening: 'booth.cancel' };

  /** @param {Face} state @param {string} hint */
  function face(state, hint) {
    byId('booth').dataset.state = state;
    byId('record-label').textContent = words(LABELS[state] ?? 'booth.record');
    button.disabled = state === 'busy';
    const going = state === 'on' || state === 'paused';
    byId('discard').hidden = !going;
    byId('pause').hidden = !going;
    byId('pause').textContent = words(state === 'paused' ? 'booth.resume' : 'booth.pause');
    select.disabled = state !== 'idle';
    byId('booth-hint').textContent = words(hint);
  }

  function problem(/** @type {string} */ key) {
    byId('booth-problem').textContent = key ? words(key) : '';
  }

  /** Offers the microphones, where there is a choice. */
  async function offer() {
    const found = await microphones();
    byId('microphones').hidden = found.length < 2;
    const chosen = select.value;
    select.replaceChildren(new Option(words('booth.default'), ''), ...found.map(({ id, name }) => new Option(name, id)));
    select.value = found.some(({ id }) => id === chosen) ? chosen : '';
  }

  async function start() {
    problem('');
    silence(true);
    const { signal } = (opening = new AbortController());
    face('opening', 'booth.opening');
    const item = newItem('microphone');
    /** @type {Recording} */
    const recording = { item, envelope: new Envelope(), waiting: [], frames: 0, saved: 0, parts: 0, faint: 0, clipped: -Infinity, writing: Promise.resolve() };
    try {
      recording.microphone = await openMicrophone({
        device: select.value,
        signal,
        onBlock: (block) => take(recording, block),
        onLost: () => finish('microphone.lost'),
      });
    } catch (/** @type {any} */ error) {
      silence(false);
      face('idle', 'booth.hint');
      if (!signal.aborted) problem(`microphone.${EXPLAINED.includes(error.name) ? error.name : 'unknown'}`);
      button.focus();
      return;
    } finally {
      opening = null;
    }
    current = recording;
    const { sampleRate } = recording.microphone;
    item.sampleRate = sampleRate;
    // Another tab that finds this item must not take it for one whose page has died.
    /** @type {Promise<void>} */
    const over = new Promise((resolve) => { recording.release = resolve; });
    store.alone(item.id, () => over);
    stayAwake(recording);
    begun(item);
    tape.start(sampleRate / BLOCK);
    face('on', 'booth.listening');
    button.focus();
    say(words('say.recording'));
    offer();
  }

  /** The screen stays on; the browser forgets that each time the page is hidden. */
  function stayAwake(/** @type {Recording} */ recording) {
    navigator.wakeLock?.request('screen').then((lock) => {
      if (current === recording) recording.awake = lock;
      else lock.release();
    }, () => {});
  }
  document.addEventListener('visibilitychange', () => current && document.visibilityState === 'visible' && stayAwake(current));

  /** @param {Recording} recording @param {Block} block */
  function take(recording, { samples, peak, mean }) {
    const { item, envelope } = recording;
    if (recording.paused) return;
    recording.waiting.push(samples);
    recording.frames += samples.byteLength / 2;
    envelope.add(peak);
    if (current !== recording || !item.sampleRate) return; // the last block, or one before the rate is known
    tape.add(peak, mean);
    const seconds = recording.frames / item.sampleRate;
    if (byId('timer').textContent !== clock(seconds)) {
      byId('timer').textContent = clock(seconds);
      document.title = `● ${clock(seconds)} · ${title}`;
    }
    recording.faint = peak < FAINT ? recording.faint + samples.byteLength / 2 : 0;
    if (peak > CLIPPED) recording.clipped = seconds;
    let hint = 'booth.listening';
    if (seconds - recording.clipped < CLIPPING) hint = 'booth.clipping';
    if (recording.faint > SILENCE * item.sampleRate) hint = 'booth.silent';
    if (byId('booth-hint').textContent !== words(hint)) {
      byId('booth-hint').textContent = words(hint);
      if (hint !== 'booth.listening') say(words(hint));
    }
    if (recording.frames - recording.saved >= item.sampleRate) save(recording);
    if (recording.frames * 2 > MOST) finish('microphone.full');
  }

  /** Keeps what has come in since the last time. */
  function save(/** @type {Recording} */ recording) {
    const { item, envelope, waiting, frames } = recording;
    const { sampleRate } = item;
    if (!waiting.length || !sampleRate) return;
    const n = recording.parts++;
    recording.waiting = [];
    recording.saved = frames;
    recording.writing = recording.writing.then(async () => {
      const part = await new Blob(waiting).arrayBuffer();
      if (!(await store.addPart(item.id, n, part)) && !item.unkept) {
        item.unkept = true;
        problem('microphone.unkept');
      }
      Object.assign(item, { bytes: 44 + frames * 2, duration: frames / sampleRate, waveform: envelope.peaks });
      await store.keep(item);
    });
  }

  /** Ends the recording; it is kept, unless it is to be dropped. */
  async function end(/** @type {Recording} */ recording) {
    face('busy', 'booth.hint');
    await recording.microphone?.stop();
    current = null;
    save(recording);
    await recording.writing;
    recording.awake?.release().catch(() => {});
    document.title = title;
    byId('timer').textContent = clock(0);
    tape.stop();
    silence(false);
    face('idle', 'booth.hint');
  }

  async function finish(why = '') {
    const recording = current;
    if (!recording || recording.ending) return;
    recording.ending = true;
    await end(recording);
    if (why) problem(why);
    say(words('say.stopped', { length: spoken(recording.item.duration ?? 0) }));
    await kept(recording.item);
    recording.release?.();
  }

  async function discard() {
    const recording = current;
    if (!recording || recording.ending || !(await ask(words('sure.discard'), words('booth.discard')))) return;
    if (recording.ending) return;
    recording.ending = true;
    await end(recording);
    say(words('say.discarded'));
    await dropped(recording.item);
    recording.release?.(); // not before: another tab would find a recording whose page has died
    button.focus();
  }

  function pause() {
    if (!current || current.ending) return;
    current.paused = !current.paused;
    tape.pause(current.paused);
    face(current.paused ? 'paused' : 'on', current.paused ? 'booth.paused' : 'booth.listening');
    say(words(current.paused ? 'say.paused' : 'say.recording'));
  }

  button.addEventListener('click', () => (current ? finish() : opening ? opening.abort() : start()));
  byId('pause').addEventListener('click', pause);
  byId('discard').addEventListener('click', discard);
  addEventListener('beforeunload', (event) => {
    if (current) event.preventDefault(); // "Leave the page?" What is recorded would be kept, what is not yet said would not
  });

  navigator.mediaDevices?.addEventListener?.('devicechange', offer);
  offer();
  return { get busy() { return Boolean(current); } };
}
