// Runs a WASI command in Node: node.mjs MODULE GUEST=HOST[,GUEST=HOST…] ARGUMENT…
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const [module, folders, ...args] = process.argv.slice(2);
const preopens = Object.fromEntries(folders.split(",").map(folder => folder.split("=")));
const wasi = new WASI({ version: "preview1", args: ["hearken.wasm", ...args], preopens });
const { instance } = await WebAssembly.instantiate(await readFile(module), wasi.getImportObject());
process.exitCode = wasi.start(instance);
