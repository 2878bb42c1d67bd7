// Sends what is in the list, short and long recordings side by side, and follows each until it is ready.
//
// The states of an item:
//   recording   the microphone is open           → kept
//   kept        in this browser, a person decides → waiting
//   waiting     for its turn                      → sending
//   sending     on its way                        → converting, ready, unsent, refused, kept (cancelled)
//   converting  the service has it                → ready, unsent, refused
//   unsent      failed; tried again by itself     → waiting
//   refused     failed for good, unless a person tries again
//   ready       its link plays; this browser no longer holds the sound
//
// An item's key is its Idempotency-Key: however often it is sent, it becomes one record. What the service has refused
// for good stays refused under its key, so that a person's "try again" is under a new one.

import { DIRECT_LIMIT, Problem, WHOLE_LIMIT, announce, look, remove, sendDirect, upload, uploadParts } from './api.js';
import { identity } from './identity.js';
import * as store from './store.js';

/**
 * @import { Failure, OnProgress, Sending, ServiceRecord, Ticket, User } from './api.js'
 *
 * @typedef {'recording' | 'reading' | 'kept' | 'waiting' | 'sending' | 'converting' | 'unsent' | 'refused' | 'ready'} State
 *
 * A recording in the list.
 * @typedef {object} Item
 * @property {string} id
 * @property {string} key
 * @property {'microphone' | 'file' | 'service'} source
 * @property {string} name
 * @property {number} created ms
 * @property {State} state
 * @property {string | null} [note] what is said of a kept one: 'cancelled', 'recovered', 'elsewhere', 'cut'
 * @property {Failure | null} [problem]
 * @property {boolean} [again] whether a refused one can be tried again
 * @property {number} [bytes] of the WAV
 * @property {number} [sampleRate]
 * @property {number} [duration] s
 * @property {number[]} [waveform]
 * @property {ServiceRecord} [record]
 * @property {number} [user] who sends it
 * @property {boolean} [attempted]
 * @property {number} [attempts] in a row that failed
 * @property {number} [pause] s until the next
 * @property {boolean} [uploaded]
 * @property {number} [sent] bytes that have arrived
 * @property {boolean} [unkept] whether only memory holds its sound
 * @property {boolean} [leaving] deleted, which can be undone
 * @property {boolean} [removed]
 *
 * What is on its way: bytes, and bytes a second; marks: when (ms) how many had left.
 * @typedef {{loaded: number, total: number, speed: number, controller: AbortController, marks: [number, number][]}} Progress
 *
 * Keeps and shows an item. `kept: false`: only its progress has changed.
 * @typedef {(item: Item, options?: {kept?: boolean}) => Promise<void>} Changed
 *
 * @typedef {ReturnType<typeof createQueue>} Queue
 */

/** Seconds before the 1st, 2nd … attempt that nobody asked for. The last one repeats. */
const PAUSES = [3, 10, 30, 60, 300];
/** Problems that pass. */
const PASSING = new Set(['network', 'unavailable', 'upload_expired', 'invalid_credentials', 'unread', 'daily_limit']);
/** Problems that passed by themselves no more than once: a person may try again all the same. */
const WORTH_A_TRY = new Set(['conversion_error', 'conversion_timeout', 'record_not_found', 'validation_failed', 'upload_damaged', 'idempotency_conflict', 'storage_full', 'unknown']);

/** Whether an item that was not sent may be, without being asked for. */
export const mayGoOn = (/** @type {Item} */ item) =>
  item.state === 'unsent' && !item.leaving && Boolean(identity()) && (!item.unkept || store.inMemory(item.id));

