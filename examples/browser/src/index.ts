// hearken in a browser: speech to text, in a worker, without a server.
//
// Nothing that is pushed leaves the machine. No headers are needed. Where the page is isolated from others
// (`crossOriginIsolated`), several workers share the arithmetic.
import type { Answer, Event, FileFormat, ModelSource, Options, Request, Transcript, Usage } from "./messages.js";

export type { Event, FileFormat, ModelFacts, ModelSource, Options, Segment, Transcript, Usage, Word } from "./messages.js";
export { forgetModel, keptModels } from "./models.js";
export { Microphone } from "./microphone.js";

/** Options of a transcriber. */
export interface TranscriberOptions extends Options {
  /** A ggml Whisper model: a URL, a file that the user chose, its bytes, or `{ kept: name }`. */
  model: ModelSource;
  /** Where `hearken-guest.wasm` and `hearken-listener.wasm` lie. Default: beside this file. */
  modules?: string | URL;
  /**
   * Workers that share the arithmetic, if the page is isolated from others: it needs the headers
   * `Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy: require-corp`. Default: as many as the
   * machine has cores, and at most 4. Each one more keeps a copy of the weights. Elsewhere it is one.
   */
  workers?: number;
}

/** Why nothing more comes, and what to do. */
export class TranscriberError extends Error {
  override name = "TranscriberError";
}

function nameOf(model: ModelSource): string {
  if (model instanceof File) return model.name;
  if (model instanceof Blob || model instanceof ArrayBuffer) return "the model";
  if (typeof model === "object" && "kept" in model) return model.kept;
  return new URL(model, location.href).pathname.split("/").pop() || "the model";
}

/**
 * Turns speech into text as it comes: push audio, and iterate over events.
 *
 * The model is loaded at once; audio that is pushed meanwhile waits.
 */
export class Transcriber implements AsyncIterable<Event> {
  readonly #worker: Worker;
  #options: Options;
  readonly #events: Event[] = [];
  readonly #calls = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #wake: (() => void) | null = null;
  #error: TranscriberError | null = null;
  #closed = false;
  #started = false;
  #number = 0;

  constructor({ model, modules, workers, ...options }: TranscriberOptions) {
    this.#options = options;
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "hearken" });
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => this.#take(data);
    this.#worker.onerror = event => this.#fail(event.message || "the worker cannot be started: check that worker.js lies beside index.js");
    const address = typeof model === "string" || model instanceof URL ? new URL(model, location.href).href : model;
    this.#send({
      type: "load",
      model: address,
      name: nameOf(model),
      modules: new URL(modules ?? ".", import.meta.url).href,
      ...(workers === undefined ? {} : { workers }),
    });
  }

  #send(request: Request, transfer: Transferable[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  #take(message: Answer): void {
    switch (message.type) {
      case "event":
        this.#events.push(message.event);
        break;
      case "answer":
      case "refused": {
        const call = this.#calls.get(message.id);
        this.#calls.delete(message.id);
        if (message.type === "answer") call?.resolve(message.value);
        else call?.reject(new TranscriberError(message.message));
        break;
      }
      case "failed":
        this.#fail(message.message);
        break;
    }
    this.#wake?.();
  }

  #fail(message: string): void {
    this.#error ??= new TranscriberError(message);
    this.#calls.forEach(call => call.reject(this.#error!));
    this.#calls.clear();
    this.#wake?.();
  }

  #call(request: (id: number) => Request, transfer: Transferable[] = []): Promise<unknown> {
    if (this.#error) return Promise.reject(this.#error);
    const id = this.#number++;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#send(request(id), transfer);
    });
  }

  #start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#send({ type: "start", options: this.#options });
  }

  /** Takes in interleaved samples from -1 to 1, as many as there are. They are copied. */
  push(samples: Float32Array): void {
    this.#start();
    const copy = samples.slice();
    this.#send({ type: "push", samples: copy }, [copy.buffer]);
  }

  /** Ends the audio: the last words come, then an event `end`. Audio pushed later begins anew. */
  finish(): void {
    this.#start();
    this.#send({ type: "finish" });
    this.#started = false;
  }

  /** Transcribes a whole recording, as `hearken file` does. */
  async transcribe(samples: Float32Array, options: Options = {}): Promise<Transcript> {
    const copy = samples.slice();
    const all = { ...this.#options, ...options };
    return (await this.#call(id => ({ type: "transcribe", id, samples: copy, options: all }), [copy.buffer])) as Transcript;
  }

  /** What has become final, as a file: subtitles, text or JSON. */
  async file(format: FileFormat): Promise<string> {
    return (await this.#call(id => ({ type: "write", id, format }))) as string;
  }

  /** What recognition uses: memory, and workers. */
  async usage(): Promise<Usage> {
    return (await this.#call(id => ({ type: "usage", id }))) as Usage;
  }

  /** Changes options: they hold for the audio that begins with the next push. */
  configure(options: Options): void {
    this.#options = { ...this.#options, ...options };
  }

  /** Ends the worker, and frees its memory. */
  close(): void {
    this.#closed = true;
    this.#worker.terminate();
    this.#fail("the transcriber was closed");
  }

  /** Events up to the `end` of the audio. An error ends them, too. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Event, void, undefined> {
    for (;;) {
      const event = this.#events.shift();
      if (event) {
        yield event;
        if (event.type === "end") return;
      } else if (this.#closed) {
        return;
      } else if (this.#error) {
        throw this.#error;
      } else {
        await new Promise<void>(resolve => (this.#wake = resolve));
        this.#wake = null;
      }
    }
  }
}
