// What passes between a page and the worker, and what a page gets to see.

/** A word with its place in time, in seconds from the start of the audio. */
export interface Word {
  text: string;
  start: number;
  end: number;
  /** Mean probability of its tokens, 0 to 1. */
  probability: number;
}

/** A stretch of text, about a sentence. */
export interface Segment {
  text: string;
  start: number;
  end: number;
  words: Word[];
}

/** The text of a recording. */
export interface Transcript {
  text: string;
  language: string | null;
  duration: number;
  segments: Segment[];
}

/** Facts of a loaded model. */
export interface ModelFacts {
  name: string;
  multilingual: boolean;
  size: string;
  weights: string;
}

/** Something that happened. Times are seconds from the start of the audio. */
export type Event =
  /** The model on its way: bytes that were fetched, checked and loaded. */
  | { type: "progress"; stage: "fetch" | "check" | "load"; done: number; total: number }
  /**
   * The model is loaded: audio is recognized from here on. What was pushed before is not lost. `workers` share the
   * arithmetic.
   */
  | { type: "ready"; model: ModelFacts; memory: number; workers: number }
  /** Somebody begins to speak. */
  | { type: "speech"; start: number }
  /** Somebody has spoken: the final text comes soon. */
  | { type: "pause"; start: number }
  | { type: "language"; code: string; probability: number | null }
  /** Words that are certain now and do not change any more, and words behind them that may. */
  | { type: "partial"; utterance: number; committed: Word[]; tentative: Word[] }
  /** All words of an utterance. */
  | { type: "final"; utterance: number; end: number; words: Word[] }
  /** Audio that was not recognized. */
  | { type: "dropped"; start: number; end: number; reason: string }
  /** Voice in which no words were recognized. */
  | { type: "unrecognized"; start: number; end: number }
  /** All that was pushed has been dealt with. */
  | { type: "end"; duration: number };

/** A model: a URL, a file that the user chose, its bytes, or the name of one that was kept. */
export type ModelSource = string | URL | Blob | ArrayBuffer | { kept: string };

/** How to recognize. */
export interface Options {
  /** Frames per second of what is pushed. Default: 16 000. */
  sampleRate?: number;
  /** Samples in a frame. Default: 1. */
  channels?: number;
  /** `en`, `english`, `en-US`; `auto` detects it. Default: `auto`. */
  language?: string;
  /** Translates into English (multilingual models). */
  translate?: boolean;
  /** Names, spellings and style to expect, as text that came before. */
  prompt?: string;
  /** Keeps annotations such as `[Music]`. */
  annotations?: boolean;
}

/** What recognition uses. */
export interface Usage {
  /** Bytes of memory: the model, and what is computed with. */
  memory: number;
  /** Workers that share the arithmetic. */
  workers: number;
  /** Operations that were divided among them so far. */
  divided: number;
}

/** Formats of files to save. */
export type FileFormat = "txt" | "srt" | "vtt" | "json" | "jsonl";

/** To the worker. */
export type Request =
  | { type: "load"; model: ModelSource; name: string; modules: string; workers?: number }
  | { type: "start"; options: Options }
  | { type: "push"; samples: Float32Array }
  | { type: "finish" }
  | { type: "transcribe"; id: number; samples: Float32Array; options: Options }
  | { type: "write"; id: number; format: FileFormat }
  | { type: "usage"; id: number };

/** From the worker. */
export type Answer =
  | { type: "event"; event: Event }
  | { type: "answer"; id: number; value: unknown }
  | { type: "refused"; id: number; message: string }
  /** Nothing more comes. */
  | { type: "failed"; message: string };
