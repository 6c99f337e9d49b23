//! AVX-512 F, BW and VL: sixteen lanes; with VNNI and BF16 as extensions.

use std::arch::x86_64::*;
use std::mem::transmute;

use super::isa::{Bf16, ByteDot, Isa, WordDot};

/// The processor has AVX-512 F, BW and VL.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// # Safety
    ///
    /// The processor has them.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// The first `n` of 16 lanes.
#[inline(always)]
fn first(n: usize) -> u16 {
    ((1u32 << n) - 1) as u16
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

impl Isa for Avx512 {
    type F = __m512;
    type N = __m512i;
    const LANES: usize = 16;

    arithmetic! {
        splat(value: f32) -> __m512 { _mm512_set1_ps(value) }
        add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fma(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        abs(a: __m512) -> __m512 { _mm512_abs_ps(a) }
        round(a: __m512) -> __m512 { _mm512_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(a) }
        scale_by_power(a: __m512, n: __m512) -> __m512 { _mm512_scalef_ps(a, n) }
        first(a: __m512) -> f32 { _mm512_cvtss_f32(a) }
        through_half(a: __m512) -> __m512 { _mm512_cvtph_ps(_mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(a)) }
        sum(a: __m512) -> f32 { _mm512_reduce_add_ps(a) }
        greatest(a: __m512) -> f32 { _mm512_reduce_max_ps(a) }
        splat_word(value: i32) -> __m512i { _mm512_set1_epi32(value) }
        to_floats(a: __m512i) -> __m512 { _mm512_cvtepi32_ps(a) }
        to_integers(a: __m512) -> __m512i { _mm512_cvtps_epi32(a) }
        add_words(a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        sum_words(a: __m512i) -> i32 { _mm512_reduce_add_epi32(a) }
        words(a: __m512) -> __m512i { _mm512_castps_si512(a) }
        floats(a: __m512i) -> __m512 { _mm512_castsi512_ps(a) }
    }

    #[inline(always)]
    fn transpose(self, block: &mut [__m512i]) {
        let Some(r) = block.first_chunk_mut::<16>() else { return };
        // SAFETY: as above. Words, then pairs of words, change places within quarters; then the
        // quarters do.
        unsafe {
            let mut pairs = *r;
            for i in 0..8 {
                pairs[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
                pairs[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
            }
            let mut fours = pairs;
            for i in (0..16).step_by(4) {
                fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
                fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
                fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
                fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
            }
            const EVEN: i32 = 0x88;
            const ODD: i32 = 0xdd;
            for j in 0..4 {
                let even = _mm512_shuffle_i32x4::<EVEN>(fours[j], fours[j + 4]);
                let odd = _mm512_shuffle_i32x4::<ODD>(fours[j], fours[j + 4]);
                let even_after = _mm512_shuffle_i32x4::<EVEN>(fours[j + 8], fours[j + 12]);
                let odd_after = _mm512_shuffle_i32x4::<ODD>(fours[j + 8], fours[j + 12]);
                r[j] = _mm512_shuffle_i32x4::<EVEN>(even, even_after);
                r[j + 4] = _mm512_shuffle_i32x4::<EVEN>(odd, odd_after);
                r[j + 8] = _mm512_shuffle_i32x4::<ODD>(even, even_after);
                r[j + 12] = _mm512_shuffle_i32x4::<ODD>(odd, odd_after);
            }
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> __m512 {
        // SAFETY: the caller's promise; lanes that are masked out are not read.
        unsafe { _mm512_maskz_loadu_ps(first(n), from) }
    }

    #[inline(always)]
    unsafe fn load_half(self, from: *const u16) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_half_first(self, from: *const u16, n: usize) -> __m512 {
        // SAFETY: the caller's promise; lanes that are masked out are not read.
        unsafe { _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), from.cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, a: __m512) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(to, a) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, a: __m512, n: usize) {
        // SAFETY: the caller's promise; lanes that are masked out are not written.
        unsafe { _mm512_mask_storeu_ps(to, first(n), a) }
    }

    #[inline(always)]
    unsafe fn load_words(self, from: *const u8) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_words(self, to: *mut u8, a: __m512i) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_si512(to.cast(), a) }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut i8, a: __m512i) {
        // SAFETY: the caller's promise.
        unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtsepi32_epi8(a)) }
    }
}

/// Bytes widened to 16 bits. Pairs of bytes could not be added before that: 255 · 127 · 2 is more
/// than 16 bits hold.
#[derive(Clone, Copy)]
pub(super) struct Widened;

impl ByteDot<Avx512> for Widened {
    #[inline(always)]
    fn dot(_: Avx512, sums: __m512i, left: __m512i, right: __m512i) -> __m512i {
        // SAFETY: a value of Avx512 exists.
        unsafe {
            let (even, odd) = (_mm512_slli_epi16::<8>(right), right);
            let (even, odd) = (_mm512_srai_epi16::<8>(even), _mm512_srai_epi16::<8>(odd));
            let low = _mm512_and_si512(left, _mm512_set1_epi16(0xff));
            let high = _mm512_srli_epi16::<8>(left);
            let sums = _mm512_add_epi32(sums, _mm512_madd_epi16(low, even));
            _mm512_add_epi32(sums, _mm512_madd_epi16(high, odd))
        }
    }
}

/// VNNI, which the kernel that uses it is compiled for, and which is there wherever that kernel is
/// chosen.
#[derive(Clone, Copy)]
pub(super) struct Vnni;

impl ByteDot<Avx512> for Vnni {
    #[inline(always)]
    fn dot(_: Avx512, sums: __m512i, left: __m512i, right: __m512i) -> __m512i {
        // SAFETY: see the type.
        unsafe { _mm512_dpbusd_epi32(sums, left, right) }
    }
}

impl WordDot<Avx512> for Vnni {
    #[inline(always)]
    fn dot(_: Avx512, sums: __m512i, left: __m512i, right: __m512i) -> __m512i {
        // SAFETY: see the type.
        unsafe { _mm512_dpwssd_epi32(sums, left, right) }
    }

    #[inline(always)]
    fn consecutive(_: Avx512, first: __m512i, second: __m512i) -> __m512i {
        // SAFETY: a value of `Avx512` is at hand.
        unsafe {
            let first = _mm512_castsi256_si512(_mm512_cvtepi32_epi16(first));
            _mm512_inserti64x4::<1>(first, _mm512_cvtepi32_epi16(second))
        }
    }
}

/// BF16, which the kernel that uses it is compiled for, and which is there wherever that kernel is
/// chosen.
#[derive(Clone, Copy)]
pub(super) struct NativeBf16;

impl Bf16<Avx512> for NativeBf16 {
    #[inline(always)]
    fn dot(_: Avx512, sums: __m512, left: __m512i, right: __m512i) -> __m512 {
        // SAFETY: see the type; vectors of the same size hold any bits.
        unsafe {
            _mm512_dpbf16_ps(
                sums,
                transmute::<__m512i, __m512bh>(left),
                transmute::<__m512i, __m512bh>(right),
            )
        }
    }

    #[inline(always)]
    fn pair(isa: Avx512, low: __m512, high: __m512) -> __m512i {
        const ORDER: [u16; 32] = {
            let mut order = [0; 32];
            let mut i = 0;
            while i < 32 {
                order[i] = (i / 2 + 16 * (i % 2)) as u16;
                i += 1;
            }
            order
        };
        let apart = Self::consecutive(isa, low, high);
        // SAFETY: see the type; an array of as many bytes.
        unsafe { _mm512_permutexvar_epi16(transmute::<[u16; 32], __m512i>(ORDER), apart) }
    }

    #[inline(always)]
    fn consecutive(_: Avx512, first: __m512, second: __m512) -> __m512i {
        // SAFETY: as above.
        unsafe { transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first)) }
    }
}

super::entry_points! {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    Avx512, Widened,
    singles: [1 4, 2 2, 3 1, 4 1, 5 1, 6 1, 7 1, 8 1, 9 1, 10 1, 11 1, 12 1],
    bytes: [1, 2, 3, 4, 5, 6],
    dots: [1 4, 2 4, 3 4, 4 4, 5 4, 6 4, 7 3, 8 3],
}

/// Kernels with VNNI.
pub(super) mod vnni {
    use super::*;

    super::super::byte_entry_points! {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        Avx512, Vnni,
        bytes: [1, 2, 3, 4, 5, 6],
    }
    super::super::fixed_entry_points! {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        Avx512, Vnni,
        fixed: [1 4, 2 2, 3 1, 4 1, 5 1, 6 1, 7 1, 8 1, 9 1, 10 1, 11 1, 12 1],
    }
}

/// Kernels with BF16.
pub(super) mod bf16 {
    use super::*;

    super::super::bf16_entry_points! {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
        Avx512, NativeBf16,
        pairs: [1 4, 2 2, 3 1, 4 1, 5 1, 6 1, 7 1, 8 1, 9 1, 10 1, 11 1, 12 1],
    }
}
