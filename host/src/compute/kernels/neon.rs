//! NEON as every 64-bit ARM processor has it: four lanes.

use std::arch::aarch64::*;
use std::arch::asm;

use super::isa::{ByteDot, Isa};

const LANES: usize = 4;

/// The processor has NEON.
#[derive(Clone, Copy)]
pub(super) struct Neon(());

impl Neon {
    /// # Safety
    ///
    /// The processor has it.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// Widens binary16. The intrinsics for it are not stable, the instruction is as old as NEON in 64
/// bits.
#[inline(always)]
fn widen(halves: uint16x4_t) -> float32x4_t {
    let floats;
    // SAFETY: an instruction of the base architecture, on registers alone.
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) floats, in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags));
    }
    floats
}

/// Rounds to binary16, ties to even.
#[inline(always)]
fn narrow(floats: float32x4_t) -> uint16x4_t {
    let halves;
    // SAFETY: as above.
    unsafe {
        asm!("fcvtn {0:v}.4h, {1:v}.4s", out(vreg) halves, in(vreg) floats,
            options(pure, nomem, nostack, preserves_flags));
    }
    halves
}

/// `2ⁿ` for integers of at most 125 in magnitude: the bits of a float's exponent.
#[inline(always)]
fn power(n: int32x4_t) -> float32x4_t {
    // SAFETY: instructions of the base architecture.
    unsafe { vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(n, vdupq_n_s32(127)))) }
}

/// Operations that are a single expression on values.
macro_rules! arithmetic {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty { $body:expr })*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $type),*) -> $out {
            // SAFETY: a value of this type exists only where the processor has the instructions.
            unsafe { $body }
        }
    )*};
}

impl Isa for Neon {
    type F = float32x4_t;
    type N = int32x4_t;
    const LANES: usize = LANES;

    arithmetic! {
        splat(value: f32) -> float32x4_t { vdupq_n_f32(value) }
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t { vaddq_f32(a, b) }
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t { vsubq_f32(a, b) }
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t { vmulq_f32(a, b) }
        div(a: float32x4_t, b: float32x4_t) -> float32x4_t { vdivq_f32(a, b) }
        fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t { vfmaq_f32(c, a, b) }
        max(a: float32x4_t, b: float32x4_t) -> float32x4_t { vbslq_f32(vcgtq_f32(a, b), a, b) }
        min(a: float32x4_t, b: float32x4_t) -> float32x4_t { vbslq_f32(vcltq_f32(a, b), a, b) }
        abs(a: float32x4_t) -> float32x4_t { vabsq_f32(a) }
        round(a: float32x4_t) -> float32x4_t { vrndnq_f32(a) }
        first(a: float32x4_t) -> f32 { vgetq_lane_f32::<0>(a) }
        sum(a: float32x4_t) -> f32 { vaddvq_f32(a) }
        greatest(a: float32x4_t) -> f32 { vmaxvq_f32(a) }
        splat_word(value: i32) -> int32x4_t { vdupq_n_s32(value) }
        to_floats(a: int32x4_t) -> float32x4_t { vcvtq_f32_s32(a) }
        to_integers(a: float32x4_t) -> int32x4_t { vcvtnq_s32_f32(a) }
        add_words(a: int32x4_t, b: int32x4_t) -> int32x4_t { vaddq_s32(a, b) }
        sum_words(a: int32x4_t) -> i32 { vaddvq_s32(a) }
        words(a: float32x4_t) -> int32x4_t { vreinterpretq_s32_f32(a) }
        floats(a: int32x4_t) -> float32x4_t { vreinterpretq_f32_s32(a) }
    }

    #[inline(always)]
    fn through_half(self, a: float32x4_t) -> float32x4_t {
        widen(narrow(a))
    }

    #[inline(always)]
    fn scale_by_power(self, a: float32x4_t, n: float32x4_t) -> float32x4_t {
        // SAFETY: as above. In two steps, since a power alone may be too great or too small for a
        // float.
        unsafe {
            let n = vcvtq_s32_f32(n);
            let half = vshrq_n_s32::<1>(n);
            vmulq_f32(vmulq_f32(a, power(half)), power(vsubq_s32(n, half)))
        }
    }

