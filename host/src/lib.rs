//! Streaming transcription with whisper.cpp inside a WebAssembly sandbox.

pub mod audio;
pub mod formats;
pub mod model;
mod text;
mod transcript;

pub use transcript::{Language, Segment, Transcript, Word};

/// Sample rate of everything inside hearken, in Hz.
pub const SAMPLE_RATE: u32 = hearken_proto::SAMPLE_RATE;
