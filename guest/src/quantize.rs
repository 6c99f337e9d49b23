//! Quantization of weights by ggml's own routines, for models that are imported.

use hearken_proto::abi::{Quantization, Status};
use whisper_rs::whisper_rs_sys as sys;

/// Replaces whole blocks of `f32` weights (little-endian) by their quantized form, which is
/// shorter. What follows it in `bytes` is left over.
pub(crate) fn in_place(kind: Quantization, bytes: &mut [u8]) -> Result<(), Status> {
    let weights: Vec<f32> = bytes.as_chunks().0.iter().map(|&weight| f32::from_le_bytes(weight)).collect();
    let blocks = weights.len() / Quantization::BLOCK as usize;
    let quantized = blocks * kind.block_bytes() as usize;
    if blocks == 0 || bytes.len() != blocks * Quantization::BLOCK as usize * size_of::<f32>() {
        return Err(Status::Malformed);
    }
    // SAFETY: ggml reads one row of `weights.len()` weights, which are whole blocks, and writes
    // their blocks at `bytes`, which is longer: 18 to 34 bytes for each block of 128. Without an
    // importance matrix it reads nothing else.
    let written = unsafe {
        sys::ggml_quantize_chunk(
            kind as sys::ggml_type,
            weights.as_ptr(),
            bytes.as_mut_ptr().cast(),
            0,
            1,
            weights.len() as i64,
            std::ptr::null(),
        )
    };
    // ggml's layouts are those that the host was given.
    if written == quantized { Ok(()) } else { Err(Status::Unsupported) }
}