    #[inline(always)]
    fn transpose(self, block: &mut [int32x4_t]) {
        let Some(r) = block.first_chunk_mut::<LANES>() else { return };
        // SAFETY: as above. Words change places, then pairs of words.
        unsafe {
            let pairs = [
                vtrn1q_s32(r[0], r[1]),
                vtrn2q_s32(r[0], r[1]),
                vtrn1q_s32(r[2], r[3]),
                vtrn2q_s32(r[2], r[3]),
            ]
            .map(|words| vreinterpretq_s64_s32(words));
            *r = [
                vtrn1q_s64(pairs[0], pairs[2]),
                vtrn1q_s64(pairs[1], pairs[3]),
                vtrn2q_s64(pairs[0], pairs[2]),
                vtrn2q_s64(pairs[1], pairs[3]),
            ]
            .map(|words| vreinterpretq_s32_s64(words));
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        // SAFETY: the caller's promise.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> float32x4_t {
        let mut room = [0.0; LANES];
        // SAFETY: the caller's promise.
        unsafe {
            std::ptr::copy_nonoverlapping(from, room.as_mut_ptr(), n);
            vld1q_f32(room.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn load_half(self, from: *const u16) -> float32x4_t {
        // SAFETY: the caller's promise.
        unsafe { widen(vld1_u16(from)) }
    }

    #[inline(always)]
    unsafe fn load_half_first(self, from: *const u16, n: usize) -> float32x4_t {
        let mut room = [0; LANES];
        // SAFETY: the caller's promise.
        unsafe {
            std::ptr::copy_nonoverlapping(from, room.as_mut_ptr(), n);
            self.load_half(room.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, a: float32x4_t) {
        // SAFETY: the caller's promise.
        unsafe { vst1q_f32(to, a) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, a: float32x4_t, n: usize) {
        let mut room = [0.0; LANES];
        // SAFETY: the caller's promise.
        unsafe {
            vst1q_f32(room.as_mut_ptr(), a);
            std::ptr::copy_nonoverlapping(room.as_ptr(), to, n);
        }
    }

    #[inline(always)]
    unsafe fn load_words(self, from: *const u8) -> int32x4_t {
        // SAFETY: the caller's promise. Bytes, since words may lie anywhere.
        unsafe { vreinterpretq_s32_u8(vld1q_u8(from)) }
    }

    #[inline(always)]
    unsafe fn store_words(self, to: *mut u8, a: int32x4_t) {
        // SAFETY: the caller's promise.
        unsafe { vst1q_u8(to, vreinterpretq_u8_s32(a)) }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut i8, a: int32x4_t) {
        // SAFETY: the caller's promise.
        unsafe {
            let pairs = vqmovn_s32(a);
            let bytes = vqmovn_s16(vcombine_s16(pairs, pairs));
            to.cast::<i32>().write_unaligned(vget_lane_s32::<0>(vreinterpret_s32_s8(bytes)));
        }
    }
}

/// Products of signed bytes in 16 bits, added in 32.
#[derive(Clone, Copy)]
pub(super) struct Signed;

impl ByteDot<Neon> for Signed {
    const SUBTRACTED: u8 = 128;

    #[inline(always)]
    fn dot(_: Neon, sums: int32x4_t, left: int32x4_t, right: int32x4_t) -> int32x4_t {
        // SAFETY: a value of Neon exists.
        unsafe {
            let left = veorq_s8(vreinterpretq_s8_s32(left), vdupq_n_s8(-128));
            let right = vreinterpretq_s8_s32(right);
            let low = vpaddlq_s16(vmull_s8(vget_low_s8(left), vget_low_s8(right)));
            let high = vpaddlq_s16(vmull_high_s8(left, right));
            vaddq_s32(sums, vpaddq_s32(low, high))
        }
    }
}

super::entry_points! {
    #[target_feature(enable = "neon")]
    Neon, Signed,
    singles: [1 4, 2 2, 3 1, 4 1, 5 1, 6 1, 7 1, 8 1, 9 1, 10 1, 11 1, 12 1],
    bytes: [1, 2, 3, 4],
    dots: [1 4, 2 4, 3 4, 4 4, 5 4],
}
