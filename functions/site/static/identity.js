// Who this browser is: an id and a token that the service gave it, kept here and nowhere else.

import * as api from './api.js';
import { qrElement } from './qr.js';
import { newId } from './store.js';
import { clock, explain, size, words } from './strings.js';

const IDENTITY = 'records.identity';
const ATTEMPT = 'records.sign-up';
const ROTATION = 'records.rotation';

const byId = (id) => document.getElementById(id);
const memory = new Map(); // for browsers whose storage is switched off

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? memory.get(name) ?? null;
  } catch {
    return memory.get(name) ?? null;
  }
}

function write(name, value) {
  memory.set(name, value);
  try {
    if (value) localStorage.setItem(name, JSON.stringify(value));
    else localStorage.removeItem(name);
  } catch {
    // Storage is switched off: it lasts as long as the page.
  }
}

/** {id, token, name} of this browser's user, or null. */
export const identity = () => read(IDENTITY);

/** Runs `work` while no other tab signs up. */
const alone = (work) => (navigator.locks ? navigator.locks.request('records/sign-up', work) : work());

/** Signs up, unless another tab has. A sign-up whose answer was lost is repeated with its key, and so makes one user. */
function signUp(name, invite) {
  return alone(async () => {
    if (identity()) return;
    let attempt = read(ATTEMPT);
    if (attempt?.name !== name) attempt = { name, key: newId() };
    write(ATTEMPT, attempt);
    try {
      write(IDENTITY, await api.signUp(name, attempt.key, invite));
      write(ATTEMPT, null);
    } catch (problem) {
      if (!passes(problem)) write(ATTEMPT, null); // it made nobody
      throw problem;
    }
  });
}

const passes = ({ code }) => code === 'network' || code === 'unavailable';

/** Replaces the token. One whose answer was lost is repeated with its key: the old token may do just that. */
async function rotate(user) {
  const key = read(ROTATION) ?? newId();
  write(ROTATION, key);
  try {
    write(IDENTITY, await api.rotate(user, key));
  } catch (problem) {
    if (passes(problem)) throw problem;
    write(ROTATION, null);
    throw problem;
  }
  write(ROTATION, null);
}

/**
 * The dialogs of sign-up and account. changed(): who is here has changed; erased(user): their recordings are gone; ask(question, yes): a promise of a boolean;
 * say(text): for a screen reader; toast(text): for everybody; copy(text): a promise of whether it was copied.
 */
export function openIdentity({ changed, erased, ask, say, toast, copy }) {
  const dialog = byId('sign-up');
  let waiting = []; // those who asked for an identity

  function settle(found) {
    for (const resolve of waiting) resolve(found);
    waiting = [];
  }

  /** The identity, asked for where there is none; null where the person does not want one now. */
  function need(why) {
    if (identity() && !why) return Promise.resolve(identity());
    const promise = new Promise((resolve) => waiting.push(resolve));
    byId('sign-up-problem').textContent = why ? words(why) : '';
    if (!dialog.open) dialog.showModal();
    byId('name').focus();
    return promise;
  }

  byId('sign-up-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const name = byId('name').value.trim();
    const button = dialog.querySelector('[type="submit"]');
    const problem = byId('sign-up-problem');
    if (button.disabled) return;
    problem.textContent = name ? '' : words('welcome.empty');
    if (!name) return byId('name').focus();
    button.disabled = true;
    try {
      await signUp(name, byId('invite').value.trim());
      settle(identity());
      dialog.close();
      changed();
      say(words('say.welcome', { name: identity().name }));
    } catch (error) {
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

  const account = byId('account');

  async function show() {
    const user = identity();
    byId('account-name').textContent = user.name;
    byId('my-id').textContent = user.id;
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

  /** Does what a button says, once the person is sure; what goes wrong is said in the dialog. */
  function offer(id, question, yes, work) {
    byId(id).addEventListener('click', async () => {
      if (!(await ask(words(question), words(yes)))) return;
      const button = byId(id);
      button.disabled = true;
      byId('account-problem').textContent = '';
      try {
        await work(identity());
      } catch (problem) {
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
  account.querySelector('.close').addEventListener('click', () => account.close());
  offer('move', 'sure.move', 'sure.move.yes', (user) => {
    // What stands behind # is never sent to a server.
    const packed = btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(user))));
    const link = `${location.origin}/#move=${packed.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`;
    byId('moving').hidden = false;
    const field = account.querySelector('.address');
    field.value = link;
    try {
      account.querySelector('.qr').replaceChildren(qrElement(link));
    } catch {
      account.querySelector('.qr').replaceChildren(); // a name too long for a code: the link has it all
    }
    field.select();
  });
  account.querySelector('.copy-move').addEventListener('click', async () => {
    const copied = await copy(account.querySelector('.address').value);
    if (copied) account.querySelector('.copy-move span').textContent = words('item.copied');
    else account.querySelector('.address').select();
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
    if (other && other.id !== user.id) {
      if (!(await ask(words('sure.replace', { name: user.name, other: other.name }), words('welcome.go')))) return;
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
        } catch (problem) {
          if (passes(problem)) return undefined;
        }
      }
      if (user) byId('name').value ||= user.name;
      write(IDENTITY, null);
      changed();
      return need('welcome.again');
    },
  };
}
