//! Right rows as the tiles read them: contiguous, at a fixed distance, in the tile's element.
//!
//! A staged row has [`ELEMENTS`] bytes for elements, then for rows of bytes three values for each
//! block of 32: the scale, the correction for the left side's zero point, and the moment for its
//! minimum.

use super::isa::{Bf16, ByteDot, Isa};

/// Elements of a block, as ggml has them.
pub(in super::super) const BLOCK: usize = 32;
/// Bytes of a staged row's elements.
pub(in super::super) const ELEMENTS: usize = 2048;
/// Offset of the scales: f32, one for each block.
pub(super) const SCALES: usize = ELEMENTS;
/// Offset of the corrections: i32, one for each block.
pub(super) const ZEROS: usize = SCALES + 4 * ELEMENTS / BLOCK;
/// Offset of the moments: f32, one for each block.
pub(super) const MOMENTS: usize = ZEROS + 4 * ELEMENTS / BLOCK;
/// Bytes from one staged row to the next: an odd number of cache lines, so that the rows of a tile
/// spread over all sets.
pub(in super::super) const ROW: usize = MOMENTS + 4 * ELEMENTS / BLOCK + 64;

/// Stages `n` elements of a row, of binary16 where `half`. Elements up to the end of the tile's
/// last step become 0. `zero` is the zero point of the left side's bytes; [`ByteDot`] may subtract
/// a part of it already.
pub(in super::super) type Stage = unsafe fn(from: *const u8, half: bool, n: usize, zero: u8, to: *mut u8);

/// Elements `k..k + LANES` of a row of `n`, widened; past the end they are 0.
///
/// # Safety
///
/// Elements `k..n` are readable.
#[inline(always)]
pub(super) unsafe fn elements<I: Isa>(isa: I, from: *const u8, half: bool, k: usize, n: usize) -> I::F {
    // SAFETY: with less than a vector left, only that is read.
    unsafe {
        match (half, n.saturating_sub(k)) {
            (_, 0) => isa.zero(),
            (false, rest) if rest < I::LANES => isa.load_first(from.cast::<f32>().add(k), rest),
            (false, _) => isa.load(from.cast::<f32>().add(k)),
            (true, rest) if rest < I::LANES => isa.load_half_first(from.cast::<u16>().add(k), rest),
            (true, _) => isa.load_half(from.cast::<u16>().add(k)),
        }
    }
}

/// Elements `k..k + LANES`, widened.
///
/// # Safety
///
/// They are readable.
#[inline(always)]
pub(super) unsafe fn whole<I: Isa>(isa: I, from: *const u8, half: bool, k: usize) -> I::F {
    // SAFETY: the caller's promise.
    unsafe {
        if half { isa.load_half(from.cast::<u16>().add(k)) } else { isa.load(from.cast::<f32>().add(k)) }
    }
}

/// Elements of block `at / 32`, of which vector `v` is taken, as of [`elements`].
///
/// # Safety
///
/// The row has `n` elements.
#[inline(always)]
unsafe fn of_block<I: Isa>(isa: I, from: *const u8, half: bool, at: usize, v: usize, n: usize) -> I::F {
    let k = at + I::LANES * v;
    // SAFETY: the caller's promise.
    unsafe { if at + BLOCK <= n { whole(isa, from, half, k) } else { elements(isa, from, half, k, n) } }
}

/// Stages floats.
///
/// # Safety
///
/// `n` elements are readable; `to` has a staged row, and `n` floats fit into it.
#[inline(always)]
pub(super) unsafe fn singles<I: Isa>(isa: I, from: *const u8, half: bool, n: usize, _zero: u8, to: *mut u8) {
    const VECTORS: usize = 4;
    let to: *mut f32 = to.cast();
    let mut k = 0;
    // SAFETY: the vectors lie in the row, whose elements' room is a multiple of every vector.
    unsafe {
        // A loop without a question in it, for panels of binary16 are widened by it too.
        while k + VECTORS * I::LANES <= n {
            for at in (k..).step_by(I::LANES).take(VECTORS) {
                isa.store(to.add(at), whole(isa, from, half, at));
            }
            k += VECTORS * I::LANES;
        }
        while k < n {
            isa.store(to.add(k), elements(isa, from, half, k, n));
            k += I::LANES;
        }
    }
}

