//! Right rows as the tiles read them: contiguous, at a fixed distance, in the tile's element.
//!
//! A staged row has [`ELEMENTS`] bytes for elements, then for rows of bytes what belongs to each block of 32: the scale, the
//! correction for the left side's offset, and the moment for its minimum.

use super::isa::{Bf16, ByteDot, Isa};

/// Elements of a block, as ggml has them.
pub(in super::super) const BLOCK: usize = 32;
/// Bytes of a staged row's elements.
pub(in super::super) const ELEMENTS: usize = 2048;
/// Where the scales begin: f32, one for each block.
pub(super) const SCALES: usize = ELEMENTS;
/// Where the corrections begin: i32, one for each block.
pub(super) const ZEROS: usize = SCALES + 4 * ELEMENTS / BLOCK;
/// Where the moments begin: f32, one for each block.
pub(super) const MOMENTS: usize = ZEROS + 4 * ELEMENTS / BLOCK;
/// Bytes from one staged row to the next: an odd number of cache lines, so that the rows of a tile spread over all sets.
pub(in super::super) const ROW: usize = MOMENTS + 4 * ELEMENTS / BLOCK + 64;

/// Stages `n` elements of a row, of binary16 where `half`. Elements up to the end of the tile's last step become 0.
/// `zero` is what the left side's bytes are greater by than what they stand for; [`ByteDot`] may subtract of it already.
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

/// Stages floats.
///
/// # Safety
///
/// `n` elements are readable; `to` has a staged row, and `n` floats fit into it.
#[inline(always)]
pub(super) unsafe fn singles<I: Isa>(isa: I, from: *const u8, half: bool, n: usize, _zero: u8, to: *mut u8) {
    const TOGETHER: usize = 4;
    let to: *mut f32 = to.cast();
    let mut k = 0;
    // SAFETY: the vectors lie in the row, whose elements' room is a multiple of every vector.
    unsafe {
        // A loop without a question in it, for panels of binary16 are widened by it too.
        while k + TOGETHER * I::LANES <= n {
            for at in (k..).step_by(I::LANES).take(TOGETHER) {
                let vector = if half {
                    isa.load_half(from.cast::<u16>().add(at))
                } else {
                    isa.load(from.cast::<f32>().add(at))
                };
                isa.store(to.add(at), vector);
            }
            k += TOGETHER * I::LANES;
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

/// Stages bytes as ggml's `quantize_row_q8_0` and `q8_1` do: in each block of 32 the greatest magnitude becomes 127, the
/// others are rounded to the nearest, and the scale is rounded to binary16.
///
/// # Safety
///
/// As of [`singles`], for elements of one byte.
#[inline(always)]
pub(super) unsafe fn bytes<I: Isa, D: ByteDot<I>>(
    isa: I,
    from: *const u8,
    half: bool,
    n: usize,
    zero: u8,
    to: *mut u8,
) {
    let vectors = BLOCK / I::LANES;
    for block in 0..n.div_ceil(BLOCK) {
        let mut values = [isa.zero(); BLOCK / MIN_LANES];
        let values = &mut values[..vectors];
        let mut greatest = isa.zero();
        for (v, value) in values.iter_mut().enumerate() {
            // SAFETY: the row has n elements.
            *value = unsafe { elements(isa, from, half, BLOCK * block + I::LANES * v, n) };
            greatest = isa.max(greatest, isa.abs(*value));
        }
        let greatest = isa.greatest(greatest);
        let scale = greatest / 127.0;
        // Where all are 0 any factor will do, but an infinite one.
        let factor = isa.splat(127.0 / greatest.max(f32::MIN_POSITIVE));
        let mut sum = isa.splat_word(0);
        for (v, &value) in values.iter().enumerate() {
            let integers = isa.to_integers(isa.mul(value, factor));
            sum = isa.add_words(sum, integers);
            // SAFETY: the block lies in the row.
            unsafe { isa.store_bytes(to.cast::<i8>().add(BLOCK * block + I::LANES * v), integers) }
        }
        let sum = isa.sum_words(sum);
        // SAFETY: a row has room for each block's scale, correction and moment.
        unsafe {
            let side = to.add(4 * block);
            side.add(SCALES).cast::<f32>().write(isa.through_half(scale));
            side.add(ZEROS).cast::<i32>().write(sum.wrapping_mul(i32::from(D::SUBTRACTED) - i32::from(zero)));
            side.add(MOMENTS).cast::<f32>().write(isa.through_half(scale * sum as f32));
        }
    }
}

/// Lanes of the narrowest vector.
const MIN_LANES: usize = 4;
