// Products and attention by several workers, where the page is isolated from others (cross-origin isolation), so that
// workers may share memory. The recognizer asks for each operation as it asks the server's host; here it is divided, and
// each worker does a part in an instance of the recognizer's own module, with a copy of the weights. The text does not
// depend on the division.
import { A, ATTENTION, BIAS_OF_COLUMNS, type Kind, matrix, type Matrix, P, place, PRODUCT, WORDS } from "./descriptor.js";
import { Area, CAPACITY, type HelperAnswer, State } from "./area.js";

/** Multiplications from which it pays to divide an operation: about a millisecond of one worker. */
const WORTH = 1 << 23;
/**
 * Columns of a part are multiples of these, so that no tile of a kernel is cut, but those of the last one. It has no fewer
 * either: few columns are multiplied in another way, whose sums are rounded differently.
 */
const COLUMNS = 24;
/** A worker that has not answered after this time is left out [ms]. */
const PATIENCE = 10_000;

/** What the pool needs of the recognizer. */
export interface Owner {
  readonly memory: WebAssembly.Memory;
  hearken_weights(): number;
  hearken_operate(descriptor: number, kind: Kind): number;
}

interface Helper {
  worker: Worker;
  area: Area;
  /** Address of the area's copy in the helper's own memory. */
  base: number;
}

/** A part of an operation with a helper: how to bring its result to the owner. */
interface Part {
  helper: Helper;
  words: BigUint64Array;
  deliver(): void;
}

/** Helpers, which sleep until there is work. */
export class Pool {
  #helpers: Helper[];
  /** Operations that helpers had a part in. */
  divided = 0;

  private constructor(helpers: Helper[]) {
    this.#helpers = helpers;
  }

