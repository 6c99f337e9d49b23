//! AVX2, FMA and F16C: eight lanes.

use std::arch::x86_64::*;

use super::isa::{ByteDot, Isa};

const LANES: usize = 8;

/// The processor has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// # Safety
    ///
    /// The processor has them.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// Mask with all bits of the first `n` of 8 lanes.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
unsafe fn first(n: usize) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
}

/// `2ⁿ` for integers of at most 125 in magnitude.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
unsafe fn power(n: __m256i) -> __m256 {
    // SAFETY: the caller's promise. These are the bits of a float's exponent.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127)))) }
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

impl Isa for Avx2 {
    type F = __m256;
    type N = __m256i;
    const LANES: usize = LANES;

    arithmetic! {
        splat(value: f32) -> __m256 { _mm256_set1_ps(value) }
        add(a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        sub(a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        mul(a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        div(a: __m256, b: __m256) -> __m256 { _mm256_div_ps(a, b) }
        fma(a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fmadd_ps(a, b, c) }
        max(a: __m256, b: __m256) -> __m256 { _mm256_max_ps(a, b) }
        min(a: __m256, b: __m256) -> __m256 { _mm256_min_ps(a, b) }
        abs(a: __m256) -> __m256 { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
        round(a: __m256) -> __m256 { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        first(a: __m256) -> f32 { _mm256_cvtss_f32(a) }
        through_half(a: __m256) -> __m256 { _mm256_cvtph_ps(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(a)) }
        splat_word(value: i32) -> __m256i { _mm256_set1_epi32(value) }
        to_floats(a: __m256i) -> __m256 { _mm256_cvtepi32_ps(a) }
        to_integers(a: __m256) -> __m256i { _mm256_cvtps_epi32(a) }
        add_words(a: __m256i, b: __m256i) -> __m256i { _mm256_add_epi32(a, b) }
        words(a: __m256) -> __m256i { _mm256_castps_si256(a) }
        floats(a: __m256i) -> __m256 { _mm256_castsi256_ps(a) }
    }

    #[inline(always)]
    fn scale_by_power(self, a: __m256, n: __m256) -> __m256 {
        // SAFETY: as above. In two steps, since a power alone may be too great or too small for a
        // float.
        unsafe {
            let n = _mm256_cvtps_epi32(n);
            let half = _mm256_srai_epi32::<1>(n);
            _mm256_mul_ps(_mm256_mul_ps(a, power(half)), power(_mm256_sub_epi32(n, half)))
        }
    }

    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        // SAFETY: as above.
        unsafe {
            let fours = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let twos = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
            _mm_cvtss_f32(_mm_add_ss(twos, _mm_movehdup_ps(twos)))
        }
    }

    #[inline(always)]
    fn greatest(self, a: __m256) -> f32 {
        // SAFETY: as above.
        unsafe {
            let fours = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let twos = _mm_max_ps(fours, _mm_movehl_ps(fours, fours));
            _mm_cvtss_f32(_mm_max_ss(twos, _mm_movehdup_ps(twos)))
        }
    }

    #[inline(always)]
    fn sum_words(self, a: __m256i) -> i32 {
        // SAFETY: as above.
        unsafe {
            let fours = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a));
            let twos = _mm_add_epi32(fours, _mm_shuffle_epi32::<0b01_00_11_10>(fours));
            _mm_cvtsi128_si32(_mm_add_epi32(twos, _mm_shuffle_epi32::<0b10_11_00_01>(twos)))
        }
    }

    #[inline(always)]
    fn transpose(self, block: &mut [__m256i]) {
        let Some(r) = block.first_chunk_mut::<LANES>() else { return };
        // SAFETY: as above. Words, then pairs of words, change places within halves; then the
        // halves do.
        unsafe {
            let mut pairs = *r;
            for i in (0..8).step_by(2) {
                pairs[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
                pairs[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
            }
            let mut fours = pairs;
            for i in (0..8).step_by(4) {
                fours[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
                fours[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
                fours[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
                fours[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
            }
            for i in 0..4 {
                r[i] = _mm256_permute2x128_si256::<0x20>(fours[i], fours[i + 4]);
                r[i + 4] = _mm256_permute2x128_si256::<0x31>(fours[i], fours[i + 4]);
            }
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> __m256 {
        // SAFETY: the caller's promise; lanes that are masked out are not read.
        unsafe { _mm256_maskload_ps(from, first(n)) }
    }

    #[inline(always)]
    unsafe fn load_half(self, from: *const u16) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_half_first(self, from: *const u16, n: usize) -> __m256 {
        // There are no masks for halves.
        let mut room = [0; LANES];
        // SAFETY: the caller's promise.
        unsafe {
            std::ptr::copy_nonoverlapping(from, room.as_mut_ptr(), n);
            self.load_half(room.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, a: __m256) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_ps(to, a) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, a: __m256, n: usize) {
        // SAFETY: the caller's promise; lanes that are masked out are not written.
        unsafe { _mm256_maskstore_ps(to, first(n), a) }
    }

    #[inline(always)]
    unsafe fn load_words(self, from: *const u8) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_words(self, to: *mut u8, a: __m256i) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_si256(to.cast(), a) }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut i8, a: __m256i) {
        // SAFETY: the caller's promise.
        unsafe {
            let pairs = _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a));
            _mm_storel_epi64(to.cast(), _mm_packs_epi16(pairs, pairs));
        }
    }
}

/// Pairs of bytes are added in 16 bits. With unsigned bytes on the left that would be too much for
/// them, so 128 is subtracted there, and signs change sides: 128 · 127 · 2 is less than 2¹⁵.
#[derive(Clone, Copy)]
pub(super) struct Signed;

impl ByteDot<Avx2> for Signed {
    const SUBTRACTED: u8 = 128;

    #[inline(always)]
    fn dot(_: Avx2, sums: __m256i, left: __m256i, right: __m256i) -> __m256i {
        // SAFETY: a value of Avx2 exists.
        unsafe {
            let left = _mm256_xor_si256(left, _mm256_set1_epi8(-128));
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(left), _mm256_sign_epi8(right, left));
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}

super::entry_points! {
    #[target_feature(enable = "avx2,fma,f16c")]
    Avx2, Signed,
    singles: [1 4, 2 2, 3 1, 4 1, 5 1, 6 1],
    bytes: [1, 2, 3],
    dots: [1 4, 2 4, 3 3, 4 2],
}
