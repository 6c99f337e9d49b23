//! Panels of rows that lie in memory: vectors across rows, as the tiles read them, and back.

use super::isa::{Bf16, Isa};
use super::pack_right::elements;

/// Most lanes of a vector.
const MAX_LANES: usize = 16;

/// Elements to pack: `n` of each of `count` rows, at most a panel's.
#[derive(Clone, Copy)]
pub(in super::super) struct Loose {
    pub(in super::super) from: *const u8,
    /// Bytes from one row to the next.
    pub(in super::super) stride: usize,
    /// True for binary16.
    pub(in super::super) half: bool,
    pub(in super::super) count: usize,
    pub(in super::super) n: usize,
    /// Factor applied to each element.
    pub(in super::super) factor: f32,
}

/// Packs a panel. Rows that are not there become 0.
pub(in super::super) type Pack = unsafe fn(loose: &Loose, to: *mut u8);

/// Packs words: `words` of each row, which `word` makes from the vector of it that begins at a
/// word.
///
/// # Safety
///
/// `to` has room for `words` steps of a panel.
#[inline(always)]
unsafe fn pack<I: Isa>(isa: I, count: usize, words: usize, to: *mut u8, word: impl Fn(usize, usize) -> I::N) {
    let vector = 4 * I::LANES;
    for half in 0..2 {
        for first in (0..words).step_by(I::LANES) {
            let mut block = [isa.splat_word(0); MAX_LANES];
            let block = &mut block[..I::LANES];
            for (r, row) in block.iter_mut().enumerate() {
                if I::LANES * half + r < count {
                    *row = word(I::LANES * half + r, first);
                }
            }
            isa.transpose(block);
            for (w, &words) in block.iter().enumerate().take(words - first) {
                // SAFETY: the panel has two vectors for each step.
                unsafe { isa.store_words(to.add(vector * (2 * (first + w) + half)), words) }
            }
        }
    }
}

/// Packs floats.
///
/// # Safety
///
/// The elements of the rows are readable; `to` has room for `n` steps of a panel.
#[inline(always)]
pub(super) unsafe fn singles<I: Isa>(isa: I, loose: &Loose, to: *mut u8) {
    let Loose { from, stride, half, count, n, factor } = *loose;
    let factor = isa.splat(factor);
    // SAFETY: `pack` asks for rows below `count` and words below `n`.
    let word = |row: usize, at| unsafe {
        isa.words(isa.mul(elements(isa, from.add(stride * row), half, at, n), factor))
    };
    // SAFETY: the caller's promise.
    unsafe { pack(isa, count, n, to, word) }
}

/// Packs pairs of bfloat16.
///
/// # Safety
///
/// As of [`singles`], with half as many steps, rounded up.
#[inline(always)]
pub(super) unsafe fn pairs<I: Isa, B: Bf16<I>>(isa: I, loose: &Loose, to: *mut u8) {
    let Loose { from, stride, half, count, n, factor } = *loose;
    let factor = isa.splat(factor);
    // SAFETY: as in `singles`.
    let word = |row: usize, at: usize| unsafe {
        let load = |k| isa.mul(elements(isa, from.add(stride * row), half, k, n), factor);
        B::consecutive(isa, load(2 * at), load(2 * at + I::LANES))
    };
    // SAFETY: the caller's promise.
    unsafe { pack(isa, count, n.div_ceil(2), to, word) }
}

/// Writes a panel of floats back as `count` rows, `stride` bytes apart, of `n` elements; row `r` is
/// divided by `divisors[r]`.
pub(in super::super) type Unpack =
    unsafe fn(from: *const f32, divisors: *const f32, count: usize, n: usize, to: *mut f32, stride: usize);

/// As [`Unpack`] says.
///
/// # Safety
///
/// `from` has `n` steps of a panel, `divisors` one; the elements of the rows are writable.
#[inline(always)]
pub(super) unsafe fn unpack<I: Isa>(
    isa: I,
    from: *const f32,
    divisors: *const f32,
    count: usize,
    n: usize,
    to: *mut f32,
    stride: usize,
) {
    for half in 0..2 {
        // SAFETY: rows below `count` and elements below `n` are written, and the panel's vectors of
        // those are read.
        unsafe {
            let factor = isa.div(isa.splat(1.0), isa.load(divisors.add(I::LANES * half)));
            for first in (0..n).step_by(I::LANES) {
                let mut block = [isa.splat_word(0); MAX_LANES];
                let block = &mut block[..I::LANES];
                for (w, words) in block.iter_mut().enumerate().take(n - first) {
                    let vector = isa.load(from.add(I::LANES * (2 * (first + w) + half)));
                    *words = isa.words(isa.mul(vector, factor));
                }
                isa.transpose(block);
                for (r, &row) in block.iter().enumerate().take(count.saturating_sub(I::LANES * half)) {
                    let to = to.byte_add(stride * (I::LANES * half + r)).add(first);
                    isa.store_first(to, isa.floats(row), I::LANES.min(n - first));
                }
            }
        }
    }
}