  /** Starts helpers. Those that cannot be had are left out: one worker alone does everything, too. */
  static async start(module: WebAssembly.Module, count: number): Promise<Pool> {
    const started = await Promise.all(Array.from({ length: count }, () => Pool.#helper(module)));
    return new Pool(started.filter(helper => helper !== null));
  }

  static #helper(module: WebAssembly.Module): Promise<Helper | null> {
    return new Promise(resolve => {
      const worker = new Worker(new URL("./helper.js", import.meta.url), { type: "module", name: "hearken helper" });
      const area = new Area(new SharedArrayBuffer(Area.HEAD + CAPACITY));
      worker.onerror = () => resolve(null);
      worker.onmessage = ({ data }: MessageEvent<HelperAnswer>) => resolve({ worker, area, base: data.base });
      worker.postMessage({ module, area: area.buffer });
    });
  }

  /** How many share the work, the owner included. */
  get size(): number {
    return this.#helpers.length + 1;
  }

  /** Bytes of the helpers' memory, for weights and operands. */
  get memory(): number {
    return this.#helpers.reduce((sum, { area }) => sum + area.memory, 0);
  }

  /** Gives the helpers copies of the weights. They help as soon as they have them. */
  share(owner: Owner): void {
    if (this.#helpers.length === 0) return;
    const from = owner.hearken_weights();
    const count = Number(new BigUint64Array(owner.memory.buffer, from, 1)[0]);
    const table = new BigUint64Array(owner.memory.buffer, from, 1 + 5 * count).slice();
    const weights = Array.from({ length: count }, (_, number) => {
      const [address, rows, , stride] = Array.from(table.subarray(1 + 5 * number, 5 + 5 * number), Number) as [number, number, number, number];
      return { address, bytes: rows * stride, number };
    });
    const shared = new SharedArrayBuffer(weights.reduce((sum, { bytes }) => sum + aligned(bytes), 0));
    let at = 0;
    for (const { address, bytes, number } of weights) {
      new Uint8Array(shared, at, bytes).set(new Uint8Array(owner.memory.buffer, address, bytes));
      // From the begin of the copy; the helper adds where it lies.
      table[1 + 5 * number] = BigInt(at);
      at += aligned(bytes);
    }
    for (const { worker } of this.#helpers) worker.postMessage({ weights: shared, table });
  }

  /** Does the operation whose descriptor lies at this address of the owner's memory. */
  operate(owner: Owner, descriptor: number, kind: Kind): void {
    const ready = this.#helpers.filter(({ area }) => area.state === State.Idle);
    const words = new BigUint64Array(owner.memory.buffer, descriptor, WORDS);
    const parts = ready.length === 0 ? [] : kind === PRODUCT ? product(owner, words, ready) : attention(owner, words, ready);
    if (parts.length > 0) this.divided++;
    // The owner's own part: the descriptor says so now.
    run(owner, descriptor, kind);
    for (const { helper, words: part, deliver } of parts) {
      if (helper.area.finish(PATIENCE)) {
        deliver();
        continue;
      }
      this.#leave(helper);
      // Memory may have grown since, and its buffer is another one.
      new BigUint64Array(owner.memory.buffer, descriptor, WORDS).set(part);
      run(owner, descriptor, kind);
    }
  }

  #leave(helper: Helper): void {
    helper.worker.terminate();
    this.#helpers = this.#helpers.filter(other => other !== helper);
  }
}

function run(owner: Owner, descriptor: number, kind: Kind): void {
  const status = owner.hearken_operate(descriptor, kind);
  if (status !== 0) throw new Error(`an operation was refused with status ${status}`);
}

/** What a part needs of its helper's area [bytes]: all regions, each aligned. */
const regions = (...bytes: number[]) => bytes.reduce((sum, region) => sum + aligned(region), 0);
const aligned = (bytes: number) => Math.ceil(bytes / 64) * 64;

/** Gives helpers ranges of a product's columns; what is left in `words` is the owner's. */
function product(owner: Owner, words: BigUint64Array, helpers: Helper[]): Part[] {
  const [planes, rows, columns, depth, weight] = numbers(words, 5);
  const share = Math.ceil(columns / (helpers.length + 1) / COLUMNS) * COLUMNS;
  if (weight === 0 || planes !== 1 || columns - share < COLUMNS || rows * columns * depth < WORTH) return [];
  const most = share + COLUMNS;
  if (regions(4 * most * depth, 4 * most * rows, 4 * Math.max(most, rows), 4 * most * rows) > CAPACITY) return [];
  const bias = Number(words[P.biasKind]);
  const parts: Part[] = [];
  let count;
  for (let from = share; from < columns; from += count) {
    count = columns - from - share < COLUMNS ? columns - from : share;
    const part = words.slice();
    part[P.columns] = BigInt(count);
    for (const at of [P.right, P.out, P.residual]) move(part, at, matrix => from * matrix.row);
    if (bias === BIAS_OF_COLUMNS) part[P.bias]! += BigInt(4 * from);
    const packer = new Packer(owner, helpers[parts.length]!, part);
    packer.take(P.right, 1, count, depth);
    packer.take(P.residual, 1, count, rows);
    if (bias !== 0) packer.vector(P.bias, bias === BIAS_OF_COLUMNS ? count : rows);
    parts.push(packer.start(PRODUCT, P.out, 1, count, rows));
  }
  words[P.columns] = BigInt(share);
  return parts;
}

/** Gives helpers heads of an attention; what is left in `words` is the owner's. */
function attention(owner: Owner, words: BigUint64Array, helpers: Helper[]): Part[] {
  const [heads, queries, keys, width] = numbers(words, 4);
  const share = Math.ceil(heads / (helpers.length + 1));
  if (share >= heads || 2 * heads * queries * keys * width < WORTH) return [];
  const [query, key] = [4 * share * queries * width, 4 * share * keys * width];
  if (regions(query, key, key, 4 * queries * keys, query) > CAPACITY) return [];
  const parts: Part[] = [];
  for (let from = share; from < heads; from += share) {
    const count = Math.min(share, heads - from);
    const part = words.slice();
    part[A.heads] = BigInt(count);
    for (const at of [A.query, A.key, A.value, A.out]) move(part, at, matrix => from * matrix.plane);
    const packer = new Packer(owner, helpers[parts.length]!, part);
    packer.take(A.query, count, queries, width);
    packer.take(A.key, count, keys, width);
    packer.take(A.value, count, width, keys);
    packer.take(A.mask, 1, queries, keys);
    parts.push(packer.start(ATTENTION, A.out, count, queries, width));
  }
  words[A.heads] = BigInt(share);
  return parts;
}

function numbers(words: BigUint64Array, count: number): [number, number, number, number, number] {
  return Array.from(words.subarray(0, count), Number) as [number, number, number, number, number];
}

/** Moves a matrix of a descriptor, where there is one. */
function move(words: BigUint64Array, at: number, by: (matrix: Matrix) => number): void {
  const found = matrix(words, at);
  if (found) words[at]! += BigInt(by(found));
}

/** Brings a part's operands into a helper's area, one after the other, and its result back. */
class Packer {
  readonly #words: BigUint64Array;
  #end = 0;

  constructor(
    readonly owner: Owner,
    readonly helper: Helper,
    /** The part, with addresses of the owner's memory. */
    readonly original: BigUint64Array,
  ) {
    this.#words = original.slice();
  }

  #region(bytes: number): number {
    const start = this.#end;
    this.#end += aligned(bytes);
    return start;
  }

  /** Copies a matrix, if there is one. */
  take(at: number, planes: number, rows: number, columns: number): void {
    const from = matrix(this.original, at);
    if (!from) return;
    const start = this.#region(planes * rows * columns * from.element);
    const packed = pack(from, planes, rows, columns);
    const memory = new Uint8Array(this.owner.memory.buffer);
    packed.pieces((address, offset, bytes) =>
      this.helper.area.data.set(memory.subarray(address, address + bytes), start + offset),
    );
    place(this.#words, at, { ...from, address: this.helper.base + start, row: packed.row, plane: packed.plane });
  }

  /** Copies floats. */
  vector(at: number, count: number): void {
    const start = this.#region(4 * count);
    const address = Number(this.original[at]);
    this.helper.area.data.set(new Uint8Array(this.owner.memory.buffer, address, 4 * count), start);
    this.#words[at] = BigInt(this.helper.base + start);
  }

  /** Hands the part over; its result is the matrix at `at`. */
  start(kind: Kind, at: number, planes: number, rows: number, columns: number): Part {
    const { helper, owner, original } = this;
    const out = matrix(original, at)!;
    const operands = this.#end;
    const bytes = planes * rows * columns * out.element;
    const start = this.#region(bytes);
    const packed = pack(out, planes, rows, columns);
    place(this.#words, at, { ...out, address: helper.base + start, row: packed.row, plane: packed.plane });
    helper.area.words.set(this.#words);
    helper.area.start(kind, operands, start, bytes);
    const deliver = () => {
      const memory = new Uint8Array(owner.memory.buffer);
      packed.pieces((address, offset, length) =>
        memory.set(helper.area.data.subarray(start + offset, start + offset + length), address),
      );
    };
    return { helper, words: original, deliver };
  }
}

/** How a matrix lies when nothing is between its elements, and what is to be copied for that. */
interface Packed {
  row: number;
  plane: number;
  pieces(copy: (address: number, offset: number, bytes: number) => void): void;
}

function pack({ address, row, plane, element }: Matrix, planes: number, rows: number, columns: number): Packed {
  const bytes = columns * element;
  // The rows of all heads side by side, as whisper.cpp keeps queries, stay so.
  const beside = planes > 1 && plane === bytes;
  const [length, groups] = beside ? [planes * bytes, 1] : [bytes, planes];
  const pieces: Packed["pieces"] = copy => {
    for (let group = 0; group < groups; group++) {
      const [from, to] = [address + group * plane, group * rows * length];
      if (row === length) copy(from, to, rows * length);
      else for (let index = 0; index < rows; index++) copy(from + index * row, to + index * length, length);
    }
  };
  return { row: length, plane: beside ? bytes : rows * bytes, pieces };
}
