//! The sandboxed side of hearken that decodes recordings.
//!
//! Built for `wasm32-wasip1` this is a module that the host instantiates once for each recording.
//! It gets bytes and gives samples ([`hearken_proto::media`] has the messages), and has no other
//! way to reach anything. A parser that is deceived by a hostile file, symphonia's or libopus',
//! spoils the decoding of that file and nothing else.
#![cfg(any(target_arch = "wasm32", fuzzing))]

mod aac;
mod container;
#[cfg(target_arch = "wasm32")]
mod exports;
#[cfg(target_arch = "wasm32")]
mod imports;
mod mkv;
mod mp4;
mod mpeg;
mod opus;
mod signature;
mod source;
pub mod wave;

pub use container::Container;
pub use source::{Bytes, Source};
