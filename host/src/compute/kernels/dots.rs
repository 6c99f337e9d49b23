//! Attention of a few queries, which reads each key and value once: rows times a few vectors.

use super::exp::exp2;
use super::isa::Isa;
use super::prefetch;
use super::stage::{elements, whole};
use crate::compute::aligned::LINE;

/// How many bytes of reading before that rows are asked for: they need not lie side by side, and where they do not, the
/// processor does not foresee the next ones.
const AHEAD: usize = 8192;

/// Vectors that rows are multiplied by, and where the sums go.
#[derive(Clone, Copy)]
pub(in super::super) struct Vectors {
    /// The first vector.
    pub(in super::super) from: *const f32,
    /// Floats from one vector to the next.
    pub(in super::super) stride: usize,
    /// A factor for each vector, by which what `out` holds is multiplied before it is added; or null, where it holds
    /// nothing.
    pub(in super::super) keep: *const f32,
    /// The sums of the first vector.
    pub(in super::super) out: *mut f32,
    /// Floats from there to the next one's.
    pub(in super::super) out_stride: usize,
}

/// `out[q][r] = Σₖ rows[r][k] · vectors[q][k]`, for `count` rows of `n` elements and a fixed number of vectors.
pub(in super::super) type Dots =
    unsafe fn(rows: *const u8, stride: usize, half: bool, count: usize, n: usize, vectors: &Vectors);

/// [`Dots`] of `Q` vectors, `R` rows at a time.
///
/// # Safety
///
/// The rows' elements are readable; each vector has `n` floats and zeros up to a multiple of 16; each row of `out` has
/// `count`, initialised where there is a `keep`.
#[inline(always)]
pub(super) unsafe fn dots<I: Isa, const Q: usize, const R: usize>(
    isa: I,
    rows: *const u8,
    stride: usize,
    half: bool,
    count: usize,
    n: usize,
    vectors: &Vectors,
) {
    let vectors_end = n - n % I::LANES;
    let size = if half { 2 } else { 4 };
    let ahead = stride * R * (AHEAD / (R * n * size)).max(1);
    let mut r = 0;
    while r < count {
        let mut sums = [[isa.zero(); R]; Q];
        // SAFETY: rows below count, elements below n.
        unsafe {
            // The last rows are read again where there are fewer: nothing depends on how many.
            let mut from = [rows; R];
            for (i, row) in from.iter_mut().enumerate() {
                *row = rows.add(stride * (r + i).min(count - 1));
            }
            let mut left = [isa.zero(); R];
            let mut k = 0;
            while k < vectors_end {
                for i in 0..R {
                    if (size * k).is_multiple_of(LINE) {
                        prefetch(from[i].wrapping_add(ahead + size * k), LINE);
                    }
                    left[i] = whole(isa, from[i], half, k);
                }
                add(isa, &left, vectors, k, &mut sums);
                k += I::LANES;
            }
            if k < n {
                for i in 0..R {
                    left[i] = elements(isa, from[i], half, k, n);
                }
                add(isa, &left, vectors, k, &mut sums);
            }
            for (q, sums) in sums.iter().enumerate() {
                for (i, &sum) in sums.iter().enumerate().take(count - r) {
                    let out = vectors.out.add(vectors.out_stride * q + r + i);
                    let kept =
                        if vectors.keep.is_null() { 0.0 } else { vectors.keep.add(q).read() * out.read() };
                    out.write(kept + isa.sum(sum));
                }
            }
        }
        r += R;
    }
}

/// Adds a vector of elements `k` and on of each row, times those of each vector.
///
/// # Safety
///
/// Each vector has them.
#[inline(always)]
unsafe fn add<I: Isa, const Q: usize, const R: usize>(
    isa: I,
    left: &[I::F; R],
    vectors: &Vectors,
    k: usize,
    sums: &mut [[I::F; R]; Q],
) {
    for (q, sums) in sums.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let with = unsafe { isa.load(vectors.from.add(vectors.stride * q + k)) };
        // By number, which is a sixth faster than side by side: the compiler keeps these in registers.
        for i in 0..R {
            sums[i] = isa.fma(left[i], with, sums[i]);
        }
    }
}

/// As [`Soften`](super::softmax::Soften), for one query: scores, mask and weights are `[n]`, and `state` is the greatest
/// score and the sum of weights. Returns what earlier sums are to be multiplied by.
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
