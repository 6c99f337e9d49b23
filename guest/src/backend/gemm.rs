//! Dense products in `f32`, packed and blocked for 128-bit SIMD.
//!
//! ggml's `mul_mat` takes weights as rows of `k` elements and activations as rows of `k` elements, and writes for each
//! activation the dot products with all weight rows. So for `m` weight rows and `n` activation rows,
//! `out[j][i] = sum over k of weight[i][k] * activation[j][k]`, where `i` runs contiguously in `out`.

use super::half;
use super::simd::F32x4;

/// Weight rows of one micro-kernel: two vectors.
pub(super) const MR: usize = 8;
/// Activation rows of one micro-kernel. 8 × 4 needs 8 accumulators, 2 weight vectors and a broadcast: 128-bit SIMD has
/// 16 registers on x86-64.
const NR: usize = 4;
/// Elements of `k` in one block: a packed panel of 8 × 512 floats is 16 KiB, half of a first-level cache.
pub(super) const KC: usize = 512;
/// Weight rows in one block: with [`KC`] 256 KiB of packed weights, which stay in a second-level cache.
const MC: usize = 128;

/// A row of weights.
#[derive(Clone, Copy)]
pub(super) enum Row<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
    Blocks(Blocks<'a>),
}

/// A row of quantised weights.
#[derive(Clone, Copy)]
pub(super) struct Blocks<'a> {
    pub(super) bytes: &'a [u8],
    /// Elements and bytes of one block; [`KC`] is a multiple of the elements.
    pub(super) block_len: usize,
    pub(super) block_bytes: usize,
    /// Widens whole blocks.
    pub(super) widen: &'a dyn Fn(&[u8], &mut [f32]),
}

/// Fewest activation rows for which widening quantised weights pays: below, ggml multiplies the quantised values
/// themselves.
#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "only the guest asks ggml's types"))]
pub(super) const MIN_ROWS_FOR_BLOCKS: usize = 16;

impl Row<'_> {
    /// Widens elements `range` into `out`.
    fn widen(self, range: std::ops::Range<usize>, out: &mut [f32]) {
        match self {
            Row::F32(row) => out.copy_from_slice(&row[range]),
            Row::Blocks(row) => {
                let at = |element: usize| element / row.block_len * row.block_bytes;
                (row.widen)(&row.bytes[at(range.start)..at(range.end)], out);
            }
            Row::F16(row) => {
                let (whole, rest) = row[range].as_chunks::<8>();
                let (wide, tail) = out.as_chunks_mut::<8>();
                for (halves, wide) in whole.iter().zip(wide) {
                    let (low, high) = wide.split_at_mut(4);
                    let [first, second] = F32x4::widen(halves);
                    if let (Ok(low), Ok(high)) = (low.try_into(), high.try_into()) {
                        first.store(low);
                        second.store(high);
                    }
                }
                for (half, wide) in rest.iter().zip(tail) {
                    *wide = half::widen(*half);
                }
            }
        }
    }

    /// Dot product with `activation`.
    pub(super) fn dot(self, activation: &[f32]) -> f32 {
        // Two pairs of accumulators hide the latency of the additions.
        let mut sums = [F32x4::zero(); 4];
        let mut tail = 0.0;
        let (blocks, rest) = activation.as_chunks::<16>();
        match self {
            Row::Blocks(row) => {
                let mut wide = vec![0.0; activation.len()];
                (row.widen)(row.bytes, &mut wide);
                return Row::F32(&wide).dot(activation);
            }
            Row::F32(row) => {
                let (whole, row_rest) = row.as_chunks::<16>();
                for (weights, values) in whole.iter().zip(blocks) {
                    let (weights, values) = (weights.as_chunks::<4>().0, values.as_chunks::<4>().0);
                    for lane in 0..4 {
                        sums[lane] = sums[lane].madd(F32x4::load(&weights[lane]), F32x4::load(&values[lane]));
                    }
                }
                for (weight, value) in row_rest.iter().zip(rest) {
                    tail += weight * value;
                }
            }
            Row::F16(row) => {
                let (whole, row_rest) = row.as_chunks::<16>();
                for (weights, values) in whole.iter().zip(blocks) {
                    let (weights, values) = (weights.as_chunks::<8>().0, values.as_chunks::<4>().0);
                    for pair in 0..2 {
                        let [low, high] = F32x4::widen(&weights[pair]);
                        sums[2 * pair] = sums[2 * pair].madd(low, F32x4::load(&values[2 * pair]));
                        sums[2 * pair + 1] =
                            sums[2 * pair + 1].madd(high, F32x4::load(&values[2 * pair + 1]));
                    }
                }
                for (weight, value) in row_rest.iter().zip(rest) {
                    tail += half::widen(*weight) * value;
                }
            }
        }
        (sums[0].add(sums[1])).add(sums[2].add(sums[3])).sum() + tail
    }
}

/// Room for packed weights and activations, kept between products.
#[derive(Default)]
pub(super) struct Scratch {
    weights: Vec<f32>,
    activations: Vec<f32>,
    row: Vec<f32>,
}

