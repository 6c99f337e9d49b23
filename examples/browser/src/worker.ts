// The worker: keeps both modules and the model, and decodes when it is due. Pushed audio waits in its queue of messages
// while it decodes.
import { Listener } from "./listener.js";
import type { Answer, Event, Request } from "./messages.js";
import { forgetBroken, openModel } from "./models.js";
import { Pool } from "./pool.js";

const scope = self as unknown as DedicatedWorkerGlobalScope;
const answer = (message: Answer) => scope.postMessage(message);
const tell = (event: Event) => answer({ type: "event", event });
const explain = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** Most workers that share the arithmetic, unless the page says how many: with more, memory and energy cost more than is won. */
const WORKERS = 4;

/** Workers share memory only where the page is isolated from others. */
function workers(asked: number | undefined): number {
  return scope.crossOriginIsolated ? Math.max(asked ?? Math.min(navigator.hardwareConcurrency, WORKERS), 1) : 1;
}

/** A file of this size is told of a hundred times while it is read. */
const STEPS = 100;

let listener: Listener | null = null;
let listens = false;
let failed = false;

function fail(error: unknown): void {
  if (!failed) answer({ type: "failed", message: explain(error) });
  failed = true;
}

async function fetched(address: string): Promise<ArrayBuffer> {
  const response = await fetch(address).catch(() => null);
  if (!response?.ok) throw new Error(`${address} cannot be had: put hearken's modules there (\`make wasi\` builds them)`);
  return response.arrayBuffer();
}

/** The first of these modules that this browser can run. */
async function compile(modules: string, ...names: string[]): Promise<WebAssembly.Module> {
  let reason = "";
  for (const name of names) {
    const bytes = await fetched(new URL(name, modules).href);
    try {
      return await WebAssembly.compile(bytes);
    } catch (error) {
      reason = explain(error);
    }
  }
  throw new Error(`this browser cannot run the recognizer (${reason}): it needs WebAssembly with SIMD, which all browsers have since 2023`);
}

async function load(request: Request & { type: "load" }): Promise<void> {
  const [around, guest, model] = await Promise.all([
    compile(request.modules, "hearken-listener.wasm"),
    // Without relaxed SIMD the arithmetic takes longer.
    compile(request.modules, "hearken-guest.wasm", "hearken-guest-simd.wasm"),
    openModel(request.model, tell),
  ]);
  const pool = await Pool.start(guest, workers(request.workers) - 1);
  let told = 0;
  const total = model.size;
  const made = new Listener(around, guest, pool.size > 1 ? pool : null, (stage, done) => {
    const step = Math.floor((done / Math.max(total, 1)) * STEPS);
    if (step === told) return;
    told = step;
    tell({ type: "progress", stage, done: Math.min(done, total), total });
  });
  try {
    const facts = made.load(model, request.name);
    listener = made;
    const { memory, workers } = made.usage;
    tell({ type: "ready", model: facts, memory, workers });
  } catch (error) {
    await forgetBroken(request.model);
    throw error;
  }
}

// A decode is due: its turn comes behind the audio that is waiting already.
const turn = new MessageChannel();
let scheduled = false;

function schedule(): void {
  if (failed || scheduled || !listener?.isDue) return;
  scheduled = true;
  turn.port2.postMessage(null);
}

turn.port1.onmessage = () => {
  scheduled = false;
  if (failed || !listener) return;
  try {
    if (listener.isDue) listener.decode();
    listener.events().forEach(tell);
    schedule();
  } catch (error) {
    fail(error);
  }
};

function listening(): Listener {
  if (!listener) throw new Error("no model is loaded; load one first");
  return listener;
}

function handle(request: Request): void {
  switch (request.type) {
    case "start":
      listening().start(request.options);
      listens = true;
      break;
    case "push":
      if (listens) listening().push(request.samples);
      break;
    case "finish":
      if (listens) listening().finish();
      break;
    case "transcribe":
      answer({ type: "answer", id: request.id, value: listening().transcribe(request.samples, request.options) });
      break;
    case "write":
      answer({ type: "answer", id: request.id, value: listening().write(request.format) });
      break;
    case "usage":
      answer({ type: "answer", id: request.id, value: listening().usage });
      break;
  }
  listener?.events().forEach(tell);
  schedule();
}

// One after the other, though loading takes its time.
let before: Promise<void> = Promise.resolve();
scope.onmessage = ({ data }: MessageEvent<Request>) => {
  before = before.then(async () => {
    if (failed) return;
    try {
      if (data.type === "load") await load(data);
      else handle(data);
    } catch (error) {
      if ("id" in data) answer({ type: "refused", id: data.id, message: explain(error) });
      else fail(error);
    }
  });
};
