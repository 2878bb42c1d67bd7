// The page: who is here, what is recorded or brought, and the list of it.

import { signUp } from './api.js';
import { openBooth } from './booth.js';
import { Row } from './list.js';
import { alone, createSender } from './sender.js';
import * as store from './store.js';
import { looksLikeWav } from './wav.js';
import { drawWhole, sentence } from './waveform.js';
import { explain, language, translate, when, words } from './words.js';

const byId = (id) => document.getElementById(id);
const rows = new Map(); // id → Row
// Other tabs of this browser show the same list.
const tabs = 'BroadcastChannel' in window ? new BroadcastChannel('records') : null;

document.documentElement.lang = language;
translate(document);

// ---- telling

/** Tells a screen reader. The same sentence twice is told twice. */
function say(text) {
  byId('live').textContent = '';
  setTimeout(() => { byId('live').textContent = text; }, 50);
}

/** Asks before something is lost. True when the answer is `yes`. */
function ask(question, yes) {
  return new Promise((resolve) => {
    const dialog = byId('ask');
    byId('question').textContent = question;
    byId('yes').textContent = yes;
    dialog.returnValue = '';
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
    dialog.showModal();
  });
}

// ---- the list

function newItem(source, more = {}) {
  const created = Date.now();
  const name = words('booth.name', { when: when(created) });
  const id = store.newId();
  return { id, key: id, source, name, created, state: source === 'file' ? 'waiting' : 'recording', ...more };
}

/** Shows an item, kept or not. */
function list(item) {
  if (!rows.has(item.id)) {
    const row = new Row(item, { actions, sender, say });
    rows.set(item.id, row);
    byId('list').prepend(row.element);
  }
  rows.get(item.id).update();
  byId('none').hidden = [...rows.values()].some((row) => !row.element.hidden);
  return rows.get(item.id);
}

/** An item has changed: it is kept, shown, and the other tabs are told. `kept: false`: only its progress has. */
async function changed(item, { kept = true } = {}) {
  if (item.removed) return;
  list(item);
  if (!kept) return;
  await store.keep(item);
  tabs?.postMessage(item.id);
}

function unlist(item) {
  item.removed = true;
  const row = rows.get(item.id);
  rows.delete(item.id);
  const next = row.element.nextElementSibling ?? row.element.previousElementSibling;
  const focused = row.element.contains(document.activeElement);
  row.leave();
  byId('none').hidden = rows.size > 0;
  if (focused) (next?.querySelector('article') ?? byId('record')).focus();
}

const sender = createSender({ changed, signedOut: () => welcome('welcome.again') });

const actions = {
  send: (item) => sender.send(item),
  cancel: (item) => sender.cancel(item),

  rename(item, name) {
    if (name) item.name = name;
    changed(item);
  },

  async copy({ name, record }) {
    try {
      await navigator.clipboard.writeText(record.url);
    } catch {
      // Older way, for pages that are not at https:// addresses.
      const field = Object.assign(document.createElement('textarea'), { value: record.url });
      document.body.append(field);
      field.select();
      document.execCommand('copy');
      field.remove();
    }
    say(words('say.copied', { name }));
  },

  async remove(item) {
    const question = words(item.record ? 'sure.remove.sent' : 'sure.remove');
    if (!(await ask(question, words('item.remove')))) return;
    unlist(item);
    sender.cancel(item);
    await store.remove(item.id);
    tabs?.postMessage(item.id);
    say(words('say.removed', { name: item.name }));
  },
};

tabs?.addEventListener('message', async ({ data: id }) => {
  const kept = await store.item(id);
  const row = rows.get(id);
  if (row && (!kept || kept.state === 'kept')) sender.stop(row.item);
  if (kept && row) list(Object.assign(row.item, kept));
  else if (kept) {
    list(kept);
    goOn(kept);
  } else if (row) unlist(row.item);
});

/** Goes on with an item as the last page left it. */
async function goOn(item) {
  if (item.state === 'recording') {
    await alone(item.id, async () => {
      const now = await store.item(item.id);
      if (!now) return rows.has(item.id) && unlist(item); // another tab has thrown it away
      if (now.state !== 'recording') return;
      if (now.bytes) await changed(Object.assign(item, now, { state: 'kept', note: 'recovered' }));
      else {
        unlist(item); // the page closed within its first second
        await store.remove(item.id);
      }
    });
  } else if (item.state === 'unsent') await sender.send(item);
  else if (['waiting', 'sending', 'converting'].includes(item.state)) await sender.resume(item);
}