/// Stages pairs of bfloat16.
///
/// # Safety
///
/// As of [`singles`], for elements of two bytes.
#[inline(always)]
pub(super) unsafe fn pairs<I: Isa, B: Bf16<I>>(
    isa: I,
    from: *const u8,
    half: bool,
    n: usize,
    _zero: u8,
    to: *mut u8,
) {
    for k in (0..n).step_by(2 * I::LANES) {
        // SAFETY: as in `singles`.
        unsafe {
            let first = elements(isa, from, half, k, n);
            let second = elements(isa, from, half, k + I::LANES, n);
            isa.store_words(to.add(2 * k), B::consecutive(isa, first, second));
        }
    }
}

/// Stages bytes as ggml's `quantize_row_q8_0` and `q8_1` do: in each block of 32 the greatest
/// magnitude becomes 127, the others are rounded to the nearest, and the scale is rounded to
/// binary16.
///
/// # Safety
///
/// As of [`singles`], for elements of one byte.
#[inline(always)]
pub(super) unsafe fn quantize<I: Isa, D: ByteDot<I>>(
    isa: I,
    from: *const u8,
    half: bool,
    n: usize,
    zero: u8,
    to: *mut u8,
) {
    let blocks = n.div_ceil(BLOCK);
    for first in (0..blocks).step_by(TOGETHER) {
        let count = TOGETHER.min(blocks - first);
        let mut greatest = [0.0_f32; TOGETHER];
        for (block, greatest) in greatest.iter_mut().enumerate().take(count) {
            let at = BLOCK * (first + block);
            let mut all = isa.zero();
            for v in 0..BLOCK / I::LANES {
                // SAFETY: the row has n elements.
                all = isa.max(all, isa.abs(unsafe { of_block(isa, from, half, at, v, n) }));
            }
            *greatest = isa.greatest(all);
        }
        let (mut scales, mut factors) = ([0.0_f32; TOGETHER], [0.0_f32; TOGETHER]);
        for at in (0..TOGETHER).step_by(I::LANES) {
            // SAFETY: vectors of the arrays.
            unsafe {
                let (most, greatest) = (isa.splat(127.0), isa.load(greatest.as_ptr().add(at)));
                // Where all are 0 any factor will do, but an infinite one.
                let factor = isa.div(most, isa.max(greatest, isa.splat(f32::MIN_POSITIVE)));
                isa.store(scales.as_mut_ptr().add(at), isa.div(greatest, most));
                isa.store(factors.as_mut_ptr().add(at), factor);
            }
        }
        let mut sums = [0; TOGETHER];
        for (block, sum) in sums.iter_mut().enumerate().take(count) {
            let at = BLOCK * (first + block);
            let factor = isa.splat(factors[block]);
            let mut all = isa.splat_word(0);
            for v in 0..BLOCK / I::LANES {
                // SAFETY: the row has n elements, and the staged row the block.
                unsafe {
                    let integers = isa.to_integers(isa.mul(of_block(isa, from, half, at, v, n), factor));
                    all = isa.add_words(all, integers);
                    isa.store_bytes(to.cast::<i8>().add(at + I::LANES * v), integers);
                }
            }
            *sum = isa.sum_words(all);
        }
        let correction = i32::from(D::SUBTRACTED) - i32::from(zero);
        let corrections = sums.map(|sum| sum.wrapping_mul(correction));
        for at in (0..TOGETHER).step_by(I::LANES) {
            // SAFETY: vectors of the arrays; a row has room for a multiple of this number of
            // scales, corrections and moments.
            unsafe {
                let side = to.add(4 * (first + at));
                let scale = isa.load(scales.as_ptr().add(at));
                let sum = isa.to_floats(isa.load_words(sums.as_ptr().add(at).cast()));
                isa.store(side.add(SCALES).cast(), isa.through_half(scale));
                isa.store_words(side.add(ZEROS), isa.load_words(corrections.as_ptr().add(at).cast()));
                isa.store(side.add(MOMENTS).cast(), isa.through_half(isa.mul(scale, sum)));
            }
        }
    }
}

/// Blocks whose scales are computed together.
const TOGETHER: usize = 16;
const _: () = assert!((ELEMENTS / BLOCK).is_multiple_of(TOGETHER));