/// `n` activation rows of `k` elements.
pub(super) trait Activations {
    /// Row `j`.
    fn row(&self, j: usize) -> &[f32];
}

/// `n` output rows of `m` elements.
pub(super) trait Outputs {
    /// Row `j`.
    fn row(&mut self, j: usize) -> &mut [f32];
}

/// Multiplies. `weights(i)` is weight row `i` of `m`; all rows have `k` elements.
pub(super) fn multiply<'a>(
    (m, n, k): (usize, usize, usize),
    weights: impl Fn(usize) -> Row<'a>,
    activations: &impl Activations,
    outputs: &mut impl Outputs,
    scratch: &mut Scratch,
) {
    if n < NR {
        // Too few to earn back the packing: each weight is used only n times.
        for i in 0..m {
            let row = weights(i);
            for j in 0..n {
                outputs.row(j)[i] = row.dot(activations.row(j));
            }
        }
        return;
    }
    for k0 in (0..k).step_by(KC) {
        let kc = KC.min(k - k0);
        pack_activations(n, k0, kc, activations, &mut scratch.activations);
        for m0 in (0..m).step_by(MC) {
            let mc = MC.min(m - m0);
            scratch.row.resize(kc, 0.0);
            pack_weights(m0, mc, k0, kc, &weights, &mut scratch.weights, &mut scratch.row);
            for (group, activations) in scratch.activations.chunks_exact(kc * NR).enumerate() {
                for (panel, weights) in scratch.weights.chunks_exact(kc * MR).enumerate() {
                    let tile = kernel(weights, activations);
                    let i0 = m0 + panel * MR;
                    let rows = MR.min(m - i0);
                    for (j, sums) in tile.iter().enumerate().take(n.min((group + 1) * NR) - group * NR) {
                        let out = &mut outputs.row(group * NR + j)[i0..i0 + rows];
                        if k0 == 0 {
                            out.copy_from_slice(&sums[..rows]);
                        } else {
                            out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                        }
                    }
                }
            }
        }
    }
}

/// Groups of [`NR`] rows, interleaved element by element; rows past the end are zero.
fn pack_activations(n: usize, k0: usize, kc: usize, activations: &impl Activations, packed: &mut Vec<f32>) {
    packed.clear();
    packed.resize(n.div_ceil(NR) * NR * kc, 0.0);
    for (group, packed) in packed.chunks_exact_mut(kc * NR).enumerate() {
        for lane in 0..NR.min(n - group * NR) {
            let row = &activations.row(group * NR + lane)[k0..k0 + kc];
            for (value, slot) in row.iter().zip(packed[lane..].iter_mut().step_by(NR)) {
                *slot = *value;
            }
        }
    }
}

/// Panels of [`MR`] rows, widened and interleaved element by element; rows past the end are zero.
fn pack_weights<'a>(
    m0: usize,
    mc: usize,
    k0: usize,
    kc: usize,
    weights: &impl Fn(usize) -> Row<'a>,
    packed: &mut Vec<f32>,
    row: &mut [f32],
) {
    packed.clear();
    packed.resize(mc.div_ceil(MR) * MR * kc, 0.0);
    for (panel, packed) in packed.chunks_exact_mut(kc * MR).enumerate() {
        for lane in 0..MR.min(mc - panel * MR) {
            weights(m0 + panel * MR + lane).widen(k0..k0 + kc, row);
            for (value, slot) in row.iter().zip(packed[lane..].iter_mut().step_by(MR)) {
                *slot = *value;
            }
        }
    }
}

