// A helper of the pool: an instance of the recognizer's module that has weights and no model, and does parts of operations.
import { Area, type Beginning, CAPACITY, type HelperAnswer, type Weights } from "./area.js";
import { type Kind, WORDS } from "./descriptor.js";
import { Wasi } from "./wasi.js";

interface Exports extends WebAssembly.Exports {
  memory: WebAssembly.Memory;
  _initialize(): void;
  hearken_reserve(length: number): number;
  hearken_adopt(table: number): number;
  hearken_operate(descriptor: number, kind: Kind): number;
}

const scope = self as unknown as DedicatedWorkerGlobalScope;
const wasi = new Wasi();
let exports: Exports;
let area: Area;
let base: number;

function reserve(bytes: number): number {
  const place = exports.hearken_reserve(bytes);
  if (place === 0) throw new Error("there is no memory for a helper");
  return place;
}

function begin(beginning: Beginning): void {
  const never = () => {
    throw new Error("a helper asks for nothing");
  };
  const hearken = { model_read: never, emit: never, product: never, attention: never };
  const imports = { hearken, wasi_snapshot_preview1: wasi.imports(beginning.module) };
  exports = new WebAssembly.Instance(beginning.module, imports).exports as Exports;
  wasi.memory = exports.memory;
  exports._initialize();
  area = new Area(beginning.area);
  base = reserve(CAPACITY);
  area.report(exports.memory);
  scope.postMessage({ base } satisfies HelperAnswer);
}

function serve({ weights, table }: Weights): never {
  const first = reserve(weights.byteLength);
  new Uint8Array(exports.memory.buffer, first, weights.byteLength).set(new Uint8Array(weights));
  for (let at = 1; at < table.length; at += 5) table[at]! += BigInt(first);
  const place = reserve(table.byteLength);
  new BigUint64Array(exports.memory.buffer, place, table.length).set(table);
  if (exports.hearken_adopt(place) !== 0) throw new Error("the weights cannot be taken");
  const descriptor = reserve(8 * WORDS);
  area.serve(exports.memory, base, kind => {
    try {
      new BigUint64Array(exports.memory.buffer, descriptor, WORDS).set(area.words);
      return exports.hearken_operate(descriptor, kind) === 0;
    } catch {
      return false;
    }
  });
}

scope.onmessage = ({ data }: MessageEvent<Beginning | Weights>) => ("module" in data ? begin(data) : serve(data));
