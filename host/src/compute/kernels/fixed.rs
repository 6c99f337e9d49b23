//! 16-bit fixed point in blocks of [`SPAN`] elements with a scale each: block floating point, with
//! sums in 32 bits.
//!
//! A processor with VNNI adds two products of 16 bits where it adds one of floats, so this is twice
//! as fast, and it is no less exact than binary16. How far a block is scaled up is limited by its
//! *norm*: as `|Σ a·b| ≤ ‖a‖·‖b‖` (Cauchy and Schwarz), sums of blocks whose norms are below √2³¹
//! cannot overflow, though elements use all of their 16 bits. Rounding moves a block by about a
//! ten-thousandth of its norm, whatever its values are; binary16, to which native whisper.cpp
//! rounds activations, by about a five-thousandth.
//!
//! ```text
//! left    blocks of [n / 2][2 · LANES][2] i16, then [2 · LANES] f32 scales;
//!         n = SPAN but in the last
//! right   [C] rows: of i16, then from SCALES on a scale for each block
//! ```

use super::isa::{Isa, WordDot};
use super::microkernel::ask_ahead;
use super::pack_right::{ROW, SCALES, elements};

/// Elements of a block.
pub(in super::super) const SPAN: usize = 256;
/// Norm of a block after scaling: with roundings, half a unit in each element, still below √2³¹ =
/// 46,340.9.
const NORM: f32 = 46_300.0;
/// Maximum magnitude of an element after scaling.
const GREATEST: f32 = 32_766.0;
/// Least scale, for numbers so small that their squares are 0.
const LEAST: f32 = 1e-18;

/// Bytes of the blocks of `depth` elements of a panel's rows.
pub(in super::super) const fn fixed_bytes(panel: usize, depth: usize) -> usize {
    4 * panel * (depth.div_ceil(2) + depth.div_ceil(SPAN))
}

/// Scale factor of a block's integers, from the sum of its squares and its greatest magnitude. NaN
/// where the sum is NaN or infinite.
#[inline(always)]
pub(in super::super) fn scale(squares: f32, greatest: f32) -> f32 {
    (squares.sqrt() / NORM).max(greatest / GREATEST).max(LEAST) + squares * 0.0
}

/// Stages rows as fixed point.
///
/// # Safety
///
/// `n` elements are readable; `to` has a staged row, and `n` integers fit into it.
#[inline(always)]
pub(super) unsafe fn fixed<I: Isa, D: WordDot<I>>(
    isa: I,
    from: *const u8,
    half: bool,
    n: usize,
    _zero: u8,
    to: *mut u8,
) {
    for (block, first) in (0..n).step_by(SPAN).enumerate() {
        let last = n.min(first + SPAN);
        // SAFETY: vectors that begin in the row, of which no more is read than its length; room for
        // elements is a multiple of two vectors.
        unsafe {
            let (mut squares, mut greatest) = ([isa.zero(); 2], [isa.zero(); 2]);
            for k in (first..last).step_by(2 * I::LANES) {
                for v in 0..2 {
                    let x = elements(isa, from, half, k + I::LANES * v, last);
                    squares[v] = isa.fma(x, x, squares[v]);
                    greatest[v] = isa.max(greatest[v], isa.abs(x));
                }
            }
            let squares = isa.sum(isa.add(squares[0], squares[1]));
            let scale = scale(squares, isa.greatest(isa.max(greatest[0], greatest[1])));
            let factor = isa.splat(1.0 / scale);
            for k in (first..last).step_by(2 * I::LANES) {
                let a = isa.mul(elements(isa, from, half, k, last), factor);
                let b = isa.mul(elements(isa, from, half, k + I::LANES, last), factor);
                isa.store_words(to.add(2 * k), D::consecutive(isa, isa.to_integers(a), isa.to_integers(b)));
            }
            to.add(SCALES + 4 * block).cast::<f32>().write(scale);
        }
    }
}

/// A [`Tile`](super::microkernel::Tile) of `C` right rows in fixed point; `steps` are pairs of
/// elements. `U` steps go into different sums.
///
/// # Safety
///
/// `left` and `right` have the shapes above; `sums` has `[C][2 · LANES]` floats, initialized with
/// `more`.
#[inline(always)]
pub(super) unsafe fn tile<I: Isa, D: WordDot<I>, const C: usize, const U: usize>(
    isa: I,
    mut left: *const u8,
    right: *const u8,
    steps: usize,
    sums: *mut f32,
    more: bool,
) {
    let vector = 4 * I::LANES;
    for (block, first) in (0..steps).step_by(SPAN / 2).enumerate() {
        let pairs = (SPAN / 2).min(steps - first);
        let mut all = [[[isa.splat_word(0); 2]; C]; U];
        let mut k = 0;
        // SAFETY: steps below `pairs` of this block, then its scales; sums has 2 · C vectors.
        unsafe {
            let row = right.add(4 * first);
            while k + U <= pairs {
                for (u, dots) in all.iter_mut().enumerate() {
                    step::<I, D, C>(isa, left.add(2 * vector * (k + u)), row.add(4 * (k + u)), dots);
                }
                k += U;
            }
            while k < pairs {
                step::<I, D, C>(isa, left.add(2 * vector * k), row.add(4 * k), &mut all[0]);
                k += 1;
            }
            let mut dots = all[0];
            for other in &all[1..] {
                for (a, b) in dots.iter_mut().flatten().zip(other.iter().flatten()) {
                    *a = isa.add_words(*a, *b);
                }
            }
            left = left.add(2 * vector * pairs);
            let scales = [isa.load(left.cast()), isa.load(left.add(vector).cast())];
            left = left.add(2 * vector);
            for (c, dots) in dots.iter().enumerate() {
                let of_right = isa.splat(right.add(ROW * c + SCALES + 4 * block).cast::<f32>().read());
                for half in 0..2 {
                    let to = sums.add(I::LANES * (2 * c + half));
                    let both = isa.mul(scales[half], of_right);
                    let before = if more || block > 0 { isa.load(to) } else { isa.zero() };
                    isa.store(to, isa.fma(isa.to_floats(dots[half]), both, before));
                }
            }
        }
    }
}

/// Computes one step of a tile.
///
/// # Safety
///
/// Two vectors of the panel, and a word of each row, are readable.
#[inline(always)]
unsafe fn step<I: Isa, D: WordDot<I>, const C: usize>(
    isa: I,
    left: *const u8,
    right: *const u8,
    dots: &mut [[I::N; 2]; C],
) {
    // SAFETY: the caller's promise.
    unsafe {
        ask_ahead::<C>(left, 8 * I::LANES);
        let (low, high) = (isa.load_words(left), isa.load_words(left.add(4 * I::LANES)));
        for (c, dots) in dots.iter_mut().enumerate() {
            let word = isa.splat_word(right.add(ROW * c).cast::<i32>().read());
            *dots = [D::dot(isa, dots[0], low, word), D::dot(isa, dots[1], high, word)];
        }
    }
}
