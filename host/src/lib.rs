//! Transcription with whisper.cpp inside a WebAssembly sandbox.
//!
//! whisper.cpp reads models and audio from strangers; here it runs in a guest without files,
//! network or environment, so that a defect in it costs one utterance. Each stretch of speech gets
//! a fresh sandbox with the model already loaded, and text comes while somebody speaks.
//!
//! # A recording
//!
//! An [`Engine`] owns the sandbox's compiler, the recognizer threads and the cache of compiled
//! models. It loads a [`Model`], and the model transcribes: a file, samples in memory, or any
//! [`audio::Source`].
//!
//! ```no_run
//! use std::fs::File;
//! use std::path::Path;
//!
//! use hearken::{Engine, ModelSource, TranscribeOptions, formats, seconds};
//!
//! let model = Engine::new()?.load(&ModelSource::File("ggml-base.en.bin".into()))?;
//! let transcript = model.transcribe_file(Path::new("talk.mp3"), &TranscribeOptions::new())?;
//! for segment in &transcript.segments {
//!     println!("{:8.2} s  {}", seconds(segment.start), segment.text);
//! }
//! formats::Format::Srt.write(&transcript, &mut File::create("talk.srt")?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Live audio
//!
//! A [`Session`](session::Session) takes audio from any thread, and answers on a channel:
//! tentative words soon, committed words that never change, and a final text for each utterance.
//! Here it hears a second of silence.
//!
//! ```
//! use hearken::audio::Format;
//! use hearken::session::{Session, SessionEvent, SessionOptions};
//! use hearken::{Engine, ModelSource};
//!
//! let model = Engine::new()?.load(&ModelSource::Embedded)?;
//! let microphone = Format { sample_rate: 48_000, channels: 1 };
//! let mut session = Session::new(&model, SessionOptions::new(microphone))?;
//! for block in vec![0.0; 48_000].chunks(960) {
//!     session.push(block)?; // never waits for the recognizer
//! }
//! session.finish()?;
//! let events: Vec<SessionEvent> = session.events().iter().collect();
//! assert_eq!(events, [SessionEvent::Finished { duration: 16_000 }], "nobody spoke");
//! # Ok::<(), hearken::Error>(())
//! ```
//!
//! # Modules, in the order to read them
//!
//! 1. [`Engine`], [`Model`], [`TranscribeOptions`] and [`Transcript`] are at the root: recordings.
//! 2. [`audio`]: sources, resampling, voice activity detection, and the ring for audio threads.
//! 3. [`session`]: live audio, with the life of an utterance from its first sample to its text.
//! 4. [`formats`]: transcripts and captions as text, subtitles and JSON.
//! 5. [`model`]: model files, and the checks before anything trusts them.
//! 6. [`sandbox`]: limits of a guest, and the errors of one that breaks them.
//! 7. [`text`]: what is removed from a guest's text before anybody reads it.
//! 8. [`place`]: sandboxes on other machines. Few programs need it.
//!
//! [`Share`] divides an engine among tenants, [`Bias`] lists words to expect, [`Compute`] chooses
//! where matrix products run, and [`Warning`] names what a transcript lacks.
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
//!
//! # Guides and examples
//!
//! The repository's folder `docs` has a page for each subject: `streaming.md` (commit policies and
//! latency), `models.md`, `formats.md`, `bias.md`, `voice-apps.md` (threads, memory, shipping),
//! `security.md`, `performance.md`, and `glossary.md` with all terms.
//!
//! Six programs are in `host/examples`: `captions` (a microphone), `file`, `source` (audio of your
//! own), `push_to_talk`, `sessions` (several at once) and `untrusted_model`.

#[macro_use]
mod setters;

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
mod random;
pub mod sandbox;
#[cfg(feature = "service")]
pub mod service;
pub mod session;
#[cfg(any(feature = "import", feature = "pull"))]
pub mod store;
mod sync;
#[doc(hidden)]
pub mod testing;
pub mod text;
mod transcript;
mod warning;

pub use bias::{Bias, BiasError};
pub use compute::{Compute, UnknownCompute};
pub use engine::{
    Engine, EngineBuilder, GuestInfo, Lost, Model, ModelSource, Preparation, Progress, TranscribeOptions,
    guest_info,
};
pub use error::Error;
pub use executor::{Share, ShareLimits};
pub use language::{language_code, language_codes};
pub use transcript::{DropReason, Language, Segment, Transcript, Word};
pub use warning::Warning;
/// Crates whose types are in the interface: channels of events, hashes of models.
pub use {blake3, crossbeam_channel};

/// Sample rate of everything inside hearken, in Hz.
pub const SAMPLE_RATE: u32 = hearken_proto::SAMPLE_RATE;

pub use hearken_proto::{samples_in, seconds};

/// The examples of the README are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
