//! Soft-max over keys that come in parts (Milakov and Gimelshein, arXiv:1805.02867): the greatest
//! score so far is kept, and earlier sums are scaled down when a greater one comes.
//!
//! Scores are in base 2: the caller has multiplied them by log₂ e.

use super::exp::exp2;
use super::isa::{Bf16, Isa};

/// Below every score but −∞, so that a part that is masked altogether weighs nothing.
pub(in super::super) const LOWEST: f32 = f32::MIN;

/// The state of a panel of queries: for each the greatest score, the sum of weights, and the factor
/// for earlier sums.
#[derive(Clone, Copy)]
pub(in super::super) struct State {
    pub(in super::super) greatest: *mut f32,
    pub(in super::super) sum: *mut f32,
    pub(in super::super) factor: *mut f32,
}

/// Turns the scores of `n` keys, `[n][panel]`, into weights in place, after `mask` of the same
/// shape (or null) is added.
pub(in super::super) type Soften = unsafe fn(scores: *mut f32, n: usize, mask: *const f32, state: &State);

/// Storage format of weights.
pub(super) trait Weights<I: Isa> {
    /// Keys that are stored together.
    const KEYS: usize;
    /// Stores a vector of queries' weights for [`KEYS`](Self::KEYS) keys; the second is 0 where
    /// there is one.
    ///
    /// # Safety
    ///
    /// The vector of words is writable.
    unsafe fn store(isa: I, to: *mut u8, weights: [I::F; 2]);
}

/// Floats.
pub(super) struct Singles;

impl<I: Isa> Weights<I> for Singles {
    const KEYS: usize = 1;

    #[inline(always)]
    unsafe fn store(isa: I, to: *mut u8, weights: [I::F; 2]) {
        // SAFETY: the caller's promise.
        unsafe { isa.store(to.cast(), weights[0]) }
    }
}

/// Pairs of bfloat16.
pub(super) struct Pairs<B>(B);

impl<I: Isa, B: Bf16<I>> Weights<I> for Pairs<B> {
    const KEYS: usize = 2;

    #[inline(always)]
    unsafe fn store(isa: I, to: *mut u8, weights: [I::F; 2]) {
        // SAFETY: the caller's promise.
        unsafe { isa.store_words(to, B::pair(isa, weights[0], weights[1])) }
    }
}

/// As [`Soften`] says. With pairs, row `p` of the weights has keys `2p` and `2p + 1`.
///
/// # Safety
///
/// `scores` has `n` rows of a panel, `mask` too unless it is null; the parts of the state have one.
#[inline(always)]
pub(super) unsafe fn soften<I: Isa, W: Weights<I>>(
    isa: I,
    scores: *mut f32,
    n: usize,
    mask: *const f32,
    state: &State,
) {
    let panel = 2 * I::LANES;
    // SAFETY: rows below n, and both vectors of each.
    unsafe {
        let both = |from: *const f32| [isa.load(from), isa.load(from.add(I::LANES))];
        let before = both(state.greatest);
        // Two chains, since one waits for its last comparison.
        let mut greatest = [before, before];
        for k in 0..n {
            let mut row = both(scores.add(panel * k));
            if !mask.is_null() {
                let mask = both(mask.add(panel * k));
                row = [isa.add(row[0], mask[0]), isa.add(row[1], mask[1])];
                isa.store(scores.add(panel * k), row[0]);
                isa.store(scores.add(panel * k + I::LANES), row[1]);
            }
            let chain = &mut greatest[k % 2];
            *chain = [isa.max(chain[0], row[0]), isa.max(chain[1], row[1])];
        }
        for half in 0..2 {
            let at = I::LANES * half;
            let top = isa.max(greatest[0][half], greatest[1][half]);
            let factor = exp2(isa, isa.sub(before[half], top));
            let mut sum = isa.mul(isa.load(state.sum.add(at)), factor);
            let mut k = 0;
            while k < n {
                let mut weights = [isa.zero(); 2];
                for (key, weight) in weights.iter_mut().enumerate().take(W::KEYS.min(n - k)) {
                    *weight = exp2(isa, isa.sub(isa.load(scores.add(panel * (k + key) + at)), top));
                    sum = isa.add(sum, *weight);
                }
                W::store(isa, scores.add(panel * (k / W::KEYS) + at).cast(), weights);
                k += W::KEYS;
            }
            isa.store(state.greatest.add(at), top);
            isa.store(state.sum.add(at), sum);
            isa.store(state.factor.add(at), factor);
        }
    }
}

/// Multiplies `n` rows of a panel by one: sums of an earlier part by the state's factor.
pub(in super::super) type Rescale = unsafe fn(sums: *mut f32, n: usize, factor: *const f32);

/// As [`Rescale`] says.
///
/// # Safety
///
/// `sums` has `n` rows of a panel, `factor` one.
#[inline(always)]
pub(super) unsafe fn rescale<I: Isa>(isa: I, sums: *mut f32, n: usize, factor: *const f32) {
    // SAFETY: rows below n, and both vectors of each.
    unsafe {
        let factor = [isa.load(factor), isa.load(factor.add(I::LANES))];
        for vector in 0..2 * n {
            let to = sums.add(I::LANES * vector);
            isa.store(to, isa.mul(isa.load(to), factor[vector % 2]));
        }
    }
}
