// Keeps the page's own files, so that it opens without a network. Nothing of the service is ever kept.

const CACHE = '{assets}';
const FILES = ['/'];
const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

worker.addEventListener('install', (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)).then(() => worker.skipWaiting()));
});

worker.addEventListener('activate', (event) => {
  const old = async () => {
    for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
    await worker.clients.claim();
  };
  event.waitUntil(old());
});

/** From the network first, so that a new version is seen at once; from what is kept where there is none. */
async function page(/** @type {Request} */ request) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put('/', answer.clone());
    return answer;
  } catch {
    return (await cache.match('/')) ?? Response.error();
  }
}

/** A file's address changes with its content: what is kept under it is right. */
async function asset(/** @type {Request} */ request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request);
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.ok) await cache.put(request, answer.clone());
  return answer;
}

worker.addEventListener('fetch', (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (event.request.method !== 'GET' || origin !== location.origin) return;
  if (['audioworklet', 'worker'].includes(event.request.destination)) return; // WebKit loads none that a service worker answers
  if (pathname === '/') event.respondWith(page(event.request));
  else if (pathname.startsWith(`${CACHE}/`)) event.respondWith(asset(event.request));
});
