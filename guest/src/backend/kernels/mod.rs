//! The guest's own kernels: plain arithmetic on slices, in 128-bit SIMD. All of it is tested
//! natively.

pub(super) mod attention;
mod column;
pub(super) mod convolution;
pub(super) mod copy;
pub(super) mod elementwise;
mod exp;
pub(super) mod gemm;
pub(super) mod half;
pub(super) mod norm;
pub(super) mod product;
pub(super) mod quant;
pub(super) mod rows;
mod simd;
pub(super) mod softmax;
pub(crate) mod spectrogram;
