//! The inner loops: a panel of left rows times a few right rows.
//!
//! A panel is two vectors of left rows wide. The sums of a tile lie in registers, right row by
//! right row; elements of right rows are broadcast.
//!
//! ```text
//! left    [steps][2 · LANES][g]   g elements of 32 bits together, but for binary16
//! right   [C] rows of contiguous elements, ROW bytes apart
//! sums    [C][2 · LANES] f32
//! ```

use super::isa::{Bf16, ByteDot, Isa};
use super::pack_right::{BLOCK, MOMENTS, ROW, SCALES, ZEROS};
use super::prefetch;

/// Multiplies a panel by `C` staged rows; `steps` are words of a row, or blocks of bytes. The sums
/// are stored, or with `more` added to those that are there.
pub(in super::super) type Tile =
    unsafe fn(left: *const u8, right: *const u8, steps: usize, sums: *mut f32, more: bool);

/// Right rows up to which a panel is read from memory about as fast as it is computed with.
const FEW: usize = 8;
/// Prefetch distance, in bytes.
const AHEAD: usize = 16384;

/// Access to the part of a panel that one step takes.
pub(super) trait Step<I: Isa> {
    /// Bytes of one vector of left rows.
    const BYTES: usize;
    /// A vector of left rows.
    type Left: Copy;

    /// # Safety
    ///
    /// [`BYTES`](Self::BYTES) bytes are readable.
    unsafe fn left(isa: I, from: *const u8) -> Self::Left;
    fn step(isa: I, left: Self::Left, right: i32, sums: I::F) -> I::F;
}

/// Floats on both sides.
pub(super) struct Singles;

impl<I: Isa> Step<I> for Singles {
    const BYTES: usize = 4 * I::LANES;
    type Left = I::F;

    #[inline(always)]
    unsafe fn left(isa: I, from: *const u8) -> I::F {
        // SAFETY: the caller's promise.
        unsafe { isa.load(from.cast()) }
    }

    #[inline(always)]
    fn step(isa: I, left: I::F, right: i32, sums: I::F) -> I::F {
        isa.fma(left, isa.floats(isa.splat_word(right)), sums)
    }
}

/// binary16 on the left, floats on the right.
pub(super) struct Halves;

impl<I: Isa> Step<I> for Halves {
    const BYTES: usize = 2 * I::LANES;
    type Left = I::F;

    #[inline(always)]
    unsafe fn left(isa: I, from: *const u8) -> I::F {
        // SAFETY: the caller's promise.
        unsafe { isa.load_half(from.cast()) }
    }

    #[inline(always)]
    fn step(isa: I, left: I::F, right: i32, sums: I::F) -> I::F {
        isa.fma(left, isa.floats(isa.splat_word(right)), sums)
    }
}

/// Pairs of bfloat16 on both sides.
pub(super) struct Pairs<B>(B);

impl<I: Isa, B: Bf16<I>> Step<I> for Pairs<B> {
    const BYTES: usize = 4 * I::LANES;
    type Left = I::N;

    #[inline(always)]
    unsafe fn left(isa: I, from: *const u8) -> I::N {
        // SAFETY: the caller's promise.
        unsafe { isa.load_words(from) }
    }

    #[inline(always)]
    fn step(isa: I, left: I::N, right: i32, sums: I::F) -> I::F {
        B::dot(isa, sums, left, isa.splat_word(right))
    }
}

/// A [`Tile`] of `C` right rows. `U` steps go into different sums, so that few right rows do not
/// wait for the last addition.
///
/// # Safety
///
/// `left`, `right` and `sums` have the shapes of the module's table; `sums` is aligned to 4 bytes.
#[inline(always)]
pub(super) unsafe fn tile<I: Isa, S: Step<I>, const C: usize, const U: usize>(
    isa: I,
    left: *const u8,
    right: *const u8,
    steps: usize,
    sums: *mut f32,
    more: bool,
) {
    let mut all = [[[isa.zero(); 2]; C]; U];
    let mut k = 0;
    // SAFETY: steps below `steps`.
    unsafe {
        while k + U <= steps {
            for (u, sums) in all.iter_mut().enumerate() {
                step::<I, S, C>(isa, left, right, k + u, sums);
            }
            k += U;
        }
        while k < steps {
            step::<I, S, C>(isa, left, right, k, &mut all[0]);
            k += 1;
        }
    }
    let mut total = all[0];
    for other in &all[1..] {
        for (a, b) in total.iter_mut().flatten().zip(other.iter().flatten()) {
            *a = isa.add(*a, *b);
        }
    }
    // SAFETY: sums has 2 · C vectors.
    unsafe { put(isa, &total, sums, more) }
}

