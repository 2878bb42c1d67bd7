// The service, as its contract (/docs) has it. Every failure comes out as a Problem.

/**
 * What went wrong, as the contract has it.
 * @typedef {{code?: string, message?: string, details?: {reason?: string, max_bytes?: number, limit_bytes?: number}}} Failure
 *
 * @typedef {{id: number, token: string, name: string}} User
 *
 * @typedef {{number: number, offset: number, bytes: number, url: string}} Part
 * @typedef {{url: string, fields: Record<string, string>, max_bytes: number}} Upload where a long recording is sent whole
 * @typedef {{received: number, of: number, parts: Part[]}} UploadInParts and where the longest are
 *
 * A recording as the service has it: `code` and `message` where it has failed, what was measured once it is ready.
 * @typedef {object} ServiceRecord
 * @property {string} id
 * @property {number} user
 * @property {string} name
 * @property {'pending' | 'ready' | 'failed'} status
 * @property {string} created_at
 * @property {string} url
 * @property {string} page
 * @property {number} [duration]
 * @property {boolean} [truncated]
 * @property {{bytes: number}} [mp3]
 * @property {{silent: boolean}} [levels]
 * @property {number[]} [waveform]
 * @property {string} [code]
 * @property {string} [message]
 *
 * @typedef {ServiceRecord & {upload?: Upload | UploadInParts}} Ticket
 *
 * @typedef {(loaded: number, total: number) => void} OnProgress
 * @typedef {{onProgress: OnProgress, onArrived: (bytes: number) => void, signal: AbortSignal}} Sending
 * @typedef {{headers?: Record<string, string>, body?: XMLHttpRequestBodyInit, onProgress?: OnProgress, signal?: AbortSignal}} Options
 */

/** The most bytes of audio that POST /records takes: 4.4 MiB. */
export const DIRECT_LIMIT = 4_613_734;

/** A recording of more bytes than this goes in parts: a cut connection then costs a part, not all of it. */
export const WHOLE_LIMIT = 16 * 1024 * 1024;
/** How many parts are on their way at a time. */
const AT_ONCE = 3;

/** No byte moved for this long (ms): the connection is as good as broken. */
const STALL = 45_000;

/**
 * What went wrong. code: the contract's, or 'network', 'cancelled', 'upload_expired', 'unknown' of our own;
 * message and details: the service's; retryAfter: seconds.
 */
export class Problem extends Error {
  /** @param {string} code @param {Failure & {retryAfter?: number}} [more] */
  constructor(code, { message = '', details, retryAfter } = {}) {
    super(message);
    this.code = code;
    this.details = details;
    this.retryAfter = retryAfter;
  }
}

/**
 * One request. XMLHttpRequest, since fetch tells nothing of an upload's progress. Returns the request when it is done.
 * @param {string} method @param {string} url @param {Options} [options]
 * @returns {Promise<XMLHttpRequest>}
 */
function request(method, url, { headers = {}, body, onProgress, signal } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new Problem('cancelled'));
    const xhr = new XMLHttpRequest();
    /** @type {number | undefined} */
    let stall;
    const alive = () => {
      clearTimeout(stall);
      stall = setTimeout(() => xhr.abort(), STALL);
    };
    const cancel = () => xhr.abort();
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    if (onProgress) {
      xhr.upload.onprogress = ({ loaded, total }) => {
        alive();
        onProgress(loaded, total);
      };
    }
    xhr.onprogress = alive;
    xhr.onload = () => resolve(xhr);
    xhr.onerror = () => reject(new Problem('network'));
    xhr.onabort = () => reject(new Problem(signal?.aborted ? 'cancelled' : 'network'));
    xhr.onloadend = () => {
      clearTimeout(stall);
      signal?.removeEventListener('abort', cancel);
    };
    signal?.addEventListener('abort', cancel);
    alive();
    xhr.send(body);
  });
}

/** @param {XMLHttpRequest} xhr */
function json(xhr) {
  try {
    return JSON.parse(xhr.responseText);
  } catch {
    return {};
  }
}

/**
 * The Problem that an answer of the API tells of. What stands before the functions answers without a code of ours.
 * @param {XMLHttpRequest} xhr
 */
