//! The sandboxed side of hearken.
//!
//! Built for `wasm32-wasip1` this is the module that the host runs: [`hearken_proto::abi`]
//! describes its imports and exports. It has no clock, no files and no threads; a model comes in
//! once, while the host makes a snapshot. Built natively it has only the parts without a
//! recognizer, so that its tests need none either.

// What needs no recognizer is written against plain data, and tested natively.
#[cfg(any(target_arch = "wasm32", test))]
mod backend;
#[cfg(any(target_arch = "wasm32", test))]
mod decoder;
#[cfg(all(target_arch = "wasm32", not(feature = "command")))]
mod exports;
#[cfg(all(target_arch = "wasm32", not(feature = "command")))]
mod imports;
// Linked into a program, the recognizer has no host: its imports and exports are plain Rust.
#[cfg(all(target_arch = "wasm32", feature = "command"))]
#[path = "linked.rs"]
mod imports;
#[cfg(target_arch = "wasm32")]
mod instance;
#[cfg(target_arch = "wasm32")]
mod loader;
#[cfg(all(target_arch = "wasm32", not(feature = "command")))]
mod quantize;
#[cfg(target_arch = "wasm32")]
mod recognizer;
#[cfg(any(target_arch = "wasm32", test))]
mod ring;
#[cfg(any(target_arch = "wasm32", test))]
mod script;
#[cfg(target_arch = "wasm32")]
mod spectrogram;
#[cfg(any(target_arch = "wasm32", test))]
mod stream;
#[cfg(any(target_arch = "wasm32", test))]
mod words;

#[cfg(all(target_arch = "wasm32", feature = "command"))]
pub use imports::Guest;
