// Serves the page on this machine: node serve.mjs FOLDER [--port N] [--model FILE] [--isolated]. No headers are needed; with
// those of isolation, several workers share the arithmetic.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
  ".wasm": "application/wasm", ".json": "application/json",
};
const [folder, ...options] = process.argv.slice(2);
const option = name => options[options.indexOf(`--${name}`) + 1 || options.length];
if (!folder) {
  console.error("usage: node serve.mjs FOLDER [--port N] [--model FILE] [--isolated]");
  process.exit(2);
}
const isolation = options.includes("--isolated")
  ? { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" }
  : {};
const root = path.resolve(folder);
const model = option("model");
const offered = model && `models/${path.basename(model)}`;

/** The file behind an address; null for one that leads out of the folder. */
function fileOf(address) {
  const name = decodeURIComponent(address).replace(/^\/+/, "");
  if (offered && name === offered) return path.resolve(model);
  const file = path.resolve(root, name.endsWith("/") || name === "" ? `${name}index.html` : name);
  return file.startsWith(root + path.sep) ? file : null;
}

const server = createServer(async (request, response) => {
  const refuse = status => response.writeHead(status, { "content-type": "text/plain" }).end(`${status}\n`);
  try {
    const { pathname } = new URL(request.url, "http://localhost");
    if (request.method !== "GET" && request.method !== "HEAD") return refuse(405);
    if (pathname === "/") return response.writeHead(302, { location: "/page/" }).end();
    if (offered && pathname === "/page/model.json") {
      return response.writeHead(200, { "content-type": TYPES[".json"] }).end(JSON.stringify({ model: `../${offered}` }));
    }
    const file = fileOf(pathname);
    const found = file && (await stat(file).catch(() => null));
    if (!found?.isFile()) return refuse(404);
    response.writeHead(200, {
      "content-type": TYPES[path.extname(file)] ?? "application/octet-stream", "content-length": found.size, "cache-control": "no-cache",
      ...isolation,
    });
    if (request.method === "HEAD") response.end();
    else createReadStream(file).on("error", () => response.destroy()).pipe(response);
  } catch {
    refuse(400);
  }
});
server.listen(Number(option("port") ?? 8123), "127.0.0.1", () => {
  console.log(`http://localhost:${server.address().port}/`);
});