/// Step `k` of a tile.
///
/// # Safety
///
/// Panel and rows have it.
#[inline(always)]
unsafe fn step<I: Isa, S: Step<I>, const C: usize>(
    isa: I,
    left: *const u8,
    right: *const u8,
    k: usize,
    sums: &mut [[I::F; 2]; C],
) {
    // SAFETY: two vectors of the panel, and a word of each row.
    unsafe {
        let left = left.add(2 * S::BYTES * k);
        ask_ahead::<C>(left, 2 * S::BYTES);
        let (low, high) = (S::left(isa, left), S::left(isa, left.add(S::BYTES)));
        for (c, sums) in sums.iter_mut().enumerate() {
            let word = right.add(ROW * c + 4 * k).cast::<i32>().read();
            *sums = [S::step(isa, low, word, sums[0]), S::step(isa, high, word, sums[1])];
        }
    }
}

/// Prefetches the part of its panel that a tile of few right rows reads next.
#[inline(always)]
pub(super) fn ask_ahead<const C: usize>(left: *const u8, bytes: usize) {
    if C <= FEW {
        prefetch(left.wrapping_add(AHEAD), bytes);
    }
}

/// Stores the sums of a tile, or adds them to the stored ones.
///
/// # Safety
///
/// `to` has `2 · C` vectors, initialized with `more`.
#[inline(always)]
unsafe fn put<I: Isa, const C: usize>(isa: I, sums: &[[I::F; 2]; C], to: *mut f32, more: bool) {
    // One right row after the other: flattened, the compiler would not unroll it, and put all sums
    // on the stack.
    for (c, &[low, high]) in sums.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let to = [to.add(2 * I::LANES * c), to.add(2 * I::LANES * c + I::LANES)];
            let (low, high) = if more {
                (isa.add(isa.load(to[0]), low), isa.add(isa.load(to[1]), high))
            } else {
                (low, high)
            };
            isa.store(to[0], low);
            isa.store(to[1], high);
        }
    }
}

/// Bytes of one block of a panel of bytes: 32 elements of each left row, then the rows' scales,
/// then with `minimum` their minima, both binary16.
pub(in super::super) const fn block_bytes(panel: usize, minimum: bool) -> usize {
    panel * (BLOCK + 2 + if minimum { 2 } else { 0 })
}

/// A [`Tile`] of blocks of bytes: unsigned on the left, signed on the right.
///
/// # Safety
///
/// As of [`tile`], with [`block_bytes`] for each step on the left, and rows staged as bytes on the
/// right.
#[inline(always)]
pub(super) unsafe fn tile_bytes<I: Isa, D: ByteDot<I>, const C: usize, const MINIMUM: bool>(
    isa: I,
    left: *const u8,
    right: *const u8,
    steps: usize,
    sums: *mut f32,
    more: bool,
) {
    let vector = 4 * I::LANES;
    let mut total = [[isa.zero(); 2]; C];
    for block in 0..steps {
        // SAFETY: block b is part b of the panel, of the right rows' bytes, and of their scales,
        // zeros and moments.
        unsafe {
            let left = left.add(block_bytes(2 * I::LANES, MINIMUM) * block);
            let side = right.add(4 * block);
            let right = right.add(BLOCK * block);
            let mut dots = [[isa.splat_word(0); 2]; C];
            for (c, dots) in dots.iter_mut().enumerate() {
                *dots = [isa.splat_word(side.add(ROW * c + ZEROS).cast::<i32>().read()); 2];
            }
            for group in 0..BLOCK / 4 {
                let at = left.add(2 * vector * group);
                let (low, high) = (isa.load_words(at), isa.load_words(at.add(vector)));
                for (c, dots) in dots.iter_mut().enumerate() {
                    let word = isa.splat_word(right.add(ROW * c + 4 * group).cast::<i32>().read());
                    *dots = [D::dot(isa, dots[0], low, word), D::dot(isa, dots[1], high, word)];
                }
            }
            let scales = left.add(BLOCK * 2 * I::LANES).cast::<u16>();
            let scale = [isa.load_half(scales), isa.load_half(scales.add(I::LANES))];
            for (c, (total, dots)) in total.iter_mut().zip(&dots).enumerate() {
                let of_right = isa.splat(side.add(ROW * c + SCALES).cast::<f32>().read());
                for half in 0..2 {
                    let both = isa.mul(scale[half], of_right);
                    total[half] = isa.fma(isa.to_floats(dots[half]), both, total[half]);
                }
            }
            if MINIMUM {
                let minima = scales.add(2 * I::LANES);
                let minimum = [isa.load_half(minima), isa.load_half(minima.add(I::LANES))];
                for (c, total) in total.iter_mut().enumerate() {
                    let moment = isa.splat(side.add(ROW * c + MOMENTS).cast::<f32>().read());
                    for half in 0..2 {
                        total[half] = isa.fma(minimum[half], moment, total[half]);
                    }
                }
            }
        }
    }
    // SAFETY: sums has 2 · C vectors.
    unsafe { put(isa, &total, sums, more) }
}
