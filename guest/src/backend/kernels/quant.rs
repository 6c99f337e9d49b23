//! Quantized weights: blocks of small integers with a scale (`ggml-common.h` has the layouts).
//!
//! Few columns are multiplied as integers, with activations rounded to 8 bits in blocks of 32, to
//! nearest, as ggml's native kernels do it. For many columns blocks are widened to floats.

use hearken_proto::compute::Element;

use super::half;
use super::simd::{F32x4, I8x32};

/// Elements of one block of every format that is multiplied here.
pub(in crate::backend) const BLOCK: usize = Element::Q8_0.block_len() as usize;

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
    Other {
        len: usize,
        bytes: usize,
        widen: Widen,
    },
}

impl Blocks {
    pub(in crate::backend) fn len(self) -> usize {
        match self {
            Self::Other { len, .. } => len,
            _ => BLOCK,
        }
    }

    /// The host's name for it; `None` for one that it does not know.
    pub(in crate::backend) fn element(self) -> Option<Element> {
        Some(match self {
            Self::Q8_0 => Element::Q8_0,
            Self::Q5_0 => Element::Q5_0,
            Self::Q5_1 => Element::Q5_1,
            Self::Q4_0 => Element::Q4_0,
            Self::Q4_1 => Element::Q4_1,
            Self::Other { .. } => return None,
        })
    }

    pub(in crate::backend) fn bytes(self) -> usize {
        match self {
            Self::Q8_0 => const { Element::Q8_0.block_bytes() as usize },
            Self::Q5_0 => const { Element::Q5_0.block_bytes() as usize },
            Self::Q5_1 => const { Element::Q5_1.block_bytes() as usize },
            Self::Q4_0 => const { Element::Q4_0.block_bytes() as usize },
            Self::Q4_1 => const { Element::Q4_1.block_bytes() as usize },
            Self::Other { bytes, .. } => bytes,
        }
    }

    /// Returns true if rows can be multiplied as integers.
    pub(super) fn has_integers(self) -> bool {
        !matches!(self, Self::Other { .. })
    }

    /// Widens whole blocks.
    pub(super) fn widen(self, blocks: &[u8], out: &mut [f32]) {
        if let Self::Other { widen, .. } = self {
            // SAFETY: ggml reads as many blocks as hold `out.len()` elements, the length of
            // `blocks`, and writes `out`.
            return unsafe { widen(blocks.as_ptr(), out.as_mut_ptr(), out.len() as i64) };
        }
        fn each<const BYTES: usize>(
            blocks: &[u8],
            out: &mut [f32],
            unpack: impl Fn(&[u8; BYTES]) -> Unpacked,
        ) {
            for (block, out) in blocks.as_chunks().0.iter().zip(out.as_chunks_mut::<BLOCK>().0) {
                let Unpacked { integers, scale, minimum } = unpack(block);
                for (out, integer) in out.iter_mut().zip(integers.lanes()) {
                    *out = f32::from(integer) * scale + minimum;
                }
            }
        }
        match self {
            Self::Q8_0 => each(blocks, out, q8_0),
            Self::Q5_0 => each(blocks, out, q5_0),
            Self::Q5_1 => each(blocks, out, q5_1),
            Self::Q4_0 => each(blocks, out, q4_0),
            Self::Q4_1 => each(blocks, out, q4_1),
            Self::Other { .. } => {}
        }
    }

    /// Dot product of a row with activations; 0 for [`Other`](Self::Other).
    pub(super) fn dot(self, row: &[u8], activations: &Rounded) -> f32 {
        #[inline(always)]
        fn all<const BYTES: usize>(
            row: &[u8],
            activations: &Rounded,
            unpack: impl Fn(&[u8; BYTES]) -> Unpacked,
        ) -> f32 {
            let mut sums = F32x4::zero();
            let mut minima = 0.0;
            let blocks = row.as_chunks().0.iter().zip(&activations.integers);
            for ((block, integers), of_block) in blocks.zip(&activations.scales) {
                let Unpacked { integers: weights, scale, minimum } = unpack(block);
                sums = sums.madd(weights.dot(integers).to_floats(), F32x4::splat(scale * of_block.step));
                minima += minimum * of_block.sum;
            }
            sums.sum() + minima
        }
        match self {
            Self::Q8_0 => all(row, activations, q8_0),
            Self::Q5_0 => all(row, activations, q5_0),
            Self::Q5_1 => all(row, activations, q5_1),
            Self::Q4_0 => all(row, activations, q4_0),
            Self::Q4_1 => all(row, activations, q4_1),
            Self::Other { .. } => 0.0,
        }
    }
}

/// A block of weights, unpacked: `scale · integer + minimum`.
struct Unpacked {
    integers: I8x32,
    scale: f32,
    minimum: f32,
}

/// The binary16 at byte `AT`.
#[inline(always)]
fn header<const AT: usize>(block: &[u8]) -> f32 {
    half::widen(u16::from_le_bytes([block[AT], block[AT + 1]]))
}

/// `N` bytes from `AT` on.
#[inline(always)]
fn bytes<const AT: usize, const N: usize>(block: &[u8]) -> &[u8; N] {
    // The blocks are long enough; a constant index leaves nothing to check.
    block[AT..].first_chunk().unwrap_or(&[0; N])
}

#[inline(always)]
fn q8_0(block: &[u8; 34]) -> Unpacked {
    Unpacked { integers: I8x32::load(bytes::<2, BLOCK>(block)), scale: header::<0>(block), minimum: 0.0 }
}

#[inline(always)]
fn q4_0(block: &[u8; 18]) -> Unpacked {
    let integers = I8x32::nibbles(bytes::<2, 16>(block)).minus(8);
    Unpacked { integers, scale: header::<0>(block), minimum: 0.0 }
}

#[inline(always)]
fn q4_1(block: &[u8; 20]) -> Unpacked {
    let integers = I8x32::nibbles(bytes::<4, 16>(block));
    Unpacked { integers, scale: header::<0>(block), minimum: header::<2>(block) }
}

#[inline(always)]
fn q5_0(block: &[u8; 22]) -> Unpacked {
    let integers = I8x32::nibbles(bytes::<6, 16>(block)).with_fifth_bits(bytes::<2, 4>(block)).minus(16);
    Unpacked { integers, scale: header::<0>(block), minimum: 0.0 }
}

#[inline(always)]
fn q5_1(block: &[u8; 24]) -> Unpacked {
    let integers = I8x32::nibbles(bytes::<8, 16>(block)).with_fifth_bits(bytes::<4, 4>(block));
    Unpacked { integers, scale: header::<0>(block), minimum: header::<2>(block) }
}

/// One row of activations, rounded to 8 bits in blocks.
#[derive(Default)]
pub(super) struct Rounded {
    /// In 16 bits each, which spares widening them for every row of weights.
    integers: Vec<[i16; BLOCK]>,
    scales: Vec<Scale>,
}

/// Scale and sum of a block of activations.
struct Scale {
    /// Value of one integer step.
    step: f32,
    /// Sum of the values of all integers of the block.
    sum: f32,
}

impl Rounded {
    /// Rounds a row, whose length is a multiple of [`BLOCK`]: ggml's `q8_0`, and where weights have
    /// minima `q8_1`.
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
        let half =
            |offset: usize| f64::from(half::widen(u16::from_le_bytes([block[offset], block[offset + 1]])));
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
