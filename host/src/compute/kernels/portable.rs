//! Plain Rust, eight lanes: any processor.

use super::isa::{ByteDot, Isa};

const LANES: usize = 8;

/// Needs nothing.
#[derive(Clone, Copy)]
pub(super) struct Portable(());

impl Portable {
    /// # Safety
    ///
    /// None is asked for; other instruction sets are made the same way.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

type F = [f32; LANES];
type N = [i32; LANES];

#[inline(always)]
fn each<A: Copy, T: Copy + Default>(a: [A; LANES], f: impl Fn(A) -> T) -> [T; LANES] {
    a.map(f)
}

#[inline(always)]
fn zip<A: Copy, T: Copy + Default>(a: [A; LANES], b: [A; LANES], f: impl Fn(A, A) -> T) -> [T; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Isa for Portable {
    type F = F;
    type N = N;
    const LANES: usize = LANES;

    #[inline(always)]
    fn splat(self, value: f32) -> F {
        [value; LANES]
    }
    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, a: F, b: F, c: F) -> F {
        // Rounded twice: without the instruction, once would be a call for each lane.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn abs(self, a: F) -> F {
        each(a, f32::abs)
    }
    #[inline(always)]
    fn round(self, a: F) -> F {
        // Above 2²³ all floats are integers; below, this addition leaves no room for a fraction.
        const SHIFT: f32 = 12_582_912.0;
        each(a, |a| if a.abs() < 4_194_304.0 { a + SHIFT - SHIFT } else { a })
    }
    #[inline(always)]
    fn scale_by_power(self, a: F, n: F) -> F {
        // In two steps, since a power alone may be too great or too small for a float.
        zip(a, n, |a, n| {
            let n = n as i32;
            let power = |n: i32| f32::from_bits(((127 + n) << 23) as u32);
            a * power(n >> 1) * power(n - (n >> 1))
        })
    }
    #[inline(always)]
    fn first(self, a: F) -> f32 {
        a[0]
    }
    #[inline(always)]
    fn through_half(self, a: F) -> F {
        each(a, |a| half::f16::from_f32(a).to_f32())
    }
    #[inline(always)]
    fn sum(self, a: F) -> f32 {
        a.iter().sum()
    }
    #[inline(always)]
    fn greatest(self, a: F) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn splat_word(self, value: i32) -> N {
        [value; LANES]
    }
    #[inline(always)]
    fn to_floats(self, a: N) -> F {
        each(a, |a| a as f32)
    }
    #[inline(always)]
    fn to_integers(self, a: F) -> N {
        each(self.round(a), |a| a as i32)
    }
    #[inline(always)]
    fn add_words(self, a: N, b: N) -> N {
        zip(a, b, i32::wrapping_add)
    }
    #[inline(always)]
    fn sum_words(self, a: N) -> i32 {
        a.into_iter().fold(0, i32::wrapping_add)
    }
    #[inline(always)]
    fn words(self, a: F) -> N {
        each(a, |a| a.to_bits() as i32)
    }
    #[inline(always)]
    fn floats(self, a: N) -> F {
        each(a, |a| f32::from_bits(a as u32))
    }
    #[inline(always)]
    fn transpose(self, block: &mut [N]) {
        let Some(block) = block.first_chunk_mut::<LANES>() else { return };
        let from = *block;
        *block = std::array::from_fn(|i| std::array::from_fn(|j| from[j][i]));
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> F {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<F>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> F {
        // SAFETY: the caller's promise.
        std::array::from_fn(|i| if i < n { unsafe { from.add(i).read_unaligned() } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn load_half(self, from: *const u16) -> F {
        // SAFETY: the caller's promise.
        unsafe { self.load_half_first(from, LANES) }
    }
    #[inline(always)]
    unsafe fn load_half_first(self, from: *const u16, n: usize) -> F {
        // SAFETY: the caller's promise.
        let bits = |i| if i < n { unsafe { from.add(i).read_unaligned() } } else { 0 };
        std::array::from_fn(|i| half::f16::from_bits(bits(i)).to_f32_const())
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, a: F) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<F>().write_unaligned(a) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, a: F, n: usize) {
        for (i, a) in a.into_iter().enumerate().take(n) {
            // SAFETY: the caller's promise.
            unsafe { to.add(i).write_unaligned(a) }
        }
    }
    #[inline(always)]
    unsafe fn load_words(self, from: *const u8) -> N {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<N>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_words(self, to: *mut u8, a: N) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<N>().write_unaligned(a) }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut i8, a: N) {
        let bytes = each(a, |a| a.clamp(-128, 127) as i8);
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[i8; LANES]>().write_unaligned(bytes) }
    }
}

/// Plain bytes, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl ByteDot<Portable> for Plain {
    #[inline(always)]
    fn dot(_: Portable, sums: N, left: N, right: N) -> N {
        std::array::from_fn(|i| {
            let pairs = left[i].to_le_bytes().into_iter().zip(right[i].to_le_bytes());
            pairs.fold(sums[i], |sum, (a, b)| sum.wrapping_add(i32::from(a) * i32::from(b as i8)))
        })
    }
}

super::entry_points! {
    #[inline(never)]
    Portable, Plain,
    singles: [1 2, 2 1, 3 1, 4 1],
    bytes: [1, 2, 3, 4],
    dots: [1 4, 2 2, 3 1, 4 1],
}