addEventListener('online', () => {
  for (const { item } of rows.values()) if (item.state === 'unsent') sender.send(item);
});

// ---- files

async function bring(files) {
  const problem = byId('booth-problem');
  problem.textContent = '';
  // Said at once: another bring() may still be under way, and neither may take the other's words away.
  const refuse = (key, { name }) => problem.append(words(key, { name }), ' ');
  let added = 0;
  for (const file of files) {
    if (!file.size) refuse('problem.empty', file);
    else if (!(await looksLikeWav(file).catch(() => false))) refuse('problem.not_wav', file);
    else {
      const item = newItem('file', { name: file.name.replace(/\.(wav|wave)$/i, '') || file.name, bytes: file.size });
      sender.resume(item, async () => {
        await changed(item);
        item.unkept = !(await store.addPart(item.id, 0, file));
        await changed(item);
      });
      added += 1;
    }
  }
  if (added) say(words('say.added', { n: added }));
}

byId('choose').addEventListener('click', () => byId('files').click());
byId('files').addEventListener('change', ({ target }) => {
  bring([...target.files]);
  target.value = ''; // so that the same file can be chosen again
});

let over = 0; // how many elements the dragged files are over: each child of the page enters and leaves of its own
const carriesFiles = (event) => event.dataTransfer?.types.includes('Files') && store.identity();
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
  bring([...event.dataTransfer.files]);
});

// ---- who is here

const booth = openBooth({
  newItem,
  ask,
  say,
  begun: (item) => changed(item),
  async kept(item) {
    await changed(Object.assign(item, { state: 'kept' }));
    const row = list(item);
    row.element.scrollIntoView({ block: 'nearest' });
    row.focus();
  },
  async dropped(item) {
    unlist(item);
    await store.remove(item.id);
    tabs?.postMessage(item.id);
  },
});

// Something to look at for who has recorded nothing yet. It follows the window's size and the light.
const decorate = () => drawWhole(byId('sample'), sentence(150), 0.38);
new ResizeObserver(decorate).observe(byId('sample'));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  decorate();
  for (const row of rows.values()) row.update();
});

/** Shows who is here, or asks. */
function greet() {
  const user = store.identity();
  byId('me').hidden = !user;
  byId('welcome').hidden = Boolean(user);
  byId('booth').hidden = !user;
  byId('sent').hidden = !user && !rows.size;
  byId('my-name').textContent = user?.name ?? '';
  byId('my-id').textContent = user?.id ?? '';
}

/** Asks for a name (again). What is being recorded goes on. */
function welcome(why) {
  byId('name').value ||= store.identity()?.name ?? '';
  if (why) store.keepIdentity(null); // else the old one is good until there is another
  greet();
  byId('welcome').hidden = false;
  byId('booth').hidden = !booth.busy;
  byId('welcome-problem').textContent = why ? words(why) : '';
}

byId('sign-up').addEventListener('submit', async (event) => {
  event.preventDefault();
  const name = byId('name').value.trim();
  const button = byId('sign-up').querySelector('button');
  if (!name || button.disabled) {
    byId('welcome-problem').textContent = name ? '' : words('welcome.empty');
    byId('name').focus();
    return;
  }
  button.disabled = true;
  try {
    store.keepIdentity(await signUp(name));
    byId('welcome-problem').textContent = '';
    byId('name').value = '';
    greet();
    say(words('say.welcome', { name }));
    byId('record').focus();
    for (const { item } of rows.values()) if (item.state === 'unsent') sender.send(item);
  } catch (problem) {
    byId('welcome-problem').textContent = explain(problem);
  } finally {
    button.disabled = false;
  }
});

addEventListener('keydown', ({ key }) => {
  if (key !== 'Escape' || !byId('me').open) return;
  byId('me').open = false;
  byId('me').querySelector('summary').focus();
});
addEventListener('click', ({ target }) => {
  if (!byId('me').contains(target)) byId('me').open = false;
});

byId('forget').addEventListener('click', async () => {
  byId('me').open = false;
  if (!(await ask(words('sure.forget'), words('me.forget')))) return;
  welcome();
  byId('name').select();
});

byId('loading').remove();
greet();
for (const item of (await store.items()).reverse()) list(item);
for (const { item } of [...rows.values()]) goOn(item);
greet();
