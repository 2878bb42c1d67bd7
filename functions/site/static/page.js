// The page: what is recorded or uploaded, the list of it, and what can be done with that.

import * as api from './api.js';
import { LONGEST, toWav } from './decode.js';
import { byId } from './elements.js';
import { identity, openIdentity } from './identity.js';
import { List, Row } from './list.js';
import { createQueue, fileName, mayGoOn } from './queue.js';
import { openRecorder } from './recorder.js';
import * as store from './store.js';
import { choose, day, explain, language, spoken, translate, when, words } from './strings.js';
import { looksLikeWav } from './wav.js';

/**
 * @import { ServiceRecord } from './api.js'
 * @import { Actions } from './list.js'
 * @import { Item, State } from './queue.js'
 *
 * @typedef {typeof say} Say
 * @typedef {typeof toast} Toast
 * @typedef {typeof ask} Ask
 * @typedef {typeof copy} Copy
 */

/** How long (ms) a deletion can be undone. */
const UNDO = 6000;

const list = new List(day);
// Other tabs of this browser show the same list.
/** @type {BroadcastChannel | null} */
let tabs = null;
try {
  tabs = new BroadcastChannel('records');
} catch {
  // There is none, or storage is switched off.
}

document.documentElement.lang = language;
translate(document);
const search = byId('search', HTMLInputElement);
search.placeholder = words('list.search');
search.setAttribute('aria-label', words('list.search'));
const other = language === 'ru' ? ['en', 'English'] : ['ru', 'Русский'];
Object.assign(byId('language'), { textContent: other[1], lang: other[0] });
byId('language').addEventListener('click', () => choose(other[0]));

// ---- telling

/** Tells a screen reader. The same sentence twice is told twice. */
function say(/** @type {string} */ text) {
  byId('live').textContent = '';
  setTimeout(() => { byId('live').textContent = text; }, 50);
}

/**
 * Says something where the eye is, until it is closed or its time is over. Returns what closes it.
 * @param {string} text
 * @param {{action?: string, work?: () => void, link?: {href: string, text: string}, time?: number, lasting?: boolean, alert?: boolean}} [options]
 */
function toast(text, { action, work, link, time = 8000, lasting = false, alert = false } = {}) {
  const box = Object.assign(document.createElement('div'), { className: 'toast' });
  if (alert) box.setAttribute('role', 'alert');
  const paragraph = Object.assign(document.createElement('p'), { textContent: text });
  if (link) paragraph.append(' ', Object.assign(document.createElement('a'), { href: link.href, textContent: link.text, target: '_blank', rel: 'noopener' }));
  const button = Object.assign(document.createElement('button'), { type: 'button', className: 'button', textContent: action ?? words('close') });
  const close = () => {
    clearTimeout(timer);
    box.remove();
  };
  button.addEventListener('click', () => {
    close();
    work?.();
  });
  box.append(paragraph, button);
  byId('toasts').append(box);
  const timer = lasting ? 0 : setTimeout(close, time);
  if (!alert) say(text);
  return close;
}

/**
 * Asks before something is lost. True when the answer is `yes`.
 * @param {string} question @param {string} yes
 * @returns {Promise<boolean>}
 */
function ask(question, yes) {
  return new Promise((resolve) => {
    const dialog = byId('ask', HTMLDialogElement);
    byId('question').textContent = question;
    byId('yes').textContent = yes;
    dialog.returnValue = '';
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
    dialog.showModal();
  });
}

/** Copies a text. False where the browser did not. */
async function copy(/** @type {string} */ text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Older way, for pages that are not at https:// addresses.
    const field = Object.assign(document.createElement('textarea'), { value: text });
    (document.querySelector('dialog[open]') ?? document.body).append(field);
    field.select();
    const copied = document.execCommand('copy');
    field.remove();
    return copied;
  }
}

// ---- the list

/**
 * @param {'microphone' | 'file'} source @param {Partial<Item>} more
 * @returns {Item}
 */
