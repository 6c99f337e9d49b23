// One engine: loads the model, transcribes the samples, and reports.
import { Transcriber } from "/src/index.js";

const query = new URLSearchParams(location.search);
const engine = query.get("engine");
const threads = Number(query.get("threads"));
const times = Number(query.get("runs"));
const fetched = async where => (await fetch(where)).arrayBuffer();

/** The samples of a WAV of 16 bits. */
function samples(bytes) {
  const view = new DataView(bytes);
  let at = 12;
  while (view.getUint32(at, false) !== 0x64617461) at += 8 + view.getUint32(at + 4, true);
  return Float32Array.from({ length: view.getUint32(at + 4, true) / 2 }, (_, n) => view.getInt16(at + 8 + 2 * n, true) / 32768);
}

async function repeat(once) {
  const runs = [];
  let text = "";
  for (let run = 0; run < times; run++) {
    const begun = performance.now();
    text = await once();
    runs.push(Math.round(performance.now() - begun));
  }
  return { runs, text };
}

async function hearken(model, audio, modules) {
  const begun = performance.now();
  const transcriber = new Transcriber({ model, modules, workers: threads, language: "en" });
  let memory = 0;
  for await (const event of transcriber) {
    if (event.type !== "ready") continue;
    memory = event.memory >> 20;
    break;
  }
  const load = performance.now() - begun;
  return { load, memory, ...(await repeat(async () => (await transcriber.transcribe(audio)).text)) };
}

/** Emscripten's build of whisper.cpp: examples/whisper.wasm/emscripten.cpp. */
async function whisperCpp(model, audio) {
  const { default: create } = await import("/node_modules/@timur00kh/whisper.wasm/dist/libmain-ceiUWZs8.mjs");
  let lines = [];
  let done = () => {};
  const print = line => {
    lines.push(line);
    if (line.includes("total time")) done();
  };
  const module = await create({ print, printErr: print });
  const begun = performance.now();
  module.FS_createDataFile("/", "model.bin", new Uint8Array(model), true, true, true);
  const index = module.init("model.bin");
  const load = performance.now() - begun;
  const result = await repeat(async () => {
    lines = [];
    const ended = new Promise(resolve => { done = resolve; });
    module.full_default(index, audio, "en", threads, false);
    await ended;
    return lines.filter(line => line.startsWith("[")).map(line => line.replace(/^\[.*?\]\s*/, "")).join(" ");
  });
  // Its own figures: "encode time = 1234.56 ms / 1 runs ( 1234.56 ms per run)".
  const each = name => Number(lines.map(line => line.match(`${name} time = .*\\( *([0-9.]+) ms per run`)?.[1]).findLast(Boolean));
  return { load, memory: module.HEAPU8.buffer.byteLength >> 20, encoder: each("encode"), token: each("decode"), ...result };
}

async function transcribeJs(model, audio) {
  const { default: create } = await import("/node_modules/@transcribe/shout/src/shout/shout.wasm.js");
  let done = () => {};
  const none = () => {};
  const module = await create({
    print: none, printErr: none, onTranscribed: result => done(result), onCanceled: none, onProgress: none, onNewSegment: none,
  });
  const begun = performance.now();
  module.FS_createDataFile("/", "model.bin", new Uint8Array(model), true, true, true);
  module.init("model.bin", "");
  const load = performance.now() - begun;
  const result = await repeat(async () => {
    const ended = new Promise(resolve => { done = resolve; });
    module.transcribe(audio, "en", threads, false, 0, false, false, false);
    const { transcription } = await ended;
    return transcription.map(({ text }) => text.trim()).join(" ");
  });
  return { load, memory: module.HEAPU8 ? module.HEAPU8.buffer.byteLength >> 20 : null, ...result };
}

let result;
try {
  const [model, wav] = await Promise.all([fetched("/model"), fetched("/wav")]);
  const audio = samples(wav);
  const ways = {
    hearken: () => hearken(model, audio, new URL("/src/", location.href).href),
    "hearken, plain SIMD": () => hearken(model, audio, new URL("/plain/", location.href).href),
    "whisper.cpp 1.9.4": () => whisperCpp(model, audio),
    "transcribe.js 1.0.7": () => transcribeJs(model, audio),
  };
  result = await ways[engine]();
} catch (error) {
  result = { error: String(error?.stack ?? error) };
}
await fetch("/result", { method: "POST", body: JSON.stringify(result) });
