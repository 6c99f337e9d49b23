// Models: read at any position, wherever they are. A model that comes from the network is kept in the browser's private
// file system, and is there without a network the next time.
import type { Event, ModelSource } from "./messages.js";

const FOLDER = "hearken-models";
/** A file is read in pieces of this size. */
const PIECE = 1 << 20;

/** A model's bytes. */
export interface ModelFile {
  size: number;
  /** Reads bytes from a position; returns how many. */
  read(position: number, into: Uint8Array): number;
  close(): void;
}

/** Tells how far it is. */
export type Tell = (event: Event & { type: "progress" }) => void;

/** Bytes in memory. */
function inMemory(bytes: Uint8Array): ModelFile {
  return {
    size: bytes.length,
    read(position, into) {
      const piece = bytes.subarray(position, position + into.length);
      into.set(piece);
      return piece.length;
    },
    close() {},
  };
}

/** A file that the user chose: piece by piece, so that it need not lie in memory. */
function fromBlob(blob: Blob): ModelFile {
  const reader = new FileReaderSync();
  let from = 0;
  let piece = new Uint8Array();
  return {
    size: blob.size,
    read(position, into) {
      if (position < from || position >= from + piece.length) {
        from = position;
        const end = Math.min(blob.size, position + Math.max(PIECE, into.length));
        piece = new Uint8Array(reader.readAsArrayBuffer(blob.slice(position, end)));
      }
      const found = piece.subarray(position - from, position - from + into.length);
      into.set(found);
      return found.length;
    },
    close() {},
  };
}

function fromHandle(handle: FileSystemSyncAccessHandle): ModelFile {
  return {
    size: handle.getSize(),
    read: (position, into) => handle.read(into, { at: position }),
    close: () => handle.close(),
  };
}

/** The folder of kept models; null where the browser has none, as in some private windows. */
async function folder(): Promise<FileSystemDirectoryHandle | null> {
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
  } catch {
    return null;
  }
}

/** The name under which a model is kept: what its address ends with, and a hash of all of it. */
async function nameOf(address: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(address)));
  const start = [...hash.subarray(0, 4)].map(byte => byte.toString(16).padStart(2, "0")).join("");
  const end = new URL(address).pathname.split("/").pop() ?? "";
  return `${start}-${end.replace(/[^\w.-]/g, "_") || "model.bin"}`;
}

/** Names of the models that are kept here. */
export async function keptModels(): Promise<string[]> {
  const names: string[] = [];
  const models = await folder();
  if (models) for await (const name of models.keys()) if (!name.endsWith(".part")) names.push(name);
  return names.sort();
}

/** Forgets a model that is kept here. */
export async function forgetModel(name: string): Promise<void> {
  await (await folder())?.removeEntry(name);
}

async function openKept(models: FileSystemDirectoryHandle, name: string): Promise<ModelFile | null> {
  try {
    return fromHandle(await (await models.getFileHandle(name)).createSyncAccessHandle());
  } catch (error) {
    if (error instanceof DOMException && error.name === "NoModificationAllowedError") {
      // Another tab reads it.
      return fromBlob(await (await models.getFileHandle(name)).getFile());
    }
    return null;
  }
}

/** Fetches a model, unless it is kept here already. */
async function fromUrl(address: string, tell: Tell): Promise<ModelFile> {
  const models = await folder();
  const name = await nameOf(address);
  const kept = models && (await openKept(models, name));
  if (kept) return kept;
  let answer: Response;
  try {
    answer = await fetch(address);
  } catch {
    throw new Error(`${address} cannot be reached: check the address and the connection, and that its server allows this page (CORS)`);
  }
  if (!answer.ok || !answer.body) throw new Error(`${address} answers ${answer.status}: check the address`);
  const total = Number(answer.headers.get("content-length") ?? 0);
  const reader = answer.body.getReader();
  const part = `${name}.part`;
  let store: FileSystemSyncAccessHandle | null = null;
  if (models) {
    try {
      store = await (await models.getFileHandle(part, { create: true })).createSyncAccessHandle();
      store.truncate(0);
    } catch {
      store = null; // Another tab fetches it, too.
    }
  }
  const pieces: Uint8Array[] = [];
  let done = 0;
  try {
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      if (store && store.write(step.value, { at: done }) < step.value.length) {
        throw new Error("there is no room for the model in this browser's storage: free some, or choose a smaller model");
      }
      if (!store) pieces.push(step.value);
      done += step.value.length;
      tell({ type: "progress", stage: "fetch", done, total });
    }
    if (total && done < total && !answer.headers.get("content-encoding")) {
      throw new Error(`${address} ended after ${done} of ${total} bytes: try again`);
    }
    store?.flush();
  } catch (error) {
    store?.close();
    await models?.removeEntry(part).catch(() => {});
    throw error instanceof DOMException || error instanceof TypeError
      ? new Error(`${address} could not be fetched to its end (${error.message}): try again`)
      : error;
  }
  if (!store || !models) {
    const bytes = new Uint8Array(done);
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return inMemory(bytes);
  }
  store.close();
  const file = (await models.getFileHandle(part)) as FileSystemFileHandle & { move?(name: string): Promise<void> };
  // Only a whole file gets the name under which it is found. Where none can be given it serves once.
  await file.move?.(name);
  const moved = await openKept(models, file.move ? name : part);
  if (!moved) throw new Error("the model cannot be read back from this browser's storage: reload the page");
  return moved;
}

/** Opens a model. */
export async function openModel(source: ModelSource, tell: Tell): Promise<ModelFile> {
  if (source instanceof Blob) return fromBlob(source);
  if (source instanceof ArrayBuffer) return inMemory(new Uint8Array(source));
  if (typeof source === "object" && "kept" in source) {
    const models = await folder();
    const kept = models && (await openKept(models, source.kept));
    if (!kept) throw new Error(`no model ${source.kept} is kept in this browser: choose a file or an address`);
    return kept;
  }
  return fromUrl(String(source), tell);
}

/** Forgets a model that turned out to be none, so that the next try fetches it again. */
export async function forgetBroken(source: ModelSource): Promise<void> {
  if (typeof source === "string") await forgetModel(await nameOf(source)).catch(() => {});
}