const sleep = (/** @type {number} */ seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** A name as the service takes it: no folder, no control character, at most 255 characters with its ending. */
export function fileName(/** @type {string} */ name) {
  const plain = name.replace(/[/\\\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/gu, '-').trim();
  return `${[...plain].slice(0, 250).join('')}.wav`;
}

/**
 * changed: called after every change of an item. signedOut: the service does not know us.
 * @param {{changed: Changed, signedOut: () => void}} page
 */
export function createQueue({ changed, signedOut }) {
  /** @type {Map<string, Progress>} */
  const running = new Map();
  /** @type {Map<string, number>} id → the next attempt */
  const timers = new Map();
  /** @type {Set<string>} ids that this tab has taken on */
  const taken = new Set();
  const turns = { short: Promise.resolve(), long: Promise.resolve() }; // a short one waits for no long one

  /** What makes an item a new recording for the service, which forgets what it has of the old one. */
  function fresh(/** @type {Item} */ { record }) {
    const user = identity();
    if (record && user?.id === record.user) remove(user, record).catch(() => {}); // else it goes by itself
    return { key: store.newId(), attempted: false, uploaded: false, sent: 0, record: undefined };
  }

  /** @param {Item} item @param {State} state @param {Partial<Item>} more */
  function become(item, state, more = {}) {
    Object.assign(item, { state, problem: null, note: null }, more);
    return changed(item);
  }

  /**
   * Takes an item on, unless another tab has; `prepare` comes first, before any other tab can take it on.
   * @param {Item} item @param {() => Promise<void>} [prepare]
   */
  async function take(item, prepare) {
    if (taken.has(item.id)) return;
    taken.add(item.id);
    await store.alone(item.id, async () => {
      try {
        await prepare?.();
        const kept = await store.item(item.id);
        if (kept) Object.assign(item, kept); // another tab may have been at it
        if (item.state === 'sending') item.state = 'waiting'; // the page that sent it is gone
        const lane = (item.bytes ?? 0) > DIRECT_LIMIT ? 'long' : 'short';
        do {
          const mine = turns[lane].then(() => send(item));
          turns[lane] = mine;
          await mine;
          await follow(item);
        } while (item.state === 'waiting' && !item.removed && !item.leaving); // it is to be sent again, as who finds it taken says
      } finally {
        taken.delete(item.id); // at once: from here on nobody looks at its state
      }
    });
  }

  /**
   * @param {Item} item
   * @returns {Promise<void>}
   */
  async function send(item) {
    if (item.state !== 'waiting' || item.removed || item.leaving) return;
    const user = identity();
    if (!user) return failed(item, new Problem('invalid_credentials'));
    if (item.user !== user.id) Object.assign(item, { user: user.id, uploaded: false, sent: 0 });
    let wav;
    try {
      wav = await store.sound(item);
    } catch {
      return failed(item, new Problem('unread'));
    }
    if (item.state !== 'waiting' || item.removed || item.leaving) return; // while its sound was read
    if (item.unkept && !store.inMemory(item.id)) {
      if (await store.inAnotherTab(item.id)) return become(item, 'kept', { note: 'elsewhere' });
      item.unkept = false;
      if (wav) return become(item, 'kept', { note: 'cut', bytes: wav.size, duration: (wav.size - 44) / 2 / (item.sampleRate ?? NaN) });
    }
    if (!wav) return become(item, 'refused', { problem: { code: 'lost' } });
    const controller = new AbortController();
    /** @type {Progress} */
    const progress = { loaded: 0, total: wav.size, speed: 0, controller, marks: [] };
    running.set(item.id, progress);
    await become(item, 'sending', { attempted: true });
    try {
      const onArrived = (/** @type {number} */ bytes) => {
        if (bytes > (item.sent ?? 0)) item.attempts = 0; // it gets on: the next pause is short again
        item.sent = bytes;
      };
      const record = await deliver(item, user, wav, { signal: controller.signal, onProgress: gauge(item, progress), onArrived });
      await arrived(item, record);
    } catch (/** @type {any} */ problem) {
      await failed(item, problem, user);
    } finally {
      running.delete(item.id);
      changed(item);
    }
  }

  /**
   * Short recordings go in one request, longer ones to the storage, the longest in parts. Returns the record.
   * @param {Item} item @param {User} user @param {Blob} wav @param {Sending} options
   * @returns {Promise<Ticket>}
   */
  async function deliver(item, user, wav, options) {
    const title = fileName(item.name);
    if (wav.size <= DIRECT_LIMIT) {
      try {
        return await sendDirect(user, item.key, title, wav, options);
      } catch (/** @type {any} */ problem) {
        if (problem.code !== 'audio_too_large') throw problem; // else the limit is lower there: by an upload, then
      }
    }
    /** @type {(bytes?: number) => Promise<Ticket>} */
    const ask = async (bytes) => {
      const { upload, ...record } = await announce(user, item.key, title, { ...options, bytes });
      // The account's list has it from now on: this item is known by it, also after a reload.
      if (item.record?.id !== record.id) await changed(Object.assign(item, { record }));
      return { ...record, upload };
    };
    if (wav.size > WHOLE_LIMIT) return uploadParts(() => ask(wav.size), wav, options);
    const record = await ask();
    if (record.status === 'pending' && record.upload && !item.uploaded) {
      await upload(record.upload, wav, options);
      item.uploaded = true;
    }
    return record;
  }

  /**
   * Counts the bytes and the speed over the last three seconds.
   * @param {Item} item @param {Progress} progress
   * @returns {OnProgress}
   */
  function gauge(item, progress) {
    return (loaded, total) => {
      const now = performance.now();
      // What goes over the line is a little more than the file: the form around it.
      progress.loaded = Math.min(progress.total, (loaded / total) * progress.total);
      progress.marks.push([now, progress.loaded]);
      while (progress.marks.length > 2 && now - progress.marks[0][0] > 3000) progress.marks.shift();
      const [since, before] = progress.marks[0]; // what an earlier attempt has sent is no speed
      progress.speed = now - since > 200 ? ((progress.loaded - before) / (now - since)) * 1000 : 0;
      changed(item, { kept: false });
    };
  }

  /** @param {Item} item @param {Ticket} ticket */
  async function arrived(item, { upload: _, ...record }) {
    item.attempts = 0;
    if (record.status !== 'ready') return become(item, 'converting', { record });
    await become(item, 'ready', { record, duration: record.duration, waveform: record.waveform });
    await store.dropSound(item.id);
  }

  async function follow(/** @type {Item} */ item) {
    for (let pause = 1; item.state === 'converting' && item.record && !item.removed; pause = Math.min(10, pause * 1.4)) {
      await sleep(pause);
      if (item.state !== 'converting') return;
      try {
        const record = await look(item.record, identity());
        if (record.status === 'ready') await arrived(item, { ...item.record, ...record });
      } catch (/** @type {any} */ problem) {
        if (problem.code === 'daily_limit') await refusedToday(item, problem);
        else if (!PASSING.has(problem.code)) await failed(item, problem);
      }
    }
  }

  /**
   * The service has it, and found only then that it is too long for today: it is sent again tomorrow (UTC), from here
   * if its sound is here.
   * @param {Item} item @param {Problem} problem
   */
  async function refusedToday(item, problem) {
    const { code, message, details } = problem;
    if (item.source === 'service') return become(item, 'refused', { problem: { code, message, details } });
    Object.assign(item, fresh(item));
    problem.retryAfter ??= 86_400 - ((Date.now() / 1000) % 86_400);
    return failed(item, problem);
  }

  /**
   * @param {Item} item @param {Problem} problem
   * @param {User} [sender] who was refused, where it was refused to anybody
   */
  async function failed(item, { code, message, details, retryAfter }, sender) {
    const problem = { code, message, details };
    if (code === 'cancelled') return become(item, 'kept', { note: 'cancelled' });
    if (!PASSING.has(code)) return become(item, 'refused', { problem, again: item.source !== 'service' && WORTH_A_TRY.has(code) });
    // A late answer about a user or a token that this browser has given up says nothing of what it has now.
    const now = identity();
    const own = !now || (now.id === item.user && now.token === (sender?.token ?? now.token));
    if (code === 'invalid_credentials' && own) signedOut();
    else {
      const attempts = item.attempts ?? 0;
      item.attempts = attempts + 1;
      item.pause = Math.max(PAUSES[Math.min(attempts, PAUSES.length - 1)], retryAfter ?? 0);
      queue.later(item);
    }
    return become(item, 'unsent', { problem });
  }

  const queue = {
    /**
     * Gives an item another name. What was tried under the old one may have arrived, so it is sent as another.
     * @param {Item} item @param {string} name
     */
    rename(item, name) {
      if (name === item.name) return undefined;
      const more = item.attempted ? fresh(item) : {};
      return changed(Object.assign(item, { name }, more));
    },

    /** Sends an item, now or when its turn comes. */
    async send(/** @type {Item} */ item) {
      clearTimeout(timers.get(item.id));
      timers.delete(item.id);
      if (item.state === 'waiting' || item.state === 'sending') return;
      const more = item.state === 'refused' ? fresh(item) : {};
      const wait = () => become(item, 'waiting', more);
      // The other tabs are told once it is this tab's: theirs would take it on otherwise.
      if (taken.has(item.id)) await wait();
      else await take(item, wait);
    },

    /** Sends an item after its pause, unless another tab does before. */
    later(/** @type {Item} */ item, more = 0) {
      clearTimeout(timers.get(item.id));
      timers.set(item.id, setTimeout(() => mayGoOn(item) && queue.send(item), ((item.pause ?? 0) + more) * 1000));
    },

    /** Sends an item that is new (`prepare` keeps it), or was under way when the page was closed. */
    resume: take,

    /** Stops sending what another tab has cancelled or removed. */
    stop: (/** @type {Item} */ { id }) => running.get(id)?.controller.abort(),

    /** Stops sending an item. `silently`: where it is about to be removed, its state does not matter. */
    cancel(/** @type {Item} */ item, { silently = false } = {}) {
      clearTimeout(timers.get(item.id));
      const { controller } = running.get(item.id) ?? {};
      if (controller) controller.abort();
      else if (!silently) become(item, 'kept', { note: 'cancelled' });
    },

    /** Whether anything is on its way, which closing the page would stop. */
    get busy() {
      return running.size > 0;
    },

    /** Of an item that this tab is sending. */
    progress: (/** @type {Item} */ item) => running.get(item.id),
  };
  return queue;
}
