//! Transcription with whisper.cpp inside a WebAssembly sandbox.
//!
//! An [`Engine`] owns the sandbox's compiler, the recognizer threads and the cache of compiled
//! models. It loads a [`Model`], and the model transcribes: a file, samples in memory, or any
//! [`audio::Source`]. Each stretch of speech is decoded in a sandbox of its own, which sees nothing
//! but the model and that speech, and is gone afterwards.
//!
//! ```
//! use hearken::audio::{Format, Samples};
//! use hearken::{Engine, ModelSource, TranscribeOptions};
//!
//! let model = Engine::new()?.load(&ModelSource::Embedded)?;
//! let mut audio = Samples::new(vec![0.0; 48_000], Format { sample_rate: 48_000, channels: 1 })?;
//! let transcript = model.transcribe(&mut audio, &TranscribeOptions::new(), |_| {})?;
//! assert_eq!(transcript.text(), "", "a second of silence");
//! # Ok::<(), hearken::Error>(())
//! ```
//!
//! # Features
//!
//! All are off by default.
//!
//! | feature | gives |
//! |---|---|
//! | `capture` | microphones and loopback: `capture` |
//! | `pull` | models by name, and the store: `store` |
//! | `import` | models of other formats turned into ggml files: `store::import` |
//! | `service` | parts for a server: `service`; the crate `hearken-server` is one |
//! | `capi` | the C interface: `capi`; the crate `hearken-c` makes the library of it |

#[cfg(test)]
mod allocation;
pub mod audio;
mod bias;
#[cfg(feature = "capi")]
pub mod capi;
#[cfg(feature = "capture")]
pub mod capture;
mod compute;
mod engine;
mod error;
mod executor;
pub mod formats;
mod language;
#[cfg_attr(not(feature = "service"), allow(dead_code, reason = "a server reads what is counted"))]
mod meter;
pub mod model;
mod moving_average;
#[cfg(test)]
mod noise;
mod os_memory;
pub mod place;
mod preempt;
pub mod sandbox;
#[cfg(feature = "service")]
pub mod service;
pub mod session;
#[cfg(any(feature = "import", feature = "pull"))]
pub mod store;
pub mod text;
mod transcript;
mod warning;

pub use bias::{Bias, BiasError};
pub use compute::{Compute, UnknownCompute};
pub use engine::{
    Engine, EngineBuilder, GuestInfo, Lost, Model, ModelSource, Preparation, Progress, Sandbox, Score,
    Timing, TranscribeOptions, guest, guest_info,
};
pub use error::Error;
pub use executor::{Share, ShareLimits};
pub use language::{language_code, language_codes};
pub use transcript::{Language, Segment, Transcript, Word};
pub use warning::Warning;

/// Sample rate of everything inside hearken, in Hz.
pub const SAMPLE_RATE: u32 = hearken_proto::SAMPLE_RATE;

pub use hearken_proto::{samples_in, seconds};

/// The examples of the README are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
