// Whisper for the web, side by side: `make bench-web` (MODEL=FILE, a ggml model; WAV=FILE, 16 kHz, one channel of 16 bits).
// Every engine has the same model file and the same samples; they take turns. The others have one thread, or THREADS, need
// shared memory even for one, and get the headers for it. Prints a line of JSON for each run, then medians. ENGINE names one
// engine, for callers who take turns themselves, and RUNS how often it transcribes.
import { spawn } from "node:child_process";
import { createReadStream, mkdtempSync, rmSync } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";

const [model, wav, rounds = "3", threads = "1", chromium = "chromium", only, times = "2"] = process.argv.slice(2);
if (!wav) {
  console.error("usage: node bench.mjs MODEL WAV [ROUNDS] [THREADS] [CHROMIUM] [ENGINE] [RUNS]");
  process.exit(2);
}
const here = path.dirname(new URL(import.meta.url).pathname);
const web = path.resolve(here, "../../../target/web");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };
const ENGINES = ["hearken", "hearken, plain SIMD", "whisper.cpp 1.9.4", "transcribe.js 1.0.7"].filter(engine => (only ?? engine) === engine);
const HEADERS = {
  "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp", "cross-origin-resource-policy": "same-origin",
};

let take = () => {};
const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  if (request.method === "POST") {
    let body = "";
    for await (const piece of request) body += piece;
    response.writeHead(204, HEADERS).end();
    return take(JSON.parse(body));
  }
  const places = { "/model": model, "/wav": wav, "/plain/hearken-guest.wasm": `${web}/src/hearken-guest-simd.wasm`,
    "/plain/hearken-listener.wasm": `${web}/src/hearken-listener.wasm` };
  const root = pathname.startsWith("/src/") ? web : here;
  const file = places[pathname] ?? path.join(root, path.normalize(pathname));
  const found = await stat(file).catch(() => null);
  if (!found?.isFile()) return response.writeHead(404, HEADERS).end();
  response.writeHead(200, { ...HEADERS, "content-type": TYPES[path.extname(file)] ?? "application/octet-stream", "content-length": found.size });
  createReadStream(file).pipe(response);
}).listen(0, "127.0.0.1");
await new Promise(ready => server.once("listening", ready));

/** One engine in a browser of its own. */
async function run(engine) {
  const profile = mkdtempSync(path.join(tmpdir(), "hearken-bench-"));
  const answer = new Promise(resolve => { take = resolve; });
  const page = `http://127.0.0.1:${server.address().port}/bench.html?threads=${threads}&runs=${times}&engine=${encodeURIComponent(engine)}`;
  const browser = spawn(chromium, [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server", "--remote-debugging-port=0",
    `--user-data-dir=${profile}`, page,
  ], { stdio: "ignore", detached: true });
  const late = setTimeout(() => take({ error: "it took more than five minutes" }), 300_000);
  const result = await answer;
  clearTimeout(late);
  const gone = new Promise(resolve => browser.once("exit", resolve));
  // Debian's command is a script: all of its group ends.
  process.kill(-browser.pid);
  await gone;
  rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  return result;
}

const runs = new Map(ENGINES.map(engine => [engine, []]));
for (let round = 0; round < Number(rounds); round++) {
  for (const engine of ENGINES) {
    const result = await run(engine);
    console.log(JSON.stringify({ engine, ...result }));
    if (!result.error) runs.get(engine).push(result);
  }
}
const median = numbers => numbers.toSorted((one, other) => one - other)[numbers.length >> 1];
const first = median(runs.get(ENGINES[0]).map(result => Math.min(...result.runs)));
for (const [engine, results] of runs) {
  if (!results.length) continue;
  const best = median(results.map(result => Math.min(...result.runs)));
  const { memory } = results[0];
  console.log(`${engine.padEnd(22)} ${(best / 1000).toFixed(2)} s  ${(best / first).toFixed(2)}  load ${(median(results.map(result => result.load)) / 1000).toFixed(2)} s  ${memory} MiB`);
}
server.close();
server.closeAllConnections();
