//! hearken's ggml backend: the matrix products, inside the sandbox.
//!
//! whisper.cpp takes up every registered backend of type ACCEL by itself and lets ggml's scheduler give it the
//! operations that it [supports](device); the rest stays with ggml's CPU backend. Both work on the same memory.

// What touches ggml exists only in the guest; the arithmetic is tested natively too.
#[cfg(target_arch = "wasm32")]
mod device;
#[cfg(target_arch = "wasm32")]
mod ffi;
mod gemm;
mod half;
#[cfg(target_arch = "wasm32")]
mod products;
mod simd;
#[cfg(target_arch = "wasm32")]
mod threads;

#[cfg(target_arch = "wasm32")]
pub(crate) use device::register;
