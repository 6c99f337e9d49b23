//! hearken's ggml backend: the operations of Whisper's graphs, inside the sandbox or by the host.
//!
//! whisper.cpp takes up every registered backend of type ACCEL by itself and lets ggml's scheduler
//! give it the operations that it supports: all of Whisper's, so that a graph comes in one piece.
//! The [graph](graph) becomes plain data, the data a [plan] of few, fused steps, and the steps are
//! [run]: the [dense] ones by the guest's own [kernels] or by the [host], the rest by the kernels.
//! A host without kernels can have several guests share the dense ones, as a [pool].

// What touches ggml exists only in the guest; the rest is tested natively too.
#![cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "only the guest has graphs to compute"))]

pub(crate) mod attention_tap;
mod dense;
#[cfg(target_arch = "wasm32")]
mod device;
#[cfg(target_arch = "wasm32")]
mod ffi;
#[cfg(target_arch = "wasm32")]
mod graph;
mod host;
mod kernels;
pub(crate) mod padding;
mod plan;
#[cfg(any(test, not(feature = "command")))]
pub(crate) mod pool;
mod run;
#[cfg(target_arch = "wasm32")]
pub(crate) mod scores;
mod tensor;
#[cfg(target_arch = "wasm32")]
mod threads;
mod weights;
#[cfg(target_arch = "wasm32")]
pub(crate) mod workspace;

pub(crate) use attention_tap::Watched;
#[cfg(target_arch = "wasm32")]
pub(crate) use device::register;
pub(crate) use kernels::softmax::log_sum_exp;
#[cfg(target_arch = "wasm32")]
pub(crate) use kernels::spectrogram;
#[cfg(target_arch = "wasm32")]
pub(crate) use weights::close as weights;
#[cfg(all(target_arch = "wasm32", not(feature = "command")))]
pub(crate) use weights::{adopt as adopt_weights, known as known_weights};
