// A microphone as blocks of samples.

/** A tenth of a second of one channel, and how loud it is. */
export interface Block {
  samples: Float32Array<ArrayBuffer>;
  /** Largest magnitude, 0 to 1. */
  peak: number;
}

/** An open microphone. */
export class Microphone {
  readonly #stream: MediaStream;
  readonly #context: AudioContext;

  private constructor(stream: MediaStream, context: AudioContext) {
    this.#stream = stream;
    this.#context = context;
  }

  /** Asks the user for a microphone, and calls `take` with each block. */
  static async open(take: (block: Block) => void, device?: string): Promise<Microphone> {
    if (!navigator.mediaDevices) {
      throw new Error("a page gets a microphone only over HTTPS or from this machine: open it at https:// or http://localhost");
    }
    let stream: MediaStream;
    try {
      const deviceId = device ? { deviceId: { exact: device } } : {};
      stream = await navigator.mediaDevices.getUserMedia({ audio: { ...deviceId, echoCancellation: false, autoGainControl: true } });
    } catch (error) {
      const name = error instanceof DOMException ? error.name : "";
      throw new Error(
        name === "NotAllowedError" ? "the microphone was not allowed: allow it in the address bar, and try again"
        : name === "NotFoundError" ? "there is no microphone: connect one, and try again"
        : `the microphone cannot be opened (${error instanceof Error ? error.message : error}): close other programs that use it`,
      );
    }
    const context = new AudioContext();
    await context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
    const node = new AudioWorkletNode(context, "hearken-blocks", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }: MessageEvent<Block>) => take(data);
    context.createMediaStreamSource(stream).connect(node);
    await context.resume();
    return new Microphone(stream, context);
  }

  /** Frames per second of its blocks. */
  get sampleRate(): number {
    return this.#context.sampleRate;
  }

  async close(): Promise<void> {
    this.#stream.getTracks().forEach(track => track.stop());
    await this.#context.close();
  }
}
