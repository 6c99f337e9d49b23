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
#[cfg(target_arch = "wasm32")]
mod exports;
#[cfg(target_arch = "wasm32")]
mod imports;
#[cfg(target_arch = "wasm32")]
mod loader;
#[cfg(target_arch = "wasm32")]
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
