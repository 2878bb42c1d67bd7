// What this browser keeps: the list, and the sound of what is not sent yet.
//
// IndexedDB 'records':  items  one row a recording (see queue.js for its states)
//                       parts  its sound, in order: [item, n] → an ArrayBuffer of 16-bit samples, or the file itself
// A recording from the microphone is kept as its parts come in, so what closes the page loses a second of it at most.
// Where there is no IndexedDB, or no room in it, the same goes into memory and lasts as long as the page.

import { wavHeader } from './wav.js';

/** @import { Item } from './queue.js' */

/** How long (ms) the database may take to open; after that memory does. */
const OPENING = 4000;

/** @type {Promise<IDBDatabase | null> | undefined} */
let opened;

/** The database, or null where there is none. */
function database() {
  opened ??= new Promise((resolve) => {
    try {
      const request = indexedDB.open('records', 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore('items', { keyPath: 'id' });
        request.result.createObjectStore('parts');
      };
      request.onsuccess = () => {
        request.result.onclose = () => { opened = undefined; }; // by the browser, which some do in the background
        resolve(request.result);
      };
      request.onerror = () => resolve(null);
      setTimeout(() => resolve(null), OPENING);
    } catch {
      resolve(null);
    }
  });
  return opened;
}

/**
 * Runs `work(...stores)` in one transaction; returns the result of the request that it returns.
 * @template T
 * @param {IDBTransactionMode} mode @param {string[]} names
 * @param {(...stores: IDBObjectStore[]) => IDBRequest<T> | void} work
 * @returns {Promise<T>}
 */
async function run(mode, names, work) {
  const db = await database();
  if (!db) throw new DOMException('no database', 'NotSupportedError');
  return new Promise((resolve, reject) => {
    const transaction = db.transaction(names, mode);
    const request = work(...names.map((name) => transaction.objectStore(name)));
    transaction.oncomplete = () => resolve(/** @type {T} */ (request?.result));
    transaction.onabort = () => reject(transaction.error);
  });
}

/**
 * Runs `work` while no other tab of this browser runs anything under that name.
 * @template T
 * @param {string} name @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function alone(name, work) {
  let begun = false;
  try {
    return await navigator.locks.request(`records/${name}`, () => {
      begun = true;
      return work();
    });
  } catch (error) {
    if (begun) throw error;
    return work(); // there are no locks here: an old browser, or one whose storage is switched off
  }
}

const partsOf = (/** @type {string} */ id) => IDBKeyRange.bound([id, 0], [id, Infinity]);
/** @type {Map<string, Map<number, BlobPart>>} id → parts that found no room */
const unkept = new Map();
/** @type {Map<string, (value?: unknown) => void>} id → what tells the other tabs that this one no longer has its parts */
const told = new Map();

/** Whether a part of an item's sound is in this page's memory. */
export const inMemory = (/** @type {string} */ id) => unkept.has(id);

/** Whether a part of an item's sound is in the memory of another tab. */
export async function inAnotherTab(/** @type {string} */ id) {
  try {
    return await navigator.locks.request(`records/${id}/memory`, { ifAvailable: true }, async (lock) => !lock);
  } catch {
    return false;
  }
}

function forget(/** @type {string} */ id) {
  unkept.delete(id);
  told.get(id)?.();
  told.delete(id);
}

/**
 * Every kept item, newest first.
 * @returns {Promise<Item[]>}
 */
export async function items() {
  try {
    const found = await run('readonly', ['items'], (store) => store.getAll());
    return found.sort((a, b) => b.created - a.created);
  } catch {
    return [];
  }
}

/** A Version 4 UUID; crypto.randomUUID is there at https:// addresses only. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return [...bytes].map((byte, i) => ([4, 6, 8, 10].includes(i) ? '-' : '') + byte.toString(16).padStart(2, '0')).join('');
}

/**
 * One kept item, or undefined.
 * @param {string} id
 * @returns {Promise<Item | undefined>}
 */
export async function item(id) {
  try {
    return await run('readonly', ['items'], (store) => store.get(id));
  } catch {
    return undefined;
  }
}

/** Keeps an item as it is now. */
export async function keep(/** @type {Item} */ item) {
  try {
    await run('readwrite', ['items'], (store) => store.put(item));
  } catch {
    // The list on the page still has it.
  }
}

/** @type {Promise<boolean | void> | boolean | undefined} */
let durable; // asked once: what is not sent yet is not to be what the browser drops when the disk is full

/**
 * Keeps the n-th part of an item's sound: samples or a file. False when only memory was left for it.
 * @param {string} id @param {number} n @param {BlobPart} part
 */
export async function addPart(id, n, part) {
  durable ??= navigator.storage?.persist?.().catch(() => {}) ?? true;
  try {
    if (unkept.has(id)) throw new DOMException('in memory already', 'QuotaExceededError');
    await run('readwrite', ['parts'], (store) => store.put(part, [id, n]));
    return true;
  } catch {
    if (!unkept.has(id)) alone(`${id}/memory`, () => new Promise((resolve) => told.set(id, resolve)));
    unkept.set(id, (unkept.get(id) ?? new Map()).set(n, part));
    return false;
  }
}

/** The parts as Blobs: their bytes live with the browser, not in this page's memory. Throws when they cannot be read. */
async function soundParts(/** @type {string} */ id) {
  /** @type {Blob[]} */
  const parts = [];
  const blob = (/** @type {BlobPart} */ part) => (part instanceof Blob ? part : new Blob([part]));
  try {
    await run('readonly', ['parts'], (store) => {
      const request = store.openCursor(partsOf(id));
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor) return;
        parts.push(blob(cursor.value));
        cursor.continue();
      };
    });
  } catch (/** @type {any} */ error) {
    if (error.name !== 'NotSupportedError') throw error; // some of it is not all of it
    // There is no database: memory has it.
  }
  const rest = [...(unkept.get(id) ?? [])].sort(([a], [b]) => a - b);
  return parts.concat(rest.map(([, part]) => blob(part)));
}

/** An item's sound as a WAV file, or null when the browser has none. Throws when it cannot be read just now. */
export async function sound(/** @type {Item} */ item) {
  const parts = await soundParts(item.id);
  if (!parts.length) return null;
  if (item.source === 'file') return parts[0];
  const bytes = parts.reduce((sum, part) => sum + part.size, 0);
  return new Blob([wavHeader(bytes, item.sampleRate ?? 0), ...parts], { type: 'audio/wav' });
}

/** Lets an item's sound go. */
export async function dropSound(/** @type {string} */ id) {
  forget(id);
  try {
    await run('readwrite', ['parts'], (store) => store.delete(partsOf(id)));
  } catch {
    // There is no database, so nothing is in it.
  }
}

/** Lets an item go, with its sound. */
export async function remove(/** @type {string} */ id) {
  forget(id);
  try {
    await run('readwrite', ['items', 'parts'], (list, parts) => {
      list.delete(id);
      parts.delete(partsOf(id));
    });
  } catch {
    // There is no database, so nothing is in it.
  }
}
