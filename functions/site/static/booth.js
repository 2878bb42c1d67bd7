// Recording from the microphone. Every second of it is kept in the browser before the next is over.

import { openMicrophone } from './microphone.js';
import { alone } from './sender.js';
import * as store from './store.js';
import { Envelope, Tape } from './waveform.js';
import { clock, spoken, words } from './words.js';

/** More than this many bytes of samples would not fit a WAV file's 32-bit sizes. */
const MOST = 4_000_000_000;
/** Below this peak for SILENCE seconds, something is likely wrong with the microphone. */
const FAINT = 0.004;
const SILENCE = 3;
const BLOCK = 2048; // frames; as in capture.js

const byId = (id) => document.getElementById(id);

/** begun(item), kept(item), dropped(item): what became of a recording; say(text): for a screen reader. */
export function openBooth({ newItem, begun, kept, dropped, ask, say }) {
  const tape = new Tape(byId('tape'));
  const title = document.title;
  let current = null; // the recording that is going on

  function face(state, hint) {
    byId('booth').dataset.state = state;
    byId('record-label').textContent = words(state === 'on' ? 'booth.stop' : 'booth.record');
    byId('record').disabled = state === 'busy';
    byId('discard').hidden = state !== 'on';
    byId('booth-hint').textContent = words(hint);
  }

  function problem(key) {
    byId('booth-problem').textContent = key ? words(key) : '';
  }

  async function start() {
    problem('');
    face('busy', 'booth.opening');
    const item = newItem('microphone');
    const recording = { item, envelope: new Envelope(), waiting: [], frames: 0, saved: 0, parts: 0, faint: 0, writing: Promise.resolve() };
    try {
      recording.microphone = await openMicrophone({
        onBlock: (block) => take(recording, block),
        onLost: () => finish('microphone.lost'),
      });
    } catch (error) {
      face('idle', 'booth.hint');
      const key = `microphone.${error.name}`;
      problem(['NotAllowedError', 'NotFoundError', 'NotReadableError', 'insecure'].includes(error.name) ? key : 'microphone.unknown');
      byId('record').focus();
      return;
    }
    current = recording;
    item.sampleRate = recording.microphone.sampleRate;
    // Another tab that finds this item must not take it for one whose page has died.
    alone(item.id, () => new Promise((resolve) => { recording.release = resolve; }));
    navigator.wakeLock?.request('screen').then((lock) => { recording.awake = lock; }, () => {});
    begun(item);
    tape.start(item.sampleRate / BLOCK);
    face('on', 'booth.listening');
    byId('record').focus();
    say(words('say.recording'));
  }

  function take(recording, { samples, peak }) {
    const { item, envelope } = recording;
    recording.waiting.push(samples);
    recording.frames += samples.byteLength / 2;
    envelope.add(peak);
    if (current !== recording) return; // the last block, or one before the rate is known
    tape.add(peak);
    const seconds = recording.frames / item.sampleRate;
    if (byId('timer').textContent !== clock(seconds)) {
      byId('timer').textContent = clock(seconds);
      document.title = `● ${clock(seconds)} · ${title}`;
    }
    recording.faint = peak < FAINT ? recording.faint + samples.byteLength / 2 : 0;
    const hint = words(recording.faint > SILENCE * item.sampleRate ? 'booth.silent' : 'booth.listening');
    if (byId('booth-hint').textContent !== hint) {
      byId('booth-hint').textContent = hint;
      if (hint === words('booth.silent')) say(hint);
    }
    if (recording.frames - recording.saved >= item.sampleRate) save(recording);
    if (recording.frames * 2 > MOST) finish('microphone.full');
  }

  /** Keeps what has come in since the last time. */
  function save(recording) {
    const { item, envelope, waiting, frames } = recording;
    if (!waiting.length) return;
    const n = recording.parts++;
    recording.waiting = [];
    recording.saved = frames;
    recording.writing = recording.writing.then(async () => {
      const part = await new Blob(waiting).arrayBuffer();
      if (!(await store.addPart(item.id, n, part)) && !item.unkept) {
        item.unkept = true;
        problem('microphone.unkept');
      }
      Object.assign(item, { bytes: 44 + frames * 2, duration: frames / item.sampleRate, waveform: envelope.peaks });
      await store.keep(item);
    });
  }

  /** Ends the recording; it is kept, unless it is to be dropped. */
  async function end(recording) {
    face('busy', 'booth.hint');
    await recording.microphone.stop();
    current = null;
    save(recording);
    await recording.writing;
    recording.awake?.release().catch(() => {});
    document.title = title;
    byId('timer').textContent = clock(0);
    tape.stop();
    face('idle', 'booth.hint');
  }

  async function finish(why) {
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
    byId('record').focus();
  }

  byId('record').addEventListener('click', () => (current ? finish() : start()));
  byId('discard').addEventListener('click', discard);
  addEventListener('beforeunload', (event) => {
    if (current) event.preventDefault(); // "Leave the page?" What is recorded would be kept, what is not yet said would not
  });

  return { problem, get busy() { return Boolean(current); } };
}