function newItem(source, more = {}) {
  const created = Date.now();
  const name = words('booth.name', { when: when(created) });
  const id = store.newId();
  return { id, key: id, source, name, created, state: source === 'file' ? 'reading' : 'recording', ...more };
}

/** Shows an item, kept or not. */
function show(/** @type {Item} */ item) {
  const row = list.put(item, (found) => new Row(found, { actions, queue, say }));
  frame();
  return row;
}

/** What stands around the list. */
function frame() {
  const rows = [...list.rows.values()];
  const shown = rows.filter(({ item }) => item.state !== 'recording' && !item.leaving);
  byId('hero').hidden = shown.length > 0;
  byId('sent').hidden = !shown.length;
  byId('find').hidden = shown.length < 6 && !list.find;
  byId('none-found').hidden = !list.find || list.visible.length > 0;
  const kept = rows.filter(({ item }) => item.state === 'kept' && !item.leaving).length;
  byId('send-all').hidden = kept < 2;
  byId('send-all').textContent = words('list.send_all', { n: kept });
}

/**
 * An item has changed: it is kept, shown, and the other tabs are told.
 * @type {import('./queue.js').Changed}
 */
async function changed(item, { kept = true } = {}) {
  if (item.removed) return;
  // The account's list may have told of it before the answer to its sending did.
  const told = item.source !== 'service' && item.record ? list.get(item.record.id) : undefined;
  if (told) unlist(told.item);
  const before = list.get(item.id)?.shown;
  const row = show(item);
  if (!kept) return;
  if (item.state === 'ready' && before && before !== 'ready' && before !== 'recording') {
    for (const each of list.rows.values()) each.share(false);
    row.share();
    row.element.scrollIntoView({ block: 'nearest' });
  }
  if (item.source === 'service') return; // the service keeps it
  await store.keep(item);
  tabs?.postMessage(item.id);
}

/** Takes an item off the list; the focus goes to its neighbour. */
function unlist(/** @type {Item} */ item) {
  item.removed = true;
  const row = list.get(item.id);
  if (row) {
    const focused = row.element.contains(document.activeElement);
    const next = neighbour(row);
    list.drop(item);
    if (focused) next.focus();
  }
  frame();
}

function neighbour(/** @type {Row} */ row) {
  const shown = list.visible;
  const at = shown.indexOf(row);
  return shown[at + 1]?.card ?? shown[at - 1]?.card ?? byId('record');
}

const queue = createQueue({ changed, signedOut: () => who.refused() });

/** This browser's user. Throws a Problem where there is none any more: another tab may have signed out. */
function me() {
  const user = identity();
  if (!user) throw new api.Problem('invalid_credentials');
  return user;
}

async function send(/** @type {Item} */ item) {
  if (!(await who.need())) return;
  await queue.send(item);
}

/** @type {Map<string, () => void>} id → what makes a deletion final */
const leaving = new Map();

