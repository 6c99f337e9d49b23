//! Quantised weights: blocks of small integers with a scale (`ggml-common.h` has the layouts).
//!
//! Few columns are multiplied as integers, with activations rounded to 8 bits in blocks of 32, to nearest, as ggml's
//! native kernels do it. For many columns blocks are widened to floats.

use super::half;
use super::simd::{F32x4, I32x4};

/// Elements of one block of every format that is multiplied here.
pub(in crate::backend) const BLOCK: usize = 32;

/// Widens elements: `count` of them from `blocks` into `out`.
pub(in crate::backend) type Widen = unsafe extern "C" fn(blocks: *const u8, out: *mut f32, count: i64);

/// A format of blocks.
#[derive(Debug, Clone, Copy)]
pub(in crate::backend) enum Blocks {
    Q8_0,
    Q5_0,
    Q5_1,
    Q4_0,
    Q4_1,
    /// Another of ggml's, which knows how to widen it.
    Other { len: usize, bytes: usize, widen: Widen },
}

/// A block of weights, unpacked: `scale * integer + minimum`.
struct Unpacked {
    integers: [i8; BLOCK],
    scale: f32,
    minimum: f32,
}

impl Blocks {
    pub(in crate::backend) fn len(self) -> usize {
        match self {
            Self::Other { len, .. } => len,
            _ => BLOCK,
        }
    }

    pub(in crate::backend) fn bytes(self) -> usize {
        match self {
            Self::Q8_0 => 34,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Other { bytes, .. } => bytes,
        }
    }

    /// Whether rows can be multiplied as integers.
    pub(super) fn has_integers(self) -> bool {
        !matches!(self, Self::Other { .. })
    }

    /// Widens whole blocks.
    pub(super) fn widen(self, blocks: &[u8], out: &mut [f32]) {
        if let Self::Other { widen, .. } = self {
            // SAFETY: ggml reads as many blocks as hold `out.len()` elements, which is what `blocks` has, and writes
            // `out`.
            return unsafe { widen(blocks.as_ptr(), out.as_mut_ptr(), out.len() as i64) };
        }
        for (block, out) in blocks.chunks_exact(self.bytes()).zip(out.as_chunks_mut::<BLOCK>().0) {
            let block = self.unpack(block);
            for (out, integer) in out.iter_mut().zip(block.integers) {
                *out = f32::from(integer) * block.scale + block.minimum;
            }
        }
    }

    /// Unpacks one block; what is of another length becomes zeroes.
    #[inline(always)]
    fn unpack(self, block: &[u8]) -> Unpacked {
        let header = |at: usize| half::widen(u16::from_le_bytes([block[at], block[at + 1]]));
        let mut unpacked = Unpacked { integers: [0; BLOCK], scale: header(0), minimum: 0.0 };
        let integers = &mut unpacked.integers;
        match self {
            Self::Q8_0 => {
                if let Some(bytes) = block[2..].first_chunk::<BLOCK>() {
                    *integers = bytes.map(|byte| byte as i8);
                }
            }
            Self::Q4_0 => nibbles(&block[2..], 8, integers),
            Self::Q4_1 => {
                unpacked.minimum = header(2);
                nibbles(&block[4..], 0, integers);
            }
            Self::Q5_0 => {
                nibbles(&block[6..], 16, integers);
                fifth_bits(&block[2..], integers);
            }
            Self::Q5_1 => {
                unpacked.minimum = header(2);
                nibbles(&block[8..], 0, integers);
                fifth_bits(&block[4..], integers);
            }
            Self::Other { .. } => {}
        }
        unpacked
    }

    /// Dot product of a row with activations.
    pub(super) fn dot(self, row: &[u8], activations: &Rounded) -> f32 {
        let mut sums = F32x4::zero();
        let mut minima = 0.0;
        let blocks = row.chunks_exact(self.bytes()).zip(&activations.integers);
        for ((block, integers), scale) in blocks.zip(&activations.scales) {
            let block = self.unpack(block);
            let (bytes, _) = block.integers.as_chunks::<8>();
            let (words, _) = integers.as_chunks::<8>();
            let [one, two] = [[0, 1], [2, 3]].map(|pair| {
                I32x4::zero().dot(&bytes[pair[0]], &words[pair[0]]).dot(&bytes[pair[1]], &words[pair[1]])
            });
            let sum = one.to_floats().add(two.to_floats());
            sums = sums.madd(sum, F32x4::splat(block.scale * scale.step));
            minima += block.minimum * scale.sum;
        }
        sums.sum() + minima
    }
}

/// Low nibbles are the first half of a block, high ones the second.
#[inline(always)]
fn nibbles(bytes: &[u8], offset: i8, integers: &mut [i8; BLOCK]) {
    let (low, high) = integers.split_at_mut(BLOCK / 2);
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        *low = (byte & 15) as i8 - offset;
        *high = (byte >> 4) as i8 - offset;
    }
}

/// Adds the fifth bits, 32 of them.
#[inline(always)]
fn fifth_bits(bytes: &[u8], integers: &mut [i8; BLOCK]) {
    let bits = bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    for (place, integer) in integers.iter_mut().enumerate() {
        *integer += ((bits >> place & 1) << 4) as i8;
    }
}

