// What a worker and one of its helpers share: an operation's descriptor, its operands, its result, and whose turn it is.
import { type Kind, WORDS } from "./descriptor.js";

/** Bytes for the operands and the result of a part. */
export const CAPACITY = 32 << 20;

export const enum State {
  /** The helper has no weights yet. */
  Starting,
  Idle,
  Working,
  Done,
  Failed,
}

const enum Field {
  State,
  Kind,
  /** Bytes of the operands, which lie in front. */
  Operands,
  /** Where the result lies, and its bytes. */
  Result,
  ResultBytes,
  /** The helper's memory [64 KiB]. */
  Pages,
}

/** First message to a helper. */
export interface Beginning {
  module: WebAssembly.Module;
  area: SharedArrayBuffer;
}

/** Second message: the weights one after the other, and their table, with addresses from the first. */
export interface Weights {
  weights: SharedArrayBuffer;
  table: BigUint64Array;
}

/** The helper's answer to the first: where the area's copy lies in its memory. */
export interface HelperAnswer {
  base: number;
}

/** One operation at a time. */
export class Area {
  static readonly HEAD = 512;
  readonly #fields: Int32Array;
  readonly words: BigUint64Array;
  readonly data: Uint8Array;

  constructor(readonly buffer: SharedArrayBuffer) {
    this.#fields = new Int32Array(buffer, 0, 16);
    this.words = new BigUint64Array(buffer, 64, WORDS);
    this.data = new Uint8Array(buffer, Area.HEAD);
  }

  get state(): State {
    return Atomics.load(this.#fields, Field.State);
  }

  /** Bytes of the helper's memory. */
  get memory(): number {
    return Atomics.load(this.#fields, Field.Pages) * 65_536;
  }

  /** Hands an operation over: descriptor and operands are written. */
  start(kind: Kind, operands: number, result: number, resultBytes: number): void {
    this.#fields[Field.Kind] = kind;
    this.#fields[Field.Operands] = operands;
    this.#fields[Field.Result] = result;
    this.#fields[Field.ResultBytes] = resultBytes;
    this.#become(State.Working);
  }

  /** Waits for the result. Returns false if there is none. */
  finish(patience: number): boolean {
    while (this.state === State.Working) {
      if (Atomics.wait(this.#fields, Field.State, State.Working, patience) === "timed-out") return false;
    }
    const done = this.state === State.Done;
    if (done) this.#become(State.Idle);
    return done;
  }

  /** Tells how large the helper's memory is. */
  report(memory: WebAssembly.Memory): void {
    Atomics.store(this.#fields, Field.Pages, memory.buffer.byteLength / 65_536);
  }

  /** The helper's life: copies of operands go to `memory` at `base`, results come from there. */
  serve(memory: WebAssembly.Memory, base: number, operate: (kind: Kind) => boolean): never {
    this.report(memory);
    this.#become(State.Idle);
    for (;;) {
      const state = this.state;
      if (state !== State.Working) {
        Atomics.wait(this.#fields, Field.State, state);
        continue;
      }
      const operands = this.#fields[Field.Operands]!;
      new Uint8Array(memory.buffer, base, operands).set(this.data.subarray(0, operands));
      const done = operate(this.#fields[Field.Kind] as Kind);
      const [result, bytes] = [this.#fields[Field.Result]!, this.#fields[Field.ResultBytes]!];
      // Operations may have made memory larger, and its buffer another one.
      if (done) this.data.set(new Uint8Array(memory.buffer, base + result, bytes), result);
      this.report(memory);
      this.#become(done ? State.Done : State.Failed);
    }
  }

  #become(state: State): void {
    Atomics.store(this.#fields, Field.State, state);
    Atomics.notify(this.#fields, Field.State);
  }
}
