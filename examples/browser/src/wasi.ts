// The functions of WASI preview 1 that hearken's modules import, without granting anything: no files, no environment,
// no arguments. The server's host does the same (host/src/sandbox/wasi.rs).

const SUCCESS = 0;
const BAD_DESCRIPTOR = 8;
/** Characters of the log that are kept. */
const MOST_LOG = 4000;

/** A module asked to end. */
export class Exit extends Error {
  constructor(readonly code: number) {
    super(`the module ended itself with code ${code}`);
  }
}

/** What one instance sees of the system. */
export class Wasi {
  memory: WebAssembly.Memory | null = null;
  /** The end of what the module wrote about itself. */
  log = "";
  readonly #decoder = new TextDecoder();

  #view(): DataView {
    if (!this.memory) throw new Error("the module asks for something before it has memory");
    return new DataView(this.memory.buffer);
  }

  #none(count: number, size: number): number {
    this.#view().setUint32(count, 0, true);
    this.#view().setUint32(size, 0, true);
    return SUCCESS;
  }

  /** The imports that a module names. One that is unknown here is an error: the module is of another version. */
  imports(module: WebAssembly.Module): WebAssembly.ModuleImports {
    const known: WebAssembly.ModuleImports = {
      args_get: () => SUCCESS,
      args_sizes_get: (count: number, size: number) => this.#none(count, size),
      environ_get: () => SUCCESS,
      environ_sizes_get: (count: number, size: number) => this.#none(count, size),
      clock_time_get: (_clock: number, _precision: bigint, to: number) => {
        this.#view().setBigUint64(to, BigInt(Math.floor(performance.now())) * 1_000_000n, true);
        return SUCCESS;
      },
      fd_close: () => BAD_DESCRIPTOR,
      fd_fdstat_get: () => BAD_DESCRIPTOR,
      fd_filestat_get: () => BAD_DESCRIPTOR,
      fd_prestat_get: () => BAD_DESCRIPTOR,
      fd_prestat_dir_name: () => BAD_DESCRIPTOR,
      fd_read: () => BAD_DESCRIPTOR,
      fd_seek: () => BAD_DESCRIPTOR,
      fd_write: (_descriptor: number, pieces: number, count: number, written: number) => {
        const view = this.#view();
        let total = 0;
        for (let at = pieces; at < pieces + 8 * count; at += 8) {
          const bytes = new Uint8Array(view.buffer, view.getUint32(at, true), view.getUint32(at + 4, true));
          this.log = (this.log + this.#decoder.decode(bytes)).slice(-MOST_LOG);
          total += bytes.length;
        }
        view.setUint32(written, total, true);
        return SUCCESS;
      },
      proc_exit: (code: number) => {
        throw new Exit(code);
      },
      random_get: (to: number, length: number) => {
        crypto.getRandomValues(new Uint8Array(this.#view().buffer, to, length));
        return SUCCESS;
      },
      sched_yield: () => SUCCESS,
    };
    const imports: WebAssembly.ModuleImports = {};
    for (const { module: from, name } of WebAssembly.Module.imports(module)) {
      if (from !== "wasi_snapshot_preview1") continue;
      const provided = known[name];
      if (!provided) throw new Error(`the module needs ${name}, which is unknown here: build page and module together`);
      imports[name] = provided;
    }
    return imports;
  }
}
