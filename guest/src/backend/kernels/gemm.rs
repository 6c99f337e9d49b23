//! Products with many columns: packed and blocked for 128-bit SIMD.
//!
//! For `m` left rows and `n` right rows of `k` elements, `out[j][i] = Σₖ left[i][k] · right[j][k]`,
//! where `i` runs contiguously in `out`. Left rows are packed into panels, so that a vector holds
//! several of them; right rows are read where they are.

use std::ops::Range;

use super::rows::{Row, Rows, RowsMut};
use super::simd::F32x4;

/// Left rows of one micro-kernel: two vectors.
pub(super) const MR: usize = 8;
/// Right rows of one micro-kernel. 8 × 4 needs 8 accumulators, 2 left vectors and a broadcast:
/// 128-bit SIMD has 16 registers on x86-64.
pub(super) const NR: usize = 4;
/// Elements of `k` in one block: a panel of 8 × 512 floats is 16 KiB, half of a first-level cache.
/// A multiple of every format's blocks.
pub(in crate::backend) const KC: usize = 512;
/// Left rows in one block: with [`KC`] 256 KiB of panels, which stay in a second-level cache.
const MC: usize = 128;

/// Room for panels, kept between products.
#[derive(Default)]
pub(super) struct Scratch {
    panels: Vec<f32>,
    wide: Vec<f32>,
    right: Vec<f32>,
}

/// Multiplies `m` left with `n` right rows. `finish` is given every stretch of the output when it
/// is complete: its row, its first element, and the elements.
pub(super) fn multiply(
    (m, n): (usize, usize),
    left: &Rows,
    right: &Rows,
    out: &mut RowsMut,
    finish: impl Fn(usize, usize, &mut [f32]),
    Scratch { panels, wide, right: widened }: &mut Scratch,
) {
    let k = left.len();
    if !right.format().is_f32() {
        widened.resize(n * k, 0.0);
        widened.chunks_exact_mut(k).enumerate().for_each(|(j, row)| right.widen(j, 0..k, row));
    }
    let right_row = |j: usize| match right.row(j.min(n - 1)) {
        Row::F32(row) => row,
        _ => &widened[j.min(n - 1) * k..][..k],
    };
    for k0 in (0..k).step_by(KC) {
        let steps = k0..k.min(k0 + KC);
        for m0 in (0..m).step_by(MC) {
            let rows = m0..m.min(m0 + MC);
            pack(left, rows.clone(), steps.clone(), panels, wide);
            for j0 in (0..n).step_by(NR) {
                let group: [&[f32]; NR] = std::array::from_fn(|j| &right_row(j0 + j)[steps.clone()]);
                for (panel, i0) in panels.chunks_exact(steps.len() * MR).zip(rows.clone().step_by(MR)) {
                    let tile = kernel(panel, group);
                    let i1 = rows.end.min(i0 + MR);
                    for (j, sums) in (j0..n).zip(tile) {
                        let out = &mut out.row(j)[i0..i1];
                        if k0 == 0 {
                            write(sums, out);
                        } else {
                            accumulate(sums, out);
                        }
                    }
                }
                if steps.end == k {
                    for j in j0..n.min(j0 + NR) {
                        finish(j, rows.start, &mut out.row(j)[rows.clone()]);
                    }
                }
            }
        }
    }
}

/// Stores the sums of up to eight left rows.
#[inline(always)]
pub(super) fn write([low, high]: [F32x4; 2], out: &mut [f32]) {
    if let Some(whole) = out.first_chunk_mut::<MR>() {
        let (lanes, _) = whole.as_chunks_mut::<4>();
        low.store(&mut lanes[0]);
        high.store(&mut lanes[1]);
    } else {
        for (out, sum) in out.iter_mut().zip(low.lanes().into_iter().chain(high.lanes())) {
            *out = sum;
        }
    }
}

#[inline(always)]
fn accumulate([low, high]: [F32x4; 2], out: &mut [f32]) {
    if let Some(whole) = out.first_chunk_mut::<MR>() {
        let (lanes, _) = whole.as_chunks_mut::<4>();
        low.add(F32x4::load(&lanes[0])).store(&mut lanes[0]);
        high.add(F32x4::load(&lanes[1])).store(&mut lanes[1]);
    } else {
        for (out, sum) in out.iter_mut().zip(low.lanes().into_iter().chain(high.lanes())) {
            *out += sum;
        }
    }
}

/// Panels of [`MR`] rows, widened and interleaved element by element; rows past the end are zero.
pub(super) fn pack(
    left: &Rows,
    rows: Range<usize>,
    steps: Range<usize>,
    panels: &mut Vec<f32>,
    wide: &mut Vec<f32>,
) {
    let k = steps.len();
    panels.resize(rows.len().div_ceil(MR) * MR * k, 0.0);
    wide.clear();
    wide.resize(MR * k, 0.0);
    for (panel, i0) in panels.chunks_exact_mut(MR * k).zip(rows.clone().step_by(MR)) {
        for (lane, wide) in wide.chunks_exact_mut(k).enumerate() {
            if i0 + lane < rows.end {
                left.widen(i0 + lane, steps.clone(), wide);
            } else {
                wide.fill(0.0);
            }
        }
        interleave(wide, k, panel);
    }
}

