// The recognizer: hearken-guest.wasm, byte for byte the module that the server runs in its sandbox. Its boundary is
// described in proto/src/abi.rs, its ring in proto/src/ring.rs.
import { ATTENTION, type Kind, PRODUCT } from "./descriptor.js";
import type { ModelFile } from "./models.js";
import type { Pool } from "./pool.js";
import { Wasi } from "./wasi.js";

/** Version of the boundary that is spoken here. */
const ABI = 12;
const RING = { capacity: 0, data: 4, write: 8 };
/** Status of a recognizer that has ended. */
const ENDED = -1;

interface Exports extends WebAssembly.Exports {
  memory: WebAssembly.Memory;
  _initialize(): void;
  hearken_abi(): number;
  hearken_ring(): number;
  hearken_buffer(length: number): number;
  hearken_load(length: number): number;
  hearken_call(length: number): number;
  hearken_weights(): number;
  hearken_operate(descriptor: number, kind: Kind): number;
}

/** One instance of the module. */
export class Recognizer {
  readonly #wasi = new Wasi();
  readonly #exports: Exports;
  #written = 0;
  #ended: string | null = null;

  /** `emit` gets the bytes of each event. What the recognizer asks of a host's arithmetic, `pool` does. */
  constructor(
    module: WebAssembly.Module,
    model: ModelFile,
    pool: Pool | null,
    emit: (event: Uint8Array) => void,
    tell: (done: number) => void,
  ) {
    let position = 0;
    const operate = (kind: Kind) => (descriptor: number) => {
      if (!pool) throw new Error("the recognizer asks for the host's arithmetic, of which there is none here");
      pool.operate(this.#exports, descriptor, kind);
    };
    const hearken = {
      model_read: (to: number, length: number) => {
        // Whole, as the server's host does it: less is the end of the file to the reader of models.
        let read = 0;
        while (read < length) {
          const found = model.read(position, new Uint8Array(this.#exports.memory.buffer, to + read, length - read));
          if (found === 0) break;
          position += found;
          read += found;
        }
        tell(position);
        return read;
      },
      emit: (from: number, length: number) => emit(new Uint8Array(this.#exports.memory.buffer, from, length)),
      product: operate(PRODUCT),
      attention: operate(ATTENTION),
    };
    const imports = { hearken, wasi_snapshot_preview1: this.#wasi.imports(module) };
    this.#exports = new WebAssembly.Instance(module, imports).exports as Exports;
    this.#wasi.memory = this.#exports.memory;
    this.#exports._initialize();
    const abi = this.#exports.hearken_abi();
    if (abi !== ABI) throw new Error(`the recognizer has ABI version ${abi}, and ${ABI} is needed: build page and module together`);
  }

  /** Gives the pool's helpers copies of the weights. */
  share(pool: Pool): void {
    pool.share(this.#exports);
  }

  /** Why it has ended, if it has. */
  get ended(): string | null {
    return this.#ended;
  }

  /** Bytes of linear memory. */
  get memory(): number {
    return this.#exports.memory.buffer.byteLength;
  }

  /** Writes samples into the ring; they are read with the next request. */
  write(samples: Float32Array): void {
    if (this.#ended) return;
    const { memory } = this.#exports;
    const ring = this.#exports.hearken_ring();
    const view = new DataView(memory.buffer);
    const capacity = view.getUint32(ring + RING.capacity, true);
    const slots = new Float32Array(memory.buffer, view.getUint32(ring + RING.data, true), capacity);
    const start = this.#written % capacity;
    const straight = Math.min(samples.length, capacity - start);
    slots.set(samples.subarray(0, straight), start);
    slots.set(samples.subarray(straight), 0);
    this.#written = (this.#written + samples.length) >>> 0;
    view.setUint32(ring + RING.write, this.#written, true);
  }

  /** Makes a request; returns its status. A violation of the sandbox ends the instance, and nothing else. */
  request(name: "hearken_load" | "hearken_call", request: Uint8Array): number {
    if (this.#ended) return ENDED;
    try {
      const place = this.#exports.hearken_buffer(request.length);
      if (!place) return ENDED;
      new Uint8Array(this.#exports.memory.buffer, place, request.length).set(request);
      return this.#exports[name](request.length);
    } catch (error) {
      const last = this.#wasi.log.trim().split("\n").pop() ?? "";
      this.#ended = `${error instanceof Error ? error.message : error}${last ? `; its last words: ${last}` : ""}`;
      return ENDED;
    }
  }
}
