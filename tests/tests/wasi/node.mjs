// Runs a WASI command in Node: node.mjs MODULE GUEST=HOST[,GUEST=HOST…] ARGUMENT…
// With HEARKEN_MEMORY set it prints the bytes of linear memory at the end, too.
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const [module, folders, ...args] = process.argv.slice(2);
const preopens = Object.fromEntries(folders.split(",").map(folder => folder.split("=")));
const wasi = new WASI({ version: "preview1", args: ["hearken.wasm", ...args], preopens });
const { instance } = await WebAssembly.instantiate(await readFile(module), wasi.getImportObject());
process.exitCode = wasi.start(instance);
if (process.env.HEARKEN_MEMORY) console.error(`linear memory: ${instance.exports.memory.buffer.byteLength}`);