/// One row of activations, rounded to 8 bits in blocks.
#[derive(Default)]
pub(super) struct Rounded {
    /// In 16 bits each, which spares widening them for every row of weights.
    integers: Vec<[i16; BLOCK]>,
    scales: Vec<Scale>,
}

/// What goes with a block of activations.
struct Scale {
    /// What an integer stands for.
    step: f32,
    /// The sum of what all integers of the block stand for.
    sum: f32,
}

impl Rounded {
    /// Rounds a row, whose length is a multiple of [`BLOCK`]: ggml's `q8_0`, and where weights have minima `q8_1`.
    pub(super) fn round(&mut self, row: &[f32]) {
        self.integers.clear();
        self.scales.clear();
        for block in row.as_chunks::<BLOCK>().0 {
            let largest = block.iter().fold(0f32, |largest, value| largest.max(value.abs()));
            let step = largest / 127.0;
            let inverse = if largest == 0.0 { 0.0 } else { 127.0 / largest };
            let integers = block.map(|value| (value * inverse).round_ties_even() as i16);
            let sum: i32 = integers.iter().map(|integer| i32::from(*integer)).sum();
            // ggml keeps the step as a half.
            let kept = half::widen(half::narrow(step));
            self.scales.push(Scale { step: kept, sum: step * sum as f32 });
            self.integers.push(integers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::Noise;
    use super::*;

    const ALL: [Blocks; 5] = [Blocks::Q8_0, Blocks::Q5_0, Blocks::Q5_1, Blocks::Q4_0, Blocks::Q4_1];

    /// Blocks with any integers and small scales.
    fn blocks(format: Blocks, count: usize, noise: &mut Noise) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..count * format.bytes()).map(|_| noise.bits() as u8).collect();
        for block in bytes.chunks_exact_mut(format.bytes()) {
            let has_minimum = matches!(format, Blocks::Q5_1 | Blocks::Q4_1);
            for at in (0..if has_minimum { 4 } else { 2 }).step_by(2) {
                let value = half::narrow(noise.float() / 16.0);
                block[at..at + 2].copy_from_slice(&value.to_le_bytes());
            }
        }
        bytes
    }

    /// Element `at` of a block by the definition in `ggml-common.h` and `ggml-quants.c`.
    fn element(format: Blocks, block: &[u8], at: usize) -> f64 {
        let half = |offset: usize| f64::from(half::widen(u16::from_le_bytes([block[offset], block[offset + 1]])));
        let nibble = |offset: usize| {
            let byte = block[offset + at % 16];
            f64::from(if at < 16 { byte & 15 } else { byte >> 4 })
        };
        let fifth = |offset: usize| f64::from(block[offset + at / 8] >> (at % 8) & 1) * 16.0;
        match format {
            Blocks::Q8_0 => half(0) * f64::from(block[2 + at] as i8),
            Blocks::Q5_0 => half(0) * (nibble(6) + fifth(2) - 16.0),
            Blocks::Q5_1 => half(0) * (nibble(8) + fifth(4)) + half(2),
            Blocks::Q4_0 => half(0) * (nibble(2) - 8.0),
            Blocks::Q4_1 => half(0) * nibble(4) + half(2),
            Blocks::Other { .. } => f64::NAN,
        }
    }

    #[test]
    fn blocks_are_widened_as_defined() {
        let mut noise = Noise::new(1);
        for format in ALL {
            let bytes = blocks(format, 3, &mut noise);
            let mut wide = vec![f32::NAN; 3 * BLOCK];
            format.widen(&bytes, &mut wide);
            for (at, wide) in wide.iter().enumerate() {
                let exact = element(format, &bytes[at / BLOCK * format.bytes()..], at % BLOCK);
                assert!((f64::from(*wide) - exact).abs() <= 1e-6 * exact.abs().max(1.0), "{format:?} {at}");
            }
        }
    }

    #[test]
    fn dot_products_are_those_of_the_integers() {
        let mut noise = Noise::new(2);
        for format in ALL {
            for count in [1, 2, 12, 13] {
                let bytes = blocks(format, count, &mut noise);
                let row = noise.floats(count * BLOCK);
                let mut rounded = Rounded::default();
                rounded.round(&row);
                let mut exact = 0.0;
                for (at, value) in row.iter().enumerate() {
                    let scale = &rounded.scales[at / BLOCK];
                    let integer = f64::from(rounded.integers[at / BLOCK][at % BLOCK]);
                    let activation = f64::from(scale.step) * integer;
                    assert!((activation - f64::from(*value)).abs() < 1.0 / 127.0, "{activation} for {value}");
                    exact += element(format, &bytes[at / BLOCK * format.bytes()..], at % BLOCK) * activation;
                }
                let found = f64::from(format.dot(&bytes, &rounded));
                assert!((found - exact).abs() < 2e-3 * (count as f64).sqrt(), "{format:?}: {found}, {exact}");
            }
        }
    }

    #[test]
    fn activations_are_rounded_to_nearest_and_zeroes_stay() {
        let mut rounded = Rounded::default();
        let mut row = [0.0; 2 * BLOCK];
        (row[0], row[1], row[2], row[3]) = (127.0, 0.5, 1.5, -2.6);
        rounded.round(&row);
        assert_eq!(rounded.integers[0][..5], [127, 0, 2, -3, 0]);
        assert_eq!(rounded.integers[1], [0; BLOCK]);
        assert_eq!(rounded.scales[1].step, 0.0);
    }
}
