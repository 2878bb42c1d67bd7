// The service, as its contract (/docs) has it. Every failure comes out as a Problem.

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
  constructor(code, { message = '', details, retryAfter } = {}) {
    super(message);
    this.code = code;
    this.details = details;
    this.retryAfter = retryAfter;
  }
}

/** One request. XMLHttpRequest, since fetch tells nothing of an upload's progress. Returns the request when it is done. */
function request(method, url, { headers = {}, body = null, onProgress, signal } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new Problem('cancelled'));
    const xhr = new XMLHttpRequest();
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

function json(xhr) {
  try {
    return JSON.parse(xhr.responseText);
  } catch {
    return {};
  }
}

/** The Problem that an answer of the API tells of. What stands before the functions answers without a code of ours. */
function problem(xhr) {
  const { code, message, details } = json(xhr);
  const retryAfter = Number(xhr.getResponseHeader('retry-after')) || undefined;
  const plain = { 401: 'invalid_credentials', 404: 'record_not_found', 413: 'audio_too_large', 429: 'unavailable', 500: 'unavailable', 502: 'unavailable', 503: 'unavailable', 504: 'unavailable' };
  return new Problem(code ?? plain[xhr.status] ?? 'unknown', { message, details, retryAfter });
}

async function call(method, url, options) {
  const xhr = await request(method, url, options);
  if (xhr.status >= 200 && xhr.status < 300) return json(xhr);
  throw problem(xhr);
}

const bearer = ({ token }) => ({ authorization: `Bearer ${token}` });

const JSON_BODY = { 'content-type': 'application/json' };

/** A new user: {id, token, name}. The same key and name again return the same user. */
export async function signUp(name, key, invite) {
  const { id, token } = await call('POST', '/users', {
    headers: { ...JSON_BODY, 'idempotency-key': key },
    body: JSON.stringify(invite ? { name, invite } : { name }),
  });
  return { id, token, name };
}

/** The account: {name, usage: {recordings, seconds, mp3_bytes}, limits}. */
export const account = (user) => call('GET', `/users?${new URLSearchParams({ user_id: user.id })}`, { headers: bearer(user) });

/** Replaces the token; the same key again returns the same one. */
export async function rotate(user, key) {
  const { token } = await call('POST', '/users/token', {
    headers: { ...JSON_BODY, ...bearer(user), 'idempotency-key': key },
    body: JSON.stringify({ user_id: user.id }),
  });
  return { ...user, token };
}

/** Begins to erase the account: {status, receipt}. */
export const erase = (user) => call('DELETE', `/users?${new URLSearchParams({ user_id: user.id })}`, { headers: bearer(user) });

/** A page of the account's recordings, newest first: {records, next?}. `next`: the address of the one after. */
export function records(user, next) {
  const query = next ? new URL(next).search : `?${new URLSearchParams({ user_id: user.id, limit: 50 })}`;
  return call('GET', `/records${query}`, { headers: bearer(user) });
}

/** Renames a recording; returns its record. */
export function rename(user, { id }, name) {
  return call('PATCH', `/record?${new URLSearchParams({ id, user: user.id })}`, {
    headers: { ...JSON_BODY, ...bearer(user) },
    body: JSON.stringify({ name }),
  });
}

/** Deletes a recording, also while the page is being closed. */
export async function remove(user, { id }) {
  const address = `/record?${new URLSearchParams({ id, user: user.id })}`;
  let answer;
  try {
    answer = await fetch(address, { method: 'DELETE', headers: bearer(user), keepalive: true });
  } catch {
    throw new Problem('network');
  }
  if (!answer.ok && answer.status !== 404) throw new Problem(answer.status === 401 ? 'invalid_credentials' : 'unavailable');
}

/** Sends a short recording; returns its record. The same key again returns the same record. */
export function sendDirect(user, key, name, wav, { onProgress, signal }) {
  return call('POST', `/records?${new URLSearchParams({ user_id: user.id, name })}`, {
    headers: { ...bearer(user), 'content-type': 'audio/wav', 'idempotency-key': key },
    body: wav,
    onProgress,
    signal,
  });
}

/**
 * Announces a long recording; returns its record, pending, with the `upload` that tells where to send it.
 * bytes: its size, where it is to go in parts.
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
 */
export async function uploadParts(ask, wav, options) {
  for (let idle = 0; idle < 3; ) {
    const record = await ask();
    if (!record.upload) return record;
    const { received, of, parts } = record.upload;
    const unlisted = (of - received - parts.length) * parts[0].bytes;
    const before = Math.max(0, wav.size - unlisted - parts.reduce((sum, { bytes }) => sum + bytes, 0));
    idle = (await sendListed(parts, wav, before, options)) ? 0 : idle + 1;
  }
  throw new Problem('unavailable');
}

/** Sends parts, a few at a time. Returns how many arrived; an address that has expired ends it early. */
async function sendListed(parts, wav, before, { onProgress, onArrived, signal }) {
  const waiting = [...parts];
  const loaded = new Map(); // number of a part → its bytes that have left
  let arrived = 0;
  let there = before;
  let failure = null;
  const show = (number, bytes) => {
    loaded.set(number, bytes);
    onProgress(before + [...loaded.values()].reduce((sum, n) => sum + n, 0), wav.size);
  };
  onArrived(before);
  onProgress(before, wav.size);
  async function lane() {
    while (waiting.length && !failure) {
      const { number, offset, bytes, url } = waiting.shift();
      try {
        const body = wav.slice(offset, offset + bytes);
        const xhr = await request('PUT', url, { body, signal, onProgress: (sent) => show(number, sent) });
        if (xhr.status < 200 || xhr.status > 299) throw new Problem([403, 404].includes(xhr.status) ? 'upload_expired' : 'unavailable');
        show(number, bytes);
        arrived += 1;
        onArrived((there += bytes));
      } catch (problem) {
        failure ??= problem; // the other lanes finish the parts that they are at
        show(number, 0);
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  if (failure && failure.code !== 'upload_expired') throw failure;
  return arrived;
}

/** Sends a long recording to the storage. */
export async function upload(target, wav, { onProgress, signal }) {
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
 */
export function look({ id, user }, owner, wait = 15) {
  const headers = { accept: 'application/json' };
  if (owner?.id === user) Object.assign(headers, bearer(owner), { prefer: `wait=${wait}` });
  return call('GET', `/record?${new URLSearchParams({ id, user })}`, { headers });
}

/** The address of a record's MP3 at the origin of this page. */
export const audioAddress = ({ id, user }) => `/record?${new URLSearchParams({ id, user })}`;
