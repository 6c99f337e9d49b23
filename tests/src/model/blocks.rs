//! ggml's block types, as its reference quantizers write them (`ggml-quants.c`, `ggml-common.h`).

use half::f16;

/// Type of a model's large weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weights {
    /// 32-bit floats. whisper.cpp 1.8.3 loads such a model and aborts at its first convolution.
    F32,
    /// 16-bit floats.
    F16,
    /// 4 bits with a scale.
    Q4_0,
    /// 5 bits with a scale.
    Q5_0,
    /// 5 bits with a scale and a minimum.
    Q5_1,
    /// 8 bits with a scale.
    Q8_0,
}

/// Elements of a quantized block.
const BLOCK: usize = 32;

impl Weights {
    /// Formats that whisper.cpp can run.
    pub const RUNNABLE: [Self; 5] = [Self::F16, Self::Q4_0, Self::Q5_0, Self::Q5_1, Self::Q8_0];

    /// The header's number: ggml's file type, and for quantized ones 1000 times the layout's
    /// version, 2.
    pub fn ftype(self) -> i32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2002,
            Self::Q8_0 => 2007,
            Self::Q5_0 => 2008,
            Self::Q5_1 => 2009,
        }
    }

    /// A tensor's number for the type.
    pub fn tensor_type(self) -> i32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
        }
    }

    /// Elements of a block.
    pub(super) fn block(self) -> usize {
        if matches!(self, Self::F32 | Self::F16) { 1 } else { BLOCK }
    }

    /// Appends the encoded values; a block that is not full gets zeros.
    pub(super) fn encode(self, values: &[f32], out: &mut Vec<u8>) {
        match self {
            Self::F32 => values.iter().for_each(|value| out.extend(value.to_le_bytes())),
            Self::F16 => values.iter().for_each(|value| out.extend(f16::from_f32(*value).to_le_bytes())),
            _ => {
                for chunk in values.chunks(BLOCK) {
                    let mut block = [0.0; BLOCK];
                    block[..chunk.len()].copy_from_slice(chunk);
                    self.quantize(&block, out);
                }
            }
        }
    }

    fn quantize(self, block: &[f32; BLOCK], out: &mut Vec<u8>) {
        let scale = |out: &mut Vec<u8>, scale: f32| out.extend(f16::from_f32(scale).to_le_bytes());
        let inverse = |d: f32| if d == 0.0 { 0.0 } else { 1.0 / d };
        // The value farthest from zero, with its sign, becomes the most negative number.
        let extreme =
            block.iter().fold(0f32, |max, value| if value.abs() > max.abs() { *value } else { max });
        match self {
            Self::Q8_0 => {
                let d = extreme.abs() / 127.0;
                scale(out, d);
                out.extend(block.iter().map(|value| ((value * inverse(d)).round() as i8).cast_unsigned()));
            }
            Self::Q4_0 => {
                let d = extreme / -8.0;
                scale(out, d);
                let quants = block.map(|value| ((value * inverse(d) + 8.5) as u8).min(15));
                nibbles(&quants, out);
            }
            Self::Q5_0 => {
                let d = extreme / -16.0;
                scale(out, d);
                fives(&block.map(|value| ((value * inverse(d) + 16.5) as u8).min(31)), out);
            }
            Self::Q5_1 => {
                let min = block.iter().copied().fold(f32::INFINITY, f32::min);
                let max = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let d = (max - min) / 31.0;
                scale(out, d);
                scale(out, min);
                fives(&block.map(|value| (((value - min) * inverse(d) + 0.5) as u8).min(31)), out);
            }
            Self::F32 | Self::F16 => {}
        }
    }
}

/// Low four bits: the first half of a block in the low nibbles, the second in the high ones.
fn nibbles(quants: &[u8; BLOCK], out: &mut Vec<u8>) {
    let (low, high) = quants.split_at(BLOCK / 2);
    out.extend(low.iter().zip(high).map(|(low, high)| (low & 15) | (high << 4)));
}

/// Fifth bits as one little-endian word, then the low four.
fn fives(quants: &[u8; BLOCK], out: &mut Vec<u8>) {
    let fifth = quants.iter().enumerate().fold(0u32, |bits, (at, q)| bits | (u32::from(q >> 4) << at));
    out.extend(fifth.to_le_bytes());
    nibbles(quants, out);
}