/** @type {Actions} */
const actions = {
  send,
  cancel: (item) => queue.cancel(item),

  /** Whether the recording is this user's, at the service too. */
  owned: (item) => Boolean(item.record && identity()?.id === item.record.user),

  async rename(item, name) {
    if (!item.record || item.state !== 'ready') return queue.rename(item, name);
    const before = item.name;
    item.name = name;
    show(item);
    try {
      const record = await api.rename(me(), item.record, fileName(name));
      await changed(Object.assign(item, { record: { ...item.record, ...record } }));
    } catch (/** @type {any} */ problem) {
      item.name = before;
      show(item);
      toast(explain(problem), { alert: true });
    }
    return undefined;
  },

  /** Copies the link; returns whether it was copied. */
  async copy({ name, record }) {
    if (!record) return false;
    const copied = await copy(record.page);
    if (copied) say(words('say.copied', { name }));
    else toast(words('share.by_hand'), { alert: true });
    return copied;
  },

  share: ({ name, record }) => navigator.share({ title: name, url: record?.page }).catch(() => {}),

  /** Deletes an item, which can be undone for a few seconds. */
  remove(item) {
    const row = list.get(item.id);
    if (!row) return;
    const next = neighbour(row);
    const owned = actions.owned(item);
    row.player.reset();
    queue.cancel(item, { silently: true });
    item.leaving = true;
    if (item.source !== 'service') store.keep(item); // a page that is closed before it is final goes on with it at its next start
    row.update();
    list.arrange();
    frame();
    next.focus();
    // A page that is opened meanwhile finds it leaving, and waits for this.
    let settled = () => {};
    store.alone(`${item.id}/leaving`, () => new Promise((resolve) => { settled = () => resolve(undefined); }));
    const stay = () => {
      item.leaving = false;
      changed(item).finally(settled);
      goOn(item);
    };
    const finish = async () => {
      if (!leaving.delete(item.id)) return;
      clearTimeout(timer);
      try {
        if (item.record && (owned || actions.owned(item))) await api.remove(me(), item.record);
      } catch (/** @type {any} */ problem) {
        stay();
        return toast(explain(problem), { alert: true });
      }
      unlist(item);
      await store.remove(item.id);
      settled();
      tabs?.postMessage(item.id);
      return undefined;
    };
    const timer = setTimeout(finish, UNDO);
    leaving.set(item.id, finish);
    toast(words(item.record && !owned ? 'say.removed' : 'say.deleted', { name: item.name }), {
      action: words('undo'),
      time: UNDO,
      work() {
        clearTimeout(timer);
        if (!leaving.delete(item.id)) return;
        stay();
        list.get(item.id)?.focus();
        say(words('say.back', { name: item.name }));
      },
    });
  },
};
// Who leaves the page has meant it.
addEventListener('pagehide', () => { for (const finish of [...leaving.values()]) finish(); });

tabs?.addEventListener('message', async ({ data: id }) => {
  const kept = await store.item(id);
  const row = list.get(id);
  if (row && (!kept || kept.state === 'kept')) queue.stop(row.item);
  if (kept && row) {
    show(Object.assign(row.item, kept));
    // Should the tab that sends it be closed, this one goes on.
    if (kept.state === 'unsent') queue.later(row.item, 5);
    else if (['waiting', 'sending', 'converting'].includes(kept.state)) queue.resume(row.item);
  } else if (kept) {
    show(kept);
    goOn(kept);
  } else if (row && row.item.source !== 'service') unlist(row.item);
});

/** Goes on with an item as the last page left it. */
async function goOn(/** @type {Item} */ item) {
  const { state } = item;
  if (state === 'recording' || state === 'reading') {
    await store.alone(item.id, async () => {
      const now = await store.item(item.id);
      if (!now) return list.get(item.id) && unlist(item); // another tab has thrown it away
      if (now.state !== state) return undefined; // its tab has finished
      if (now.bytes && state === 'recording') return changed(Object.assign(item, now, { state: 'kept', note: 'recovered' }));
      unlist(item); // the page closed within its first second, or before the file was read
      return store.remove(item.id);
    });
  } else if (item.state === 'unsent') {
    if (mayGoOn(item)) await queue.send(item);
  } else if (['waiting', 'sending', 'converting'].includes(item.state)) await queue.resume(item);
}

function resend() {
  for (const { item } of list.rows.values()) if (mayGoOn(item)) queue.send(item);
}
addEventListener('online', resend);
addEventListener('beforeunload', (event) => queue.busy && event.preventDefault());

search.addEventListener('input', () => {
  list.find = search.value;
  list.arrange();
  frame();
});
byId('send-all').addEventListener('click', async () => {
  if (!(await who.need())) return;
  for (const { item } of list.rows.values()) if (item.state === 'kept' && !item.leaving) queue.send(item);
});

// ---- what the account has, wherever it was sent from