function problem(xhr) {
  const { code, message, details } = json(xhr);
  const retryAfter = Number(xhr.getResponseHeader('retry-after')) || undefined;
  /** @type {Record<number, string>} */
  const plain = { 401: 'invalid_credentials', 404: 'record_not_found', 413: 'audio_too_large', 429: 'unavailable', 500: 'unavailable', 502: 'unavailable', 503: 'unavailable', 504: 'unavailable' };
  return new Problem(code ?? plain[xhr.status] ?? 'unknown', { message, details, retryAfter });
}

/** @param {string} method @param {string} url @param {Options} options */
async function call(method, url, options) {
  const xhr = await request(method, url, options);
  if (xhr.status >= 200 && xhr.status < 300) return json(xhr);
  throw problem(xhr);
}

/** @param {{token: string}} user */
const bearer = ({ token }) => ({ authorization: `Bearer ${token}` });

const JSON_BODY = { 'content-type': 'application/json' };

/**
 * A new user. The same key and name again return the same user.
 * @param {string} name @param {string} key @param {string} invite
 * @returns {Promise<User>}
 */
export async function signUp(name, key, invite) {
  const { id, token } = await call('POST', '/users', {
    headers: { ...JSON_BODY, 'idempotency-key': key },
    body: JSON.stringify(invite ? { name, invite } : { name }),
  });
  return { id, token, name };
}

/**
 * The account.
 * @param {User} user
 * @returns {Promise<{usage: {recordings: number, seconds: number, mp3_bytes: number}}>}
 */
export const account = (user) => call('GET', `/users?${new URLSearchParams({ user_id: String(user.id) })}`, { headers: bearer(user) });

/**
 * Replaces the token; the same key again returns the same one.
 * @param {User} user @param {string} key
 * @returns {Promise<User>}
 */
export async function rotate(user, key) {
  const { token } = await call('POST', '/users/token', {
    headers: { ...JSON_BODY, ...bearer(user), 'idempotency-key': key },
    body: JSON.stringify({ user_id: user.id }),
  });
  return { ...user, token };
}

/**
 * Begins to erase the account.
 * @param {User} user
 * @returns {Promise<{status: string, receipt: string}>}
 */
export const erase = (user) => call('DELETE', `/users?${new URLSearchParams({ user_id: String(user.id) })}`, { headers: bearer(user) });

/**
 * A page of the account's recordings, newest first. `next`: the address of the one after.
 * @param {User} user @param {string} [next]
 * @returns {Promise<{records: ServiceRecord[], next?: string}>}
 */
export function records(user, next) {
  const query = next ? new URL(next).search : `?${new URLSearchParams({ user_id: String(user.id), limit: '50' })}`;
  return call('GET', `/records${query}`, { headers: bearer(user) });
}

/**
 * Renames a recording; returns its record.
 * @param {User} user @param {ServiceRecord} record @param {string} name
 * @returns {Promise<ServiceRecord>}
 */
export function rename(user, { id }, name) {
  return call('PATCH', `/record?${new URLSearchParams({ id, user: String(user.id) })}`, {
    headers: { ...JSON_BODY, ...bearer(user) },
    body: JSON.stringify({ name }),
  });
}

/**
 * Deletes a recording, also while the page is being closed.
 * @param {User} user @param {ServiceRecord} record
 */
export async function remove(user, { id }) {
  const address = `/record?${new URLSearchParams({ id, user: String(user.id) })}`;
  let answer;
  try {
    answer = await fetch(address, { method: 'DELETE', headers: bearer(user), keepalive: true });
  } catch {
    throw new Problem('network');
  }
  if (!answer.ok && answer.status !== 404) throw new Problem(answer.status === 401 ? 'invalid_credentials' : 'unavailable');
}

/**
 * Sends a short recording; returns its record. The same key again returns the same record.
 * @param {User} user @param {string} key @param {string} name @param {Blob} wav @param {Sending} options
 * @returns {Promise<ServiceRecord>}
 */
export function sendDirect(user, key, name, wav, { onProgress, signal }) {
  return call('POST', `/records?${new URLSearchParams({ user_id: String(user.id), name })}`, {
    headers: { ...bearer(user), 'content-type': 'audio/wav', 'idempotency-key': key },
    body: wav,
    onProgress,
    signal,
  });
}

/**
 * Announces a long recording; returns its record, pending, with the `upload` that tells where to send it.
 * bytes: its size, where it is to go in parts.
 * @param {User} user @param {string} key @param {string} name @param {{bytes?: number, signal: AbortSignal}} options
 * @returns {Promise<Ticket>}
 */
