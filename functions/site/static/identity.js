// Who this browser is: an id and a token that the service gave it, kept here and nowhere else.

import * as api from './api.js';
import { byId, one } from './elements.js';
import { qrElement } from './qr.js';
import { alone, newId } from './store.js';
import { clock, explain, size, words } from './strings.js';

/**
 * @import { Problem, User } from './api.js'
 * @import { Ask, Copy, Say, Toast } from './page.js'
 */

const IDENTITY = 'records.identity';
const ATTEMPT = 'records.sign-up';
const ROTATION = 'records.rotation';

/** @type {Map<string, unknown>} */
const memory = new Map(); // for browsers whose storage is switched off

/**
 * @param {string} name
 * @returns {any}
 */
function read(name) {
  try {
    return JSON.parse(localStorage.getItem(name) ?? 'null') ?? memory.get(name) ?? null;
  } catch {
    return memory.get(name) ?? null;
  }
}

/** @param {string} name @param {unknown} value */
function write(name, value) {
  memory.set(name, value);
  try {
    if (value) localStorage.setItem(name, JSON.stringify(value));
    else localStorage.removeItem(name);
  } catch {
    // Storage is switched off: it lasts as long as the page.
  }
}

/**
 * This browser's user, or null.
 * @returns {User | null}
 */
export const identity = () => read(IDENTITY);

/**
 * Signs up, unless another tab has. A sign-up whose answer was lost is repeated with its key, and so makes one user.
 * @param {string} name @param {string} invite
 */
function signUp(name, invite) {
  return alone('sign-up', async () => {
    if (identity()) return;
    let attempt = read(ATTEMPT);
    if (attempt?.name !== name) attempt = { name, key: newId() };
    write(ATTEMPT, attempt);
    try {
      write(IDENTITY, await api.signUp(name, attempt.key, invite));
      write(ATTEMPT, null);
    } catch (/** @type {any} */ problem) {
      if (!passes(problem)) write(ATTEMPT, null); // it made nobody
      throw problem;
    }
  });
}

const passes = (/** @type {Problem} */ { code }) => code === 'network' || code === 'unavailable';

/** Replaces the token. One whose answer was lost is repeated with its key: the old token may do just that. */
async function rotate(/** @type {User} */ user) {
  const key = read(ROTATION) ?? newId();
  write(ROTATION, key);
  try {
    write(IDENTITY, await api.rotate(user, key));
  } catch (/** @type {any} */ problem) {
    if (passes(problem)) throw problem;
    write(ROTATION, null);
    throw problem;
  }
  write(ROTATION, null);
}

/**
 * The dialogs of sign-up and account. changed(): who is here has changed; erased(user): their recordings are gone.
 * @param {{changed: () => void, erased: (user: User) => void, ask: Ask, say: Say, toast: Toast, copy: Copy}} page
 */