/** @type {string | undefined} the address of the page after the last one */
let next;

const nameOf = (/** @type {ServiceRecord} */ record) => record.name.replace(/\.wave?$/i, '') || record.name;

/** @param {string} [more] the address of the page to add */
async function load(more) {
  const user = identity();
  if (!user) return;
  // What becomes ready while the answer is on its way is not in it.
  const ready = new Set([...list.rows.values()].filter(({ item }) => item.state === 'ready').map(({ item }) => item.id));
  let page;
  try {
    page = await api.records(user, more);
  } catch {
    return; // what this browser has is shown all the same
  }
  if (identity()?.id !== user.id) return;
  const mine = new Map([...list.rows.values()].flatMap(({ item }) => (item.record ? [[item.record.id, item]] : [])));
  for (const record of page.records) {
    const item = mine.get(record.id);
    if (item) {
      mine.delete(record.id);
      if (item.state !== 'ready' || item.leaving) continue;
      item.name = nameOf(record);
      changed(Object.assign(item, { record: { ...item.record, ...record } }));
    } else fromService(record);
  }
  // What the list should have had and has not was deleted elsewhere.
  const oldest = Math.min(...page.records.map(({ created_at }) => Date.parse(created_at)));
  for (const item of mine.values()) {
    const { record } = item;
    const covered = record && !more && (page.next ? Date.parse(record.created_at) > oldest : true);
    if (covered && ready.has(item.id) && record.user === user.id && !item.leaving) {
      unlist(item);
      store.remove(item.id);
    }
  }
  next = page.next;
  byId('more').hidden = !next;
  frame();
}

/** Shows a recording that another browser sent. */
function fromService(/** @type {ServiceRecord} */ record) {
  /** @type {Record<string, State>} */
  const states = { ready: 'ready', pending: 'converting', failed: 'refused' };
  /** @type {Item} */
  const item = {
    id: record.id,
    key: record.id,
    source: 'service',
    name: nameOf(record),
    created: Date.parse(record.created_at),
    state: states[record.status],
    duration: record.duration,
    record,
    problem: record.status === 'failed' ? record : null,
  };
  const row = show(item);
  if (item.state === 'converting') queue.resume(item);
  else if (item.state === 'ready') seen.observe(row.element);
}

/** The waveform is asked for when its row comes into view. */
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    const row = isIntersecting && [...list.rows.values()].find(({ element }) => element === target);
    if (!row || !row.item.record) continue;
    seen.unobserve(target);
    api.look(row.item.record).then(({ waveform }) => {
      row.item.waveform = waveform;
      row.update();
    }, () => {});
  }
});
byId('more').addEventListener('click', () => load(next));

// ---- files

/** Why files were refused: one notice for all of them, for as long as it is not closed. */
/** @type {{close: () => void, lines: string[], box?: Element | null}} */
let refusals = { close: () => {}, lines: [] };

function refuse(/** @type {string} */ line) {
  const lines = refusals.box?.isConnected ? [...refusals.lines, line] : [line];
  refusals.close();
  const close = toast(lines.join('\n'), { lasting: true, alert: true });
  refusals = { close, lines, box: byId('toasts').lastElementChild };
}

/** @type {Promise<any>} */
let decoding = Promise.resolve();

