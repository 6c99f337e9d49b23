//! Streaming transcription with whisper.cpp inside a WebAssembly sandbox.

pub mod audio;
mod engine;
mod error;
mod executor;
pub mod formats;
mod language;
pub mod model;
pub mod sandbox;
mod text;
mod transcript;

pub use engine::{
    Engine, EngineBuilder, GuestInfo, Lost, Model, ModelSource, Preparation, Progress, TranscribeOptions,
    guest_info,
};
pub use error::Error;
pub use transcript::{Language, Segment, Transcript, Word};

/// Sample rate of everything inside hearken, in Hz.
pub const SAMPLE_RATE: u32 = hearken_proto::SAMPLE_RATE;
