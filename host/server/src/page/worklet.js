// Runs on the audio thread: joins what comes into tenths of a second of 16-bit samples, and says how loud they are.
class Blocks extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Int16Array(Math.round(sampleRate / 10));
    this.filled = 0;
    this.peak = 0;
  }

  process([channels]) {
    const count = channels[0]?.length ?? 0;
    for (let at = 0; at < count; at++) {
      let sum = 0;
      for (const channel of channels) sum += channel[at];
      const sample = Math.max(-1, Math.min(1, sum / channels.length));
      this.peak = Math.max(this.peak, Math.abs(sample));
      this.block[this.filled++] = sample < 0 ? sample * 32768 : sample * 32767;
      if (this.filled === this.block.length) {
        const block = this.block;
        this.block = new Int16Array(block.length);
        this.port.postMessage({ block, peak: this.peak }, [block.buffer]);
        this.filled = this.peak = 0;
      }
    }
    return true;
  }
}
registerProcessor("blocks", Blocks);
