// How long the recognizer takes in V8, stage by stage: stages.mjs FOLDER MODEL WAV, with the folder that `make web` fills.
// Prints one line of JSON with seconds. The tokens are forced, as `hearken bench` does it.
import { readFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, modelPath, wav] = process.argv.slice(2);
const { Recognizer } = await import(pathToFileURL(path.resolve(folder, "src/recognizer.js")).href);
const [code, model, recording] = await Promise.all([path.join(folder, "src/hearken-guest.wasm"), modelPath, wav].map(name => readFile(name)));

const ROUNDS = 3;
const TOKENS = 100;
// Messages in postcard: hearken_proto's LoadOptions (no heads, the guest's kernels, no window, no padding), and Request::Score.
const LOAD = [0, 1, 0, 0];
const varint = value => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)]);
const SCORE = [5, 0, ...varint(TOKENS), ...Array.from({ length: TOKENS }, (_, n) => varint(1000 + n)).flat()];
const STAGE = 6;

const file = {
  size: model.length,
  read(position, to) {
    const piece = model.subarray(position, position + to.length);
    to.set(piece);
    return piece.length;
  },
};
const stages = [];
const emit = event => {
  if (event[0] === STAGE) stages.push(performance.now());
};
const begun = performance.now();
const recognizer = new Recognizer(new WebAssembly.Module(code), file, emit, () => {});
const ask = (name, request) => {
  const status = recognizer.request(name, Uint8Array.from(request));
  if (status !== 0) throw new Error(`${name}: status ${status}, ${recognizer.ended}`);
};
ask("hearken_load", LOAD);
const load = performance.now() - begun;
// Behind a header of 44 bytes: samples of 16 bits.
const samples = Float32Array.from({ length: (recording.length - 44) / 2 }, (_, n) => recording.readInt16LE(44 + 2 * n) / 32768);
let best = { encoder: Infinity, token: Infinity };
for (let round = 0; round < ROUNDS; round++) {
  stages.length = 0;
  recognizer.write(samples);
  ask("hearken_call", SCORE);
  const [spectrogram, encoder, prompt] = stages;
  best = {
    encoder: Math.min(best.encoder, (encoder - spectrogram) / 1e3),
    token: Math.min(best.token, (performance.now() - prompt) / TOKENS / 1e3),
  };
}
console.log(JSON.stringify({ load: load / 1e3, ...best, memory: recognizer.memory }));