export function announce(user, key, name, { bytes, signal }) {
  return call('POST', '/uploads', {
    headers: { ...bearer(user), ...JSON_BODY, 'idempotency-key': key },
    body: JSON.stringify({ user_id: user.id, name, bytes }),
    signal,
  });
}

/**
 * Sends the parts that the service does not have yet, and returns the record once it has all of them.
 * ask(): announces the recording (again), which tells what is missing; onArrived(bytes): so much has arrived by now.
 * @param {() => Promise<Ticket>} ask @param {Blob} wav @param {Sending} options
 * @returns {Promise<Ticket>}
 */
export async function uploadParts(ask, wav, options) {
  for (let idle = 0; idle < 3; ) {
    const record = await ask();
    if (!record.upload) return record;
    if (!('parts' in record.upload)) throw new Problem('unknown');
    const { received, of, parts } = record.upload;
    const unlisted = (of - received - parts.length) * parts[0].bytes;
    const before = Math.max(0, wav.size - unlisted - parts.reduce((sum, { bytes }) => sum + bytes, 0));
    idle = (await sendListed(parts, wav, before, options)) ? 0 : idle + 1;
  }
  throw new Problem('unavailable');
}

/**
 * Sends parts, a few at a time. Returns how many arrived; an address that has expired ends it early.
 * @param {Part[]} parts @param {Blob} wav @param {number} before @param {Sending} options
 */
async function sendListed(parts, wav, before, { onProgress, onArrived, signal }) {
  const waiting = [...parts];
  /** @type {Map<number, number>} number of a part → its bytes that have left */
  const loaded = new Map();
  let arrived = 0;
  let there = before;
  /** @type {Problem | undefined} */
  let failure;
  const show = (/** @type {number} */ number, /** @type {number} */ bytes) => {
    loaded.set(number, bytes);
    onProgress(before + [...loaded.values()].reduce((sum, n) => sum + n, 0), wav.size);
  };
  onArrived(before);
  onProgress(before, wav.size);
  async function lane() {
    for (let part; !failure && (part = waiting.shift()); ) {
      const { number, offset, bytes, url } = part;
      try {
        const body = wav.slice(offset, offset + bytes);
        const xhr = await request('PUT', url, { body, signal, onProgress: (sent) => show(number, sent) });
        if (xhr.status < 200 || xhr.status > 299) throw new Problem([403, 404].includes(xhr.status) ? 'upload_expired' : 'unavailable');
        show(number, bytes);
        arrived += 1;
        onArrived((there += bytes));
      } catch (/** @type {any} */ problem) {
        failure ??= problem; // the other lanes finish the parts that they are at
        show(number, 0);
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  if (failure && failure.code !== 'upload_expired') throw failure;
  return arrived;
}

/**
 * Sends a long recording to the storage.
 * @param {Upload | UploadInParts} target @param {Blob} wav @param {Sending} options
 */
export async function upload(target, wav, { onProgress, signal }) {
  if (!('fields' in target)) throw new Problem('unknown');
  if (wav.size > target.max_bytes) throw new Problem('audio_too_large', { details: { max_bytes: target.max_bytes } });
  const form = new FormData();
  for (const [name, value] of Object.entries(target.fields)) form.append(name, value);
  form.append('file', wav);
  const xhr = await request('POST', target.url, { body: form, onProgress, signal });
  if (xhr.status >= 200 && xhr.status < 300) return;
  // The storage answers in XML of its own.
  if (xhr.responseText.includes('EntityTooLarge')) {
    throw new Problem('audio_too_large', { details: { max_bytes: target.max_bytes } });
  }
  throw new Problem(xhr.status === 403 ? 'upload_expired' : 'unavailable');
}

/**
 * The record as it is now; its status tells whether it is 'pending' or 'ready'. With the owner's identity the answer
 * is held until that changes, for `wait` seconds at most.
 * @param {ServiceRecord} record @param {User | null} [owner]
 * @returns {Promise<ServiceRecord>}
 */
export function look({ id, user }, owner, wait = 15) {
  const headers = { accept: 'application/json' };
  if (owner?.id === user) Object.assign(headers, bearer(owner), { prefer: `wait=${wait}` });
  return call('GET', `/record?${new URLSearchParams({ id, user: String(user) })}`, { headers });
}

/**
 * The address of a record's MP3 at the origin of this page.
 * @param {ServiceRecord} record
 */
export const audioAddress = ({ id, user }) => `/record?${new URLSearchParams({ id, user: String(user) })}`;