async function add(/** @type {File[]} */ files) {
  const now = Date.now();
  let added = 0;
  await Promise.all(
    files.map(async (file, number) => {
      if (!file.size) return refuse(words('problem.empty', { name: file.name }));
      const name = file.name.replace(/\.[a-z0-9]{2,5}$/i, '') || file.name;
      const item = newItem('file', { name, bytes: file.size, created: now - number }); // listed in the order chosen
      /** @type {Blob} */
      let wav = file;
      try {
        if (!(await looksLikeWav(file).catch(() => false))) {
          show(item);
          decoding = decoding.catch(() => {}).then(() => toWav(file)); // one after another: each may take a gigabyte
          wav = await decoding;
        }
      } catch (/** @type {any} */ error) {
        if (list.get(item.id)) unlist(item);
        const key = error.name === 'too_long' ? 'problem.too_long' : 'problem.not_audio';
        return refuse(words(key, { name: file.name, length: spoken(LONGEST) }));
      }
      if (item.removed || item.leaving) return undefined;
      added += 1;
      item.bytes = wav.size;
      // Another tab that finds the item before its sound is there must not take it for one whose page has died.
      return store.alone(item.id, async () => {
        await changed(item);
        item.unkept = !(await store.addPart(item.id, 0, wav));
        await store.keep(Object.assign(item, { state: 'kept' })); // before it is seen: whoever sees it may close the page
        await changed(item);
      });
    }),
  );
  if (!added) return;
  say(words('say.added', { n: added }));
  const first = list.visible.find(({ item }) => item.state === 'kept');
  first?.element.scrollIntoView({ block: 'nearest' });
  if (document.activeElement === document.body || document.activeElement === byId('choose')) first?.focus();
}

const chosen = byId('files', HTMLInputElement);
byId('choose').addEventListener('click', () => chosen.click());
chosen.addEventListener('change', () => {
  add([...(chosen.files ?? [])]);
  chosen.value = ''; // so that the same file can be chosen again
});

let over = 0; // how many elements the dragged files are over: each child of the page enters and leaves of its own
const carriesFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes('Files');
addEventListener('dragenter', (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  over += 1;
  byId('drop').hidden = false;
});
addEventListener('dragover', (event) => carriesFiles(event) && event.preventDefault());
addEventListener('dragleave', (event) => {
  if (carriesFiles(event) && --over <= 0) byId('drop').hidden = true;
});
addEventListener('drop', (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  over = 0;
  byId('drop').hidden = true;
  add([...(event.dataTransfer?.files ?? [])]);
});

// ---- who is here

/** Shows who is here. */
function greet() {
  const user = identity();
  byId('me').hidden = !user;
  byId('my-name').textContent = user?.name ?? '';
}

const who = openIdentity({
  ask,
  say,
  toast,
  copy,
  changed() {
    greet();
    for (const { item } of [...list.rows.values()]) if (item.source === 'service') unlist(item);
    byId('more').hidden = true;
    for (const row of list.rows.values()) row.update();
    resend();
    load();
  },
  erased({ id }) {
    for (const { item } of [...list.rows.values()]) {
      if (item.record?.user !== id) continue;
      unlist(item);
      store.remove(item.id);
      tabs?.postMessage(item.id);
    }
  },
});

openRecorder({
  newItem,
  ask,
  say,
  begun: (item) => changed(item),
  async kept(item) {
    await changed(Object.assign(item, { state: 'kept' }));
    const row = show(item);
    row.element.scrollIntoView({ block: 'nearest' });
    row.focus();
  },
  async dropped(item) {
    unlist(item);
    await store.remove(item.id);
    tabs?.postMessage(item.id);
  },
});

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const row of list.rows.values()) row.update();
});
navigator.serviceWorker?.register('/sw.js').catch(() => {}); // the page does without

greet();
/** Deletes what a page was about to delete when it was closed. One that is open may still take it back. */
function goOnLeaving(/** @type {Item} */ { id }) {
  return store.alone(`${id}/leaving`, async () => {
    const item = await store.item(id);
    if (!item) return;
    if (!item.leaving) {
      show(item);
      goOn(item);
    } else if (item.record && actions.owned(item)) await api.remove(me(), item.record).then(() => store.remove(id), () => {});
    else await store.remove(id);
  });
}

const kept = [];
for (const item of await store.items()) {
  if (item.leaving) goOnLeaving(item);
  else kept.push(item);
}
for (const item of kept) show(item);
frame();
byId('loading').remove();
byId('booth').hidden = false; // with what is above it: nothing moves
for (const item of kept) goOn(item);
await who.takeOver();
load();
