//! Attention of a single query, which reads each key and value once: rows times a vector.

use super::exp::exp2;
use super::isa::Isa;
use super::stage::elements;

/// `out[r] = Σₖ rows[r][k] · vector[k]`, for `count` rows of `n` elements; `out[r] · keep` is added where there is a `keep`.
pub(in super::super) type Dots = unsafe fn(
    rows: *const u8,
    stride: usize,
    half: bool,
    count: usize,
    n: usize,
    vector: *const f32,
    keep: Option<f32>,
    out: *mut f32,
);

/// As [`Dots`] says.
///
/// # Safety
///
/// The rows' elements are readable, `vector` has `n` and zeros up to a multiple of 16, `out` has
/// `count`, initialised where there is a `keep`.
#[inline(always)]
pub(super) unsafe fn dots<I: Isa>(
    isa: I,
    rows: *const u8,
    stride: usize,
    half: bool,
    count: usize,
    n: usize,
    vector: *const f32,
    keep: Option<f32>,
    out: *mut f32,
) {
    const TOGETHER: usize = 4;
    let mut r = 0;
    while r < count {
        let mut sums = [isa.zero(); TOGETHER];
        // SAFETY: rows below count, elements below n.
        unsafe {
            // The last rows are read again where there are fewer: nothing depends on how many.
            let row = |i: usize| rows.add(stride * (r + i).min(count - 1));
            for k in (0..n).step_by(I::LANES) {
                let with = isa.load(vector.add(k));
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = isa.fma(elements(isa, row(i), half, k, n), with, *sum);
                }
            }
            for (i, &sum) in sums.iter().enumerate().take(count - r) {
                let out = out.add(r + i);
                let kept = keep.map_or(0.0, |keep| keep * out.read());
                out.write(kept + isa.sum(sum));
            }
        }
        r += TOGETHER;
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
