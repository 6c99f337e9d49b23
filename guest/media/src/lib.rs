//! The sandboxed side of hearken that decodes recordings.
//!
//! Built for `wasm32-wasip1` this is a module that the host instantiates once for each recording.
//! It gets bytes and gives samples ([`hearken_proto::media`] has the messages), and has no other
//! way to reach anything. A parser that is deceived by a hostile file, symphonia's, libopus' or
//! FFmpeg's, spoils the decoding of that file and nothing else.
//!
//! There are two such modules. The one inside hearken has the feature `symphonia`; the one that an
//! operator can add has the feature `ffmpeg`, and is built by `scripts/media-ffmpeg`.
#![cfg(any(target_arch = "wasm32", fuzzing))]

#[cfg(all(feature = "ffmpeg", feature = "symphonia"))]
compile_error!(
    "a module has either symphonia's decoders or FFmpeg's: --no-default-features --features ffmpeg"
);

#[cfg(feature = "symphonia")]
mod aac;
#[cfg(feature = "symphonia")]
mod container;
#[cfg(target_arch = "wasm32")]
mod exports;
#[cfg(feature = "ffmpeg")]
mod ffmpeg;
#[cfg(target_arch = "wasm32")]
mod imports;
#[cfg(feature = "symphonia")]
mod mkv;
#[cfg(feature = "symphonia")]
mod mp4;
#[cfg(feature = "symphonia")]
mod mpeg;
#[cfg(feature = "symphonia")]
mod opus;
mod report;
mod signature;
mod source;
mod track;
#[cfg(feature = "symphonia")]
pub mod wave;

#[cfg(feature = "symphonia")]
pub use container::Container;
#[cfg(feature = "ffmpeg")]
pub use ffmpeg::Container;
pub use source::{Bytes, Source};
