//! The listener: what hearken does around the recognizer, for hosts other than its own.
//!
//! hearken's host runs the recognizer in wasmtime. Elsewhere, in a browser's worker or linked into
//! a command, this crate stands in for the host: it resamples, detects voice, cuts chunks and
//! utterances, decides when a partial text is due, guards against hallucinations, and writes text,
//! subtitles and JSON. These parts are **the host's own sources**, compiled once more (each `path`
//! below names one), so that the words are the same as the host's. What differs is written here:
//! one recognizer serves all utterances, one after the other, and nothing runs in parallel.

// For WebAssembly alone; lints and documentation see it elsewhere, too. The host's sources have
// their tests in the host.
#![cfg(all(not(test), any(target_arch = "wasm32", clippy, doc)))]
#![allow(
    dead_code,
    unexpected_cfgs,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    rustdoc::private_intra_doc_links,
    reason = "the host's sources serve more than is needed here, and name its features and its items"
)]

#[macro_use]
#[path = "../../../host/src/setters.rs"]
mod setters;

// The guest that decodes recordings, without its exports: a program may have one `_start` only.
#[cfg(all(target_arch = "wasm32", feature = "files"))]
#[path = "../../media/src/aac.rs"]
mod aac;
pub mod audio;
#[path = "../../../host/src/bias.rs"]
mod bias;
#[cfg(all(target_arch = "wasm32", feature = "files"))]
#[path = "../../media/src/container.rs"]
mod container;
mod engine;
mod error;
#[cfg(all(target_arch = "wasm32", feature = "browser"))]
mod exports;
#[path = "../../../host/src/formats/mod.rs"]
pub mod formats;
#[path = "../../../host/src/language.rs"]
mod language;
#[cfg(all(target_arch = "wasm32", feature = "files"))]
#[path = "../../media/src/mkv.rs"]
mod mkv;
pub mod model;
#[cfg(all(target_arch = "wasm32", feature = "files"))]
#[path = "../../media/src/mp4.rs"]
mod mp4;
#[cfg(all(target_arch = "wasm32", feature = "files"))]
#[path = "../../media/src/mpeg.rs"]
mod mpeg;
#[cfg(all(target_arch = "wasm32", feature = "files"))]
#[path = "../../media/src/opus.rs"]
mod opus;
mod place;
#[cfg(all(target_arch = "wasm32", feature = "files"))]
#[path = "../../media/src/report.rs"]
mod report;
mod sandbox;
pub mod session;
#[cfg(all(target_arch = "wasm32", feature = "files"))]
#[path = "../../media/src/signature.rs"]
mod signature;
#[cfg(all(target_arch = "wasm32", feature = "files"))]
#[path = "../../media/src/source.rs"]
mod source;
#[path = "../../../host/src/text.rs"]
mod text;
#[cfg(all(target_arch = "wasm32", feature = "files"))]
#[path = "../../media/src/track.rs"]
mod track;
#[path = "../../../host/src/transcript.rs"]
mod transcript;
#[path = "../../../host/src/warning.rs"]
mod warning;
#[cfg(all(target_arch = "wasm32", feature = "files"))]
#[path = "../../media/src/wave.rs"]
mod wave;

pub use bias::{Bias, BiasError};
pub use engine::{Lost, Model, TranscribeOptions};
pub use error::Error;
pub use language::language_code;
pub use sandbox::{Recognize, SandboxError};
pub use transcript::{DropReason, Language, Segment, Transcript, Word};
pub use warning::Warning;

/// Sample rate of everything that the recognizer hears, in Hz.
pub const SAMPLE_RATE: u32 = hearken_proto::SAMPLE_RATE;

pub use hearken_proto::{samples_in, seconds};

/// The engine's threads have shares in the host; here there is one thread.
#[derive(Debug, Clone)]
pub struct Share;

/// Works on a task to its end: nothing here waits for anything.
pub(crate) fn to_end<F: Future>(task: F) -> F::Output {
    let mut task = std::pin::pin!(task);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = task.as_mut().poll(&mut context) {
            return output;
        }
    }
}
