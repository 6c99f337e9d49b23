// Runs on the audio thread: joins what comes into tenths of a second of one channel, and says how loud they are.
declare const sampleRate: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void;

class Blocks extends AudioWorkletProcessor {
  #samples = new Float32Array(Math.round(sampleRate / 10));
  #filled = 0;
  #peak = 0;

  process([channels = []]: Float32Array[][]): boolean {
    const count = channels[0]?.length ?? 0;
    for (let at = 0; at < count; at++) {
      let sum = 0;
      for (const channel of channels) sum += channel[at] ?? 0;
      const sample = sum / channels.length;
      this.#peak = Math.max(this.#peak, Math.abs(sample));
      this.#samples[this.#filled++] = sample;
      if (this.#filled === this.#samples.length) {
        const samples = this.#samples;
        this.#samples = new Float32Array(samples.length);
        this.port.postMessage({ samples, peak: this.#peak }, [samples.buffer]);
        this.#filled = this.#peak = 0;
      }
    }
    return true;
  }
}

registerProcessor("hearken-blocks", Blocks);

export {};