export function openIdentity({ changed, erased, ask, say, toast, copy }) {
  const dialog = byId('sign-up', HTMLDialogElement);
  const nameField = byId('name', HTMLInputElement);
  /** @type {((found: User | null) => void)[]} those who asked for an identity */
  let waiting = [];

  function settle(/** @type {User | null} */ found) {
    for (const resolve of waiting) resolve(found);
    waiting = [];
  }

  /**
   * The identity, asked for where there is none; null where the person does not want one now.
   * @param {string} [why]
   * @returns {Promise<User | null>}
   */
  function need(why) {
    if (identity() && !why) return Promise.resolve(identity());
    /** @type {Promise<User | null>} */
    const promise = new Promise((resolve) => waiting.push(resolve));
    byId('sign-up-problem').textContent = why ? words(why) : '';
    if (!dialog.open) dialog.showModal();
    nameField.focus();
    return promise;
  }

  byId('sign-up-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const name = nameField.value.trim();
    const button = one(dialog, '[type="submit"]', HTMLButtonElement);
    const problem = byId('sign-up-problem');
    if (button.disabled) return;
    problem.textContent = name ? '' : words('welcome.empty');
    if (!name) return nameField.focus();
    button.disabled = true;
    try {
      await signUp(name, byId('invite', HTMLInputElement).value.trim());
      const user = identity();
      settle(user);
      dialog.close();
      changed();
      if (user) say(words('say.welcome', { name: user.name }));
    } catch (/** @type {any} */ error) {
      if (error.code === 'invite_required') byId('invite-field').hidden = false;
      problem.textContent = explain(error);
      byId(error.code === 'invite_required' ? 'invite' : 'name').focus();
    } finally {
      button.disabled = false;
    }
  });
  byId('sign-up-later').addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => settle(identity()));

  // ---- the account

  const account = byId('account', HTMLDialogElement);
  const address = one(account, '.address', HTMLInputElement);

  async function show() {
    const user = identity();
    if (!user) return;
    byId('account-name').textContent = user.name;
    byId('my-id').textContent = String(user.id);
    byId('my-usage').textContent = '…';
    byId('account-problem').textContent = '';
    byId('moving').hidden = true;
    account.showModal();
    try {
      const { usage } = await api.account(user);
      const values = { recordings: words('recordings', { n: usage.recordings }), length: clock(usage.seconds), size: size(usage.mp3_bytes) };
      byId('my-usage').textContent = words('me.usage.some', values);
    } catch {
      byId('my-usage').textContent = words('me.usage.unknown');
    }
  }

  /**
   * Does what a button says, once the person is sure; what goes wrong is said in the dialog.
   * @param {string} id @param {string} question @param {string} yes @param {(user: User) => unknown} work
   */
  function offer(id, question, yes, work) {
    const button = byId(id, HTMLButtonElement);
    button.addEventListener('click', async () => {
      if (!(await ask(words(question), words(yes)))) return;
      const user = identity();
      if (!user) return;
      button.disabled = true;
      byId('account-problem').textContent = '';
      try {
        await work(user);
      } catch (/** @type {any} */ problem) {
        byId('account-problem').textContent = explain(problem);
      } finally {
        button.disabled = false;
      }
    });
  }

  function leave() {
    write(IDENTITY, null);
    account.close();
    changed();
  }

  byId('me').addEventListener('click', show);
  one(account, '.close').addEventListener('click', () => account.close());
  offer('move', 'sure.move', 'sure.move.yes', (user) => {
    // What stands behind # is never sent to a server.
    const packed = btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(user))));
    const link = `${location.origin}/#move=${packed.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`;
    byId('moving').hidden = false;
    address.value = link;
    try {
      one(account, '.qr').replaceChildren(qrElement(link));
    } catch {
      one(account, '.qr').replaceChildren(); // a name too long for a code: the link has it all
    }
    address.select();
  });
  one(account, '.copy-move').addEventListener('click', async () => {
    if (await copy(address.value)) one(account, '.copy-move span').textContent = words('item.copied');
    else address.select();
  });
  offer('rotate', 'sure.rotate', 'me.rotate', async (user) => {
    await rotate(user);
    account.close();
    toast(words('me.rotated'));
  });
  offer('sign-out', 'sure.sign_out', 'me.sign_out', leave);
  offer('erase', 'sure.erase', 'me.erase', async (user) => {
    const { receipt } = await api.erase(user);
    leave();
    erased(user);
    toast(words('me.erasing'), { lasting: true, link: { href: receipt, text: words('me.receipt') } });
  });

  /** Takes over an identity from the address, where another device handed one over. */
  async function takeOver() {
    const packed = /^#move=([\w-]+)$/.exec(location.hash)?.[1];
    if (!packed) return;
    history.replaceState(null, '', '/');
    let user;
    try {
      const bytes = Uint8Array.from(atob(packed.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
      const { id, token, name } = JSON.parse(new TextDecoder().decode(bytes));
      user = { id, token, name };
      if (!Number.isSafeInteger(id) || typeof token !== 'string' || typeof name !== 'string') return;
    } catch {
      return; // not a link of ours
    }
    const other = identity();
    if (other?.token === user.token) return;
    try {
      await api.account(user); // an old link of one's own, whose key was replaced since, must not take the place of the new
    } catch (/** @type {any} */ problem) {
      toast(problem.code === 'invalid_credentials' ? words('me.dead') : explain(problem), { alert: true });
      return;
    }
    if (other?.id !== user.id) {
      const question = other ? words('sure.replace', { name: user.name, other: other.name }) : words('sure.sign_in', { name: user.name });
      if (!(await ask(question, words('welcome.go')))) return;
    }
    write(IDENTITY, user);
    changed();
    toast(words('me.moved', { name: user.name }));
  }

  addEventListener('hashchange', takeOver);
  addEventListener('storage', ({ key }) => {
    if (key !== IDENTITY) return;
    memory.delete(IDENTITY);
    if (identity() && dialog.open) dialog.close(); // another tab has signed up
    changed();
  });

  return {
    need,
    takeOver,
    /** The service does not know this identity (any more). */
    async refused() {
      const user = identity();
      if (user && read(ROTATION)) {
        try {
          await rotate(user);
          return changed();
        } catch (/** @type {any} */ problem) {
          if (passes(problem)) return undefined;
        }
      }
      if (user) nameField.value ||= user.name;
      write(IDENTITY, null);
      changed();
      return need('welcome.again');
    },
  };
}
