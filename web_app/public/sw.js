/**
 * The service worker: answers without a network, and isolates the page where its host cannot.
 *
 * The page fills the cache (src/offline.ts). URLs with a digest or a version in them never change, so the cache answers
 * those at once; all else comes from the network, and from the cache only where there is none.
 */

const CACHE = `nelf ${self.registration.scope}`;
/** Of URLs relative to the page. */
const FIXED = /^(viewer|litert-[\d.]+)\/|[?&]v=[0-9a-f]{16}/;
const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope)) {
    event.respondWith(answer(request));
  }
});

async function answer(request) {
  const { pathname } = new URL(request.url);
  const kept = async () => {
    const page = request.mode === "navigate" && pathname === new URL(self.registration.scope).pathname;
    const url = page ? self.registration.scope : request.url; // one page, whatever it is asked to show
    return (await caches.open(CACHE)).match(url);
  };
  if (FIXED.test(request.url.slice(self.registration.scope.length))) {
    const fixed = await kept();
    if (fixed) return isolated(fixed);
  }
  try {
    return isolated(await fetch(request));
  } catch (error) {
    const copy = await kept();
    if (copy) return isolated(copy);
    throw error;
  }
}

/** With the headers that allow threads. Those of a host that sends them stay. */
function isolated(response) {
  if (response.status === 0 || response.headers.has("Cross-Origin-Embedder-Policy")) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value);
  const { body, status, statusText } = response;
  return new Response(body, { status, statusText, headers });
}
