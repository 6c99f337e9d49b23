// Keeps the page and its modules, so that it works without a network the next time. Newer ones win where they can be had.
// Models are kept elsewhere: src/models.ts.
export {};
const scope = self as unknown as ServiceWorkerGlobalScope;
const KEPT = "hearken";

scope.addEventListener("install", event => event.waitUntil(scope.skipWaiting()));
scope.addEventListener("activate", event => event.waitUntil(scope.clients.claim()));

async function answer(request: Request): Promise<Response> {
  const kept = await caches.open(KEPT);
  try {
    const response = await fetch(request);
    if (response.ok) await kept.put(request, response.clone());
    return response;
  } catch (error) {
    const found = await kept.match(request, { ignoreSearch: true });
    if (found) return found;
    throw error;
  }
}

scope.addEventListener("fetch", event => {
  const { request } = event;
  const url = new URL(request.url);
  const ours = url.origin === scope.location.origin && request.method === "GET";
  if (ours && /\/$|\.(html|css|js|json|wasm)$/.test(url.pathname)) event.respondWith(answer(request));
});

// What the first visit fetched before this was there.
const PARTS = [
  "page/", "page/style.css", "page/page.js", "src/index.js", "src/messages.js", "src/models.js", "src/microphone.js", "src/worker.js",
  "src/area.js", "src/descriptor.js", "src/helper.js", "src/listener.js", "src/pool.js", "src/recognizer.js", "src/wasi.js", "src/worklet.js", "src/hearken-guest.wasm", "src/hearken-listener.wasm",
];
// For engines without relaxed SIMD; not every build has it.
const VARIANT = "src/hearken-guest-simd.wasm";
async function keep(): Promise<void> {
  const kept = await caches.open(KEPT);
  await Promise.all([kept.addAll(PARTS), kept.add(VARIANT).catch(() => undefined)]);
}
scope.addEventListener("install", event => event.waitUntil(keep()));
