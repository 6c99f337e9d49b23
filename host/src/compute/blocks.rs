//! Blocks of weights: ggml's formats of 32, read; and floats, rounded to the widest of them, or to
//! 16-bit fixed point.

use half::f16;
use hearken_proto::compute::Element;

use super::kernels::{BLOCK, SPAN, scale};

/// A block as the kernels take it: element `i` stands for `scale · (bytes[i] − zero) + minimum`,
/// with the format's `zero`. Scale and minimum are the bits of a binary16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) scale: u16,
    pub(super) minimum: u16,
    pub(super) bytes: [u8; BLOCK],
}

/// Zero point of a format: the difference of its bytes to the numbers that they stand for.
pub(super) fn zero(element: Element) -> u8 {
    match element {
        // Floats are rounded to Q8_0.
        Element::F32 | Element::F16 | Element::Q8_0 => 128,
        Element::Q5_0 => 16,
        Element::Q4_0 => 8,
        Element::Q5_1 | Element::Q4_1 => 0,
    }
}

/// Returns true if the blocks of a format have a minimum.
pub(super) fn has_minimum(element: Element) -> bool {
    matches!(element, Element::Q5_1 | Element::Q4_1)
}

/// Reads a block of a quantized format. Bytes that are missing are 0.
pub(super) fn read(element: Element, block: &[u8]) -> Block {
    let byte = |at: usize| block.get(at).copied().unwrap_or(0);
    let half = |at: usize| u16::from_le_bytes([byte(at), byte(at + 1)]);
    let nibble = |from: usize, i: usize| match i.checked_sub(BLOCK / 2) {
        None => byte(from + i) & 0xf,
        Some(i) => byte(from + i) >> 4,
    };
    let fifth = |from: usize, i: usize| (byte(from + i / 8) >> (i % 8) & 1) << 4;
    let (minimum, bytes) = match element {
        Element::Q8_0 => (0, std::array::from_fn(|i| byte(2 + i) ^ 0x80)),
        Element::Q5_0 => (0, std::array::from_fn(|i| nibble(6, i) | fifth(2, i))),
        Element::Q5_1 => (half(2), std::array::from_fn(|i| nibble(8, i) | fifth(4, i))),
        Element::Q4_0 => (0, std::array::from_fn(|i| nibble(2, i))),
        Element::Q4_1 => (half(2), std::array::from_fn(|i| nibble(4, i))),
        Element::F32 | Element::F16 => unreachable!("floats have no blocks"),
    };
    Block { scale: half(0), minimum, bytes }
}

/// Rounds up to 32 floats as ggml's `quantize_row_q8_0` does: the greatest magnitude becomes 127.
pub(super) fn round(floats: &[f32]) -> Block {
    let greatest = floats.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let factor = 127.0 / greatest.max(f32::MIN_POSITIVE);
    let mut bytes = [128; BLOCK];
    for (byte, x) in bytes.iter_mut().zip(floats) {
        *byte = ((x * factor).round_ties_even() as i8) as u8 ^ 0x80;
    }
    Block { scale: f16::from_f32(greatest / 127.0).to_bits(), minimum: 0, bytes }
}

/// Rounds up to 256 floats to 16-bit fixed point: a scale, and integers, with a 0 to make their
/// number even.
pub(super) fn fixed(floats: impl Iterator<Item = f32> + Clone) -> (f32, Vec<[u8; 2]>) {
    let squares = floats.clone().map(|x| x * x).sum();
    let greatest = floats.clone().fold(0.0_f32, |most, x| most.max(x.abs()));
    let scale = scale(squares, greatest);
    let mut integers: Vec<_> = floats.map(|x| ((x / scale).round_ties_even() as i16).to_le_bytes()).collect();
    debug_assert!(integers.len() <= SPAN);
    integers.resize(integers.len().next_multiple_of(2), [0; 2]);
    (scale, integers)
}
