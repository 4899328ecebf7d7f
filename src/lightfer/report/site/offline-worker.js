// Keeps this site's files as they are first fetched, those of the first view at once, and adds the
// headers that isolate it. A new build has another name, and takes nothing that the browser kept for
// the host, so that no old file stays.

const BUILD = "{{build}}",
  SHELL = [/* shell */];
const CACHE = `lightfer-${BUILD}-${self.registration.scope}`;
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(filled());
});

async function filled() {
  const cache = await caches.open(CACHE);
  await cache.addAll(SHELL.map((file) => new Request(file, { cache: "reload" })));
}

self.addEventListener("activate", (event) => event.waitUntil(takeOver()));

async function takeOver() {
  const ours = (name) => name.startsWith("lightfer-") && name.endsWith(self.registration.scope);
  const old = (await caches.keys()).filter((name) => ours(name) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope))
    event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  let found = await cache.match(request, { ignoreSearch: true });
  if (!found) {
    found = await fetch(request.url, { cache: "no-cache", redirect: request.redirect });
    if (found.type === "opaqueredirect") return found; // the browser follows it
    if (found.ok && found.status === 200) await cache.put(request, found.clone()).catch(() => {}); // full
  }
  const headers = new Headers(found.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}
