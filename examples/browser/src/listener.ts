// What hearken does around the recognizer: hearken-listener.wasm, made of the host's own sources (guest/listener).
import type { ModelFile } from "./models.js";
import type { Event, FileFormat, ModelFacts, Options, Transcript, Usage } from "./messages.js";
import type { Pool } from "./pool.js";
import { Recognizer } from "./recognizer.js";
import { Wasi } from "./wasi.js";

interface Exports extends WebAssembly.Exports {
  memory: WebAssembly.Memory;
  _initialize(): void;
  listener_buffer(length: number): number;
  listener_event(length: number): number;
  listener_load(length: number): number;
  listener_start(length: number): number;
  listener_push(samples: number): number;
  listener_finish(): number;
  listener_due(): number;
  listener_decode(): number;
  listener_events(): number;
  listener_options(length: number): number;
  listener_transcribe(samples: number): number;
  listener_write(length: number): number;
  listener_output(): number;
  listener_output_len(): number;
}

/** Something that the user can put right. */
export class Refused extends Error {}

/** Both modules, connected. */
export class Listener {
  readonly #wasi = new Wasi();
  readonly #exports: Exports;
  readonly #guest: WebAssembly.Module;
  readonly #pool: Pool | null;
  #recognizer: Recognizer | null = null;
  #model: ModelFile | null = null;

  constructor(
    listener: WebAssembly.Module,
    guest: WebAssembly.Module,
    pool: Pool | null,
    tell: (stage: "check" | "load", done: number) => void,
  ) {
    this.#guest = guest;
    this.#pool = pool;
    const bytes = (from: number, length: number) => new Uint8Array(this.#exports.memory.buffer, from, length);
    // The recognizer's events go from its memory to the listener's.
    const emit = (event: Uint8Array) => {
      const place = this.#exports.listener_event(event.length);
      if (place) bytes(place, event.length).set(event);
    };
    const request = (name: "hearken_load" | "hearken_call", from: number, length: number) =>
      this.#recognizer?.request(name, bytes(from, length).slice()) ?? -1;
    const worker = {
      model_len: () => this.#model?.size ?? 0,
      model_read_at: (position: number, to: number, length: number) => {
        try {
          const read = this.#model?.read(position, bytes(to, length)) ?? -1;
          tell("check", position + Math.max(read, 0));
          return read;
        } catch {
          return -1;
        }
      },
      load: (from: number, length: number) => {
        if (!this.#model) return -1;
        this.#recognizer = new Recognizer(this.#guest, this.#model, this.#pool, emit, done => tell("load", done));
        return request("hearken_load", from, length);
      },
      write: (from: number, samples: number) =>
        this.#recognizer?.write(new Float32Array(this.#exports.memory.buffer, from, samples)),
      call: (from: number, length: number) => request("hearken_call", from, length),
      now: () => performance.now(),
    };
    const imports = { worker, wasi_snapshot_preview1: this.#wasi.imports(listener) };
    this.#exports = new WebAssembly.Instance(listener, imports).exports as Exports;
    this.#wasi.memory = this.#exports.memory;
    this.#exports._initialize();
  }

  #output(status: number): unknown {
    const from = this.#exports.listener_output();
    const text = new TextDecoder().decode(
      new Uint8Array(this.#exports.memory.buffer, from, this.#exports.listener_output_len()),
    );
    const value: unknown = JSON.parse(text);
    if (status === 0) return value;
    const ended = this.#recognizer?.ended;
    throw new Refused((value as { message: string }).message + (ended ? ` [${ended}]` : ""));
  }

  #text(text: string): number {
    const bytes = new TextEncoder().encode(text);
    new Uint8Array(this.#exports.memory.buffer, this.#exports.listener_buffer(bytes.length), bytes.length).set(bytes);
    return bytes.length;
  }

  #samples(samples: Float32Array): number {
    const place = this.#exports.listener_buffer(samples.byteLength);
    if (!place) throw new Refused("the recording is too long for one piece: push it in several");
    new Float32Array(this.#exports.memory.buffer, place, samples.length).set(samples);
    return samples.length;
  }

  #options(options: Options): number {
    return this.#text(JSON.stringify({ sampleRate: 16_000, channels: 1, language: "auto", ...options }));
  }

  /** Checks and loads a model. */
  load(model: ModelFile, name: string): ModelFacts {
    this.#model = model;
    const options = { name, pool: this.#pool !== null };
    try {
      const facts = this.#output(this.#exports.listener_load(this.#text(JSON.stringify(options)))) as ModelFacts;
      if (this.#pool) this.#recognizer?.share(this.#pool);
      return facts;
    } finally {
      this.#model = null;
      model.close();
    }
  }

  /** Linear memory of both modules, and of those that help. */
  get usage(): Usage {
    const memory = this.#exports.memory.buffer.byteLength + (this.#recognizer?.memory ?? 0) + (this.#pool?.memory ?? 0);
    return { memory, workers: this.#pool?.size ?? 1, divided: this.#pool?.divided ?? 0 };
  }

  start(options: Options): void {
    this.#output(this.#exports.listener_start(this.#options(options)));
  }

  push(samples: Float32Array): void {
    this.#output(this.#exports.listener_push(this.#samples(samples)));
  }

  finish(): void {
    this.#output(this.#exports.listener_finish());
  }

  get isDue(): boolean {
    return this.#exports.listener_due() === 1;
  }

  decode(): void {
    this.#output(this.#exports.listener_decode());
    const ended = this.#recognizer?.ended;
    if (ended) throw new Refused(`the recognizer has ended (${ended}): load the model again, or another one`);
  }

  events(): Event[] {
    return this.#output(this.#exports.listener_events()) as Event[];
  }

  transcribe(samples: Float32Array, options: Options): Transcript {
    this.#output(this.#exports.listener_options(this.#options(options)));
    return this.#output(this.#exports.listener_transcribe(this.#samples(samples))) as Transcript;
  }

  write(format: FileFormat): string {
    return this.#output(this.#exports.listener_write(this.#text(format))) as string;
  }
}
