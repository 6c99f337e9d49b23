//! Attention of a few queries, which reads each key and value once: rows times a few vectors.

use super::exp::exp2;
use super::isa::Isa;
use super::pack_right::{elements, whole};

/// Rows, their factors, and the destination of the sums.
#[derive(Clone, Copy)]
pub(in super::super) struct Strip {
    /// The first row.
    pub(in super::super) rows: *const u8,
    /// Bytes from one row to the next.
    pub(in super::super) stride: usize,
    /// The first vector.
    pub(in super::super) vectors: *const f32,
    /// Floats from one vector to the next.
    pub(in super::super) vectors_stride: usize,
    /// A factor for each vector, by which the content of `out` is multiplied before it is added; or
    /// null, where it has none.
    pub(in super::super) keep: *const f32,
    /// The sums of the first vector.
    pub(in super::super) out: *mut f32,
    /// Floats from there to the next one's.
    pub(in super::super) out_stride: usize,
}

/// `out[q][r] = Σₖ rows[r][k] · vectors[q][k]` of each strip, for `count` rows of `n` elements and
/// a fixed number of vectors.
///
/// The strips take turns row by row: where their rows lie side by side, as those of heads do,
/// memory is read from one end to the other, as the processor foresees it.
pub(in super::super) type Dots = unsafe fn(strips: &[Strip], half: bool, count: usize, n: usize);

/// [`Dots`] of `Q` vectors, `U` vectors of a row at a time.
///
/// # Safety
///
/// The rows' elements are readable; each vector has `n` floats and zeros up to a multiple of 16;
/// each row of `out` has `count`, initialized where there is a `keep`.
#[inline(always)]
pub(super) unsafe fn dots<I: Isa, const Q: usize, const U: usize>(
    isa: I,
    strips: &[Strip],
    half: bool,
    count: usize,
    n: usize,
) {
    for r in 0..count {
        for strip in strips {
            // SAFETY: rows below count, in the caller's strips.
            unsafe {
                let row = strip.rows.add(strip.stride * r);
                // Two loops, so that none asks it of each element.
                let sums = if half {
                    sums::<I, Q, U, true>(isa, row, strip, n)
                } else {
                    sums::<I, Q, U, false>(isa, row, strip, n)
                };
                for (q, sum) in sums.into_iter().enumerate() {
                    let out = strip.out.add(strip.out_stride * q + r);
                    let kept = if strip.keep.is_null() { 0.0 } else { strip.keep.add(q).read() * out.read() };
                    out.write(kept + isa.sum(sum));
                }
            }
        }
    }
}

/// The products of a row and each vector of its strip, added up lane by lane.
///
/// # Safety
///
/// The row has `n` elements; vectors as for [`dots`].
#[inline(always)]
unsafe fn sums<I: Isa, const Q: usize, const U: usize, const HALF: bool>(
    isa: I,
    row: *const u8,
    strip: &Strip,
    n: usize,
) -> [I::F; Q] {
    let mut all = [[isa.zero(); U]; Q];
    let mut k = 0;
    // SAFETY: elements below n.
    unsafe {
        while k + U * I::LANES <= n {
            let mut left = [isa.zero(); U];
            for (u, left) in left.iter_mut().enumerate() {
                *left = whole(isa, row, HALF, k + I::LANES * u);
            }
            add(isa, &left, strip, k, &mut all);
            k += U * I::LANES;
        }
        while k < n {
            let left = elements(isa, row, HALF, k, n);
            for (q, sums) in all.iter_mut().enumerate() {
                let with = isa.load(strip.vectors.add(strip.vectors_stride * q + k));
                sums[0] = isa.fma(left, with, sums[0]);
            }
            k += I::LANES;
        }
    }
    // Loops, since a closure's body is compiled for any processor.
    let mut totals = [isa.zero(); Q];
    for (total, sums) in totals.iter_mut().zip(&all) {
        *total = sums[0];
        for other in &sums[1..] {
            *total = isa.add(*total, *other);
        }
    }
    totals
}

/// Adds `U` vectors of elements from `k` on, times those of each vector.
///
/// # Safety
///
/// Each vector has them.
#[inline(always)]
unsafe fn add<I: Isa, const Q: usize, const U: usize>(
    isa: I,
    left: &[I::F; U],
    strip: &Strip,
    k: usize,
    all: &mut [[I::F; U]; Q],
) {
    for (q, sums) in all.iter_mut().enumerate() {
        // By number, which is a sixth faster than side by side: the compiler keeps these in
        // registers.
        for u in 0..U {
            // SAFETY: the caller's promise.
            let with = unsafe { isa.load(strip.vectors.add(strip.vectors_stride * q + k + I::LANES * u)) };
            sums[u] = isa.fma(left[u], with, sums[u]);
        }
    }
}

/// As [`Soften`](super::softmax::Soften), for one query: scores, mask and weights are `[n]`, and
/// `state` is the greatest score and the sum of weights. Returns the factor for earlier sums.
pub(in super::super) type SoftenOne =
    unsafe fn(scores: *mut f32, n: usize, mask: *const f32, factor: f32, state: &mut [f32; 2]) -> f32;

/// As [`SoftenOne`] says; the mask is multiplied by `factor`.
///
/// # Safety
///
/// `scores` has room for `n` floats, rounded up to a multiple of 16; `mask` has `n`, or is null.
#[inline(always)]
pub(super) unsafe fn soften_one<I: Isa>(
    isa: I,
    scores: *mut f32,
    n: usize,
    mask: *const f32,
    factor: f32,
    state: &mut [f32; 2],
) -> f32 {
    let factor = isa.splat(factor);
    let mut greatest = isa.splat(state[0]);
    let lanes = |k: usize| I::LANES.min(n - k);
    // SAFETY: elements below n; scores may be read and written up to the vector's end.
    unsafe {
        for k in (0..n).step_by(I::LANES) {
            let to = scores.add(k);
            if !mask.is_null() {
                let mask = isa.load_first(mask.add(k), lanes(k));
                isa.store(to, isa.fma(mask, factor, isa.load(to)));
            }
            for past in lanes(k)..I::LANES {
                to.add(past).write(f32::NEG_INFINITY);
            }
            greatest = isa.max(greatest, isa.load(to));
        }
        let top = isa.greatest(greatest);
        let scale = exp2(isa, isa.splat(state[0] - top));
        let mut sum = isa.zero();
        for k in (0..n).step_by(I::LANES) {
            let weight = exp2(isa, isa.sub(isa.load(scores.add(k)), isa.splat(top)));
            isa.store(scores.add(k), weight);
            sum = isa.add(sum, weight);
        }
        let scale = isa.first(scale);
        *state = [top, state[1] * scale + isa.sum(sum)];
        scale
    }
}