/// The product of a packed panel and a packed group.
#[inline(always)]
fn kernel(weights: &[f32], activations: &[f32]) -> [[f32; MR]; NR] {
    /// Steps of `k` for each turn of the loop: epoch checks sit on its back-edge, and cost nothing past 16 vector
    /// operations.
    const UNROLL: usize = 4;
    let mut sums = [[F32x4::zero(); 2]; NR];
    let step = |sums: &mut [[F32x4; 2]; NR], weights: &[[f32; 4]], activations: &[f32]| {
        let (low, high) = (F32x4::load(&weights[0]), F32x4::load(&weights[1]));
        for (sums, value) in sums.iter_mut().zip(activations) {
            let value = F32x4::splat(*value);
            sums[0] = sums[0].madd(low, value);
            sums[1] = sums[1].madd(high, value);
        }
    };
    let (weights, _) = weights.as_chunks::<4>();
    let (turns, weights_rest) = weights.as_chunks::<{ 2 * UNROLL }>();
    let (values, values_rest) = activations.as_chunks::<{ NR * UNROLL }>();
    for (weights, values) in turns.iter().zip(values) {
        for turn in 0..UNROLL {
            step(&mut sums, &weights[2 * turn..], &values[NR * turn..NR * turn + NR]);
        }
    }
    for (weights, values) in weights_rest.chunks_exact(2).zip(values_rest.chunks_exact(NR)) {
        step(&mut sums, weights, values);
    }
    let mut tile = [[0.0; MR]; NR];
    for (tile, sums) in tile.iter_mut().zip(&sums) {
        let (lanes, _) = tile.as_chunks_mut::<4>();
        sums[0].store(&mut lanes[0]);
        sums[1].store(&mut lanes[1]);
    }
    tile
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Matrix(Vec<Vec<f32>>);

    impl Activations for Matrix {
        fn row(&self, j: usize) -> &[f32] {
            &self.0[j]
        }
    }

    impl Outputs for Matrix {
        fn row(&mut self, j: usize) -> &mut [f32] {
            &mut self.0[j]
        }
    }

    fn matrix(rows: usize, columns: usize, seed: u32) -> Matrix {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        Matrix((0..rows).map(|_| (0..columns).map(|_| next()).collect()).collect())
    }

    /// Half-precision bits of a small multiple of 1/256, which it holds exactly.
    fn narrow(value: f32) -> u16 {
        let exact = (value * 256.0).round() / 256.0;
        (0..=u16::MAX).find(|&half| half >> 10 & 0x1f != 0x1f && half::widen(half) == exact).unwrap()
    }

    #[test]
    fn products_of_all_shapes_equal_the_definition() {
        let mut scratch = Scratch::default();
        for (m, n, k) in [
            (1, 1, 1),
            (7, 3, 5),
            (8, 4, 16),
            (9, 5, 17),
            (130, 6, 33),
            (384, 1, 384),
            (5, 31, 600),
            (MC + 1, NR + 1, KC + 1),
            (64, 64, 2 * KC + 3),
        ] {
            let (weights, activations) = (matrix(m, k, 1), matrix(n, k, 2));
            let mut outputs = Matrix(vec![vec![f32::NAN; m]; n]);
            multiply((m, n, k), |i| Row::F32(&weights.0[i]), &activations, &mut outputs, &mut scratch);
            for (outputs, activations) in outputs.0.iter().zip(&activations.0) {
                for (output, weights) in outputs.iter().zip(&weights.0) {
                    let exact: f64 =
                        weights.iter().zip(activations).map(|(w, a)| f64::from(*w) * f64::from(*a)).sum();
                    let error = (f64::from(*output) - exact).abs();
                    assert!(error < 1e-5 * (k as f64).sqrt().max(1.0), "{m}×{n}×{k}: {output} for {exact}");
                }
            }
        }
    }

    #[test]
    fn quantised_weights_give_what_their_widened_values_give() {
        // Blocks of 32 signed bytes: the simplest quantisation there is.
        let (m, n, k) = (9, 17, KC + 64);
        let bytes: Vec<Vec<u8>> = matrix(m, k, 5)
            .0
            .iter()
            .map(|row| row.iter().map(|value| (value * 100.0) as i8 as u8).collect())
            .collect();
        let widen = |bytes: &[u8], out: &mut [f32]| {
            out.iter_mut().zip(bytes).for_each(|(out, byte)| *out = f32::from(*byte as i8));
        };
        let wide: Vec<Vec<f32>> =
            bytes.iter().map(|row| row.iter().map(|byte| f32::from(*byte as i8)).collect()).collect();
        let mut scratch = Scratch::default();
        for columns in [1, n] {
            let activations = matrix(columns, k, 6);
            let mut from_blocks = Matrix(vec![vec![0.0; m]; columns]);
            let mut from_wide = Matrix(vec![vec![0.0; m]; columns]);
            let row = |i: usize| {
                Row::Blocks(Blocks { bytes: &bytes[i], block_len: 32, block_bytes: 32, widen: &widen })
            };
            multiply((m, columns, k), row, &activations, &mut from_blocks, &mut scratch);
            multiply((m, columns, k), |i| Row::F32(&wide[i]), &activations, &mut from_wide, &mut scratch);
            assert_eq!(from_blocks.0, from_wide.0);
        }
    }

    #[test]
    fn half_precision_weights_give_what_their_widened_values_give() {
        let (m, n, k) = (3, 6, 37);
        let halves: Vec<Vec<u16>> =
            matrix(m, k, 3).0.iter().map(|row| row.iter().map(|value| narrow(*value)).collect()).collect();
        let wide: Vec<Vec<f32>> =
            halves.iter().map(|row| row.iter().map(|half| half::widen(*half)).collect()).collect();
        let mut scratch = Scratch::default();
        for columns in [1, n] {
            let activations = matrix(columns, k, 4);
            let mut from_halves = Matrix(vec![vec![0.0; m]; columns]);
            let mut from_wide = Matrix(vec![vec![0.0; m]; columns]);
            multiply((m, columns, k), |i| Row::F16(&halves[i]), &activations, &mut from_halves, &mut scratch);
            multiply((m, columns, k), |i| Row::F32(&wide[i]), &activations, &mut from_wide, &mut scratch);
            assert_eq!(from_halves.0, from_wide.0);
        }
    }
}
