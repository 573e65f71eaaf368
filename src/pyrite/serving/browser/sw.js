// Keeps the page, so that it works without a network, and answers with the headers that threads need. `pyrite page`
// writes the lines below.
const VERSION = "{{version}}";
const FILES = "{{files}}";
const POLICY = "{{policy}}";

const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Content-Security-Policy": POLICY, // Also for the page's workers, which have no other.
};
const PREFIX = `pyrite ${registration.scope} `; // Other pages of this host have caches too.
const CACHE = PREFIX + VERSION;

addEventListener("install", (event) => {
  const requests = FILES.map((path) => new Request(path, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)));
});

addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
      await clients.claim();
    })(),
  );
});

addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && event.request.url.startsWith(registration.scope)) event.respondWith(answer(event.request));
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  const wanted = request.mode === "navigate" ? registration.scope : request; // Whatever its address, the page is one.
  let found = await cache.match(wanted, { ignoreSearch: true });
  if (!found) {
    found = await fetch(request);
    if (found.ok) await cache.put(wanted, found.clone()); // What only some browsers ask for.
  }
  const headers = new Headers(found.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}