/// Element by element of [`MR`] rows of `k` elements.
fn interleave(rows: &[f32], k: usize, panel: &mut [f32]) {
    let whole = k / 4 * 4;
    let (lanes, _) = panel.as_chunks_mut::<4>();
    for half in 0..MR / 4 {
        let four: [&[f32]; 4] = std::array::from_fn(|lane| &rows[(4 * half + lane) * k..][..k]);
        let chunks = four.map(|row| row.as_chunks::<4>().0);
        for at in 0..whole / 4 {
            let columns = F32x4::transpose(chunks.map(|row| F32x4::load(&row[at])));
            for (step, column) in columns.into_iter().enumerate() {
                column.store(&mut lanes[(4 * at + step) * (MR / 4) + half]);
            }
        }
        for step in whole..k {
            lanes[step * (MR / 4) + half] = four.map(|row| row[step]);
        }
    }
}

/// The products of a panel and four right rows.
///
/// A function of its own, with an exit after each step: the epoch check on the loop's way back is a
/// call that might be made, across which no vector stays in a register. So there are as few of
/// those as may be; and the exits keep LLVM from doing all steps of one sum before those of the
/// next, for which there are not registers enough either.
#[inline(never)]
pub(super) fn kernel(panel: &[f32], [a, b, c, d]: [&[f32]; NR]) -> [[F32x4; 2]; NR] {
    let mut sums = [[F32x4::zero(); 2]; NR];
    let (panel, _) = panel.as_chunks::<4>();
    let (panel, _) = panel.as_chunks::<2>();
    let mut steps = panel.iter().zip(a).zip(b).zip(c).zip(d);
    macro_rules! step {
        () => {
            let Some(((((left, a), b), c), d)) = steps.next() else { return sums };
            let (low, high) = (F32x4::load(&left[0]), F32x4::load(&left[1]));
            for (sums, value) in sums.iter_mut().zip([a, b, c, d]) {
                let value = F32x4::load_splat(value);
                sums[0] = sums[0].madd(low, value);
                sums[1] = sums[1].madd(high, value);
            }
        };
    }
    loop {
        step!();
        step!();
        step!();
        step!();
        step!();
        step!();
        step!();
        step!();
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tensor::Format;
    use super::super::rows::tests::{Noise, Owned};
    use super::*;

    #[test]
    fn products_of_all_shapes_equal_the_definition() {
        let mut scratch = Scratch::default();
        let mut noise = Noise::new(1);
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
            let (left, right) = (Owned::new(m, k, 3, &mut noise), Owned::new(n, k, 1, &mut noise));
            for (one, two) in
                [(Format::F32, Format::F32), (Format::F16, Format::F32), (Format::F16, Format::F16)]
            {
                let mut out = Owned::new(n, m, 2, &mut noise);
                let gaps = out.gaps();
                let finish = |j: usize, i0: usize, out: &mut [f32]| {
                    out.iter_mut().enumerate().for_each(|(i, out)| *out += (1000 * j + i0 + i) as f32);
                };
                multiply(
                    (m, n),
                    &left.rows(one),
                    &right.rows(two),
                    &mut out.rows_mut(),
                    finish,
                    &mut scratch,
                );
                for j in 0..n {
                    for i in 0..m {
                        let products = left.row(i).iter().zip(right.row(j));
                        let exact: f64 = products.map(|(w, a)| f64::from(*w) * f64::from(*a)).sum();
                        let error = (f64::from(out.row(j)[i]) - exact - (1000 * j + i) as f64).abs();
                        assert!(error < 1e-2, "{m}×{n}×{k}: {} for {exact}", out.row(j)[i]);
                    }
                }
                assert_eq!(out.gaps(), gaps, "nothing is written between rows");
            }
        }
    }

    #[test]
    fn sums_are_as_exact_as_floats_allow() {
        let (m, n, k) = (33, 9, 700);
        let mut noise = Noise::new(2);
        let (left, right) = (Owned::new(m, k, 0, &mut noise), Owned::new(n, k, 0, &mut noise));
        let mut out = Owned::new(n, m, 0, &mut noise);
        let (one, two) = (left.rows(Format::F16), right.rows(Format::F32));
        multiply((m, n), &one, &two, &mut out.rows_mut(), |_, _, _| {}, &mut Scratch::default());
        for (j, i) in (0..n).flat_map(|j| (0..m).map(move |i| (j, i))) {
            let products = left.row(i).iter().zip(right.row(j));
            let exact: f64 = products.map(|(w, a)| f64::from(*w) * f64::from(*a)).sum();
            assert!((f64::from(out.row(j)[i]) - exact).abs() < 1e-5 * (k as f64).sqrt());
        }
    }
}
