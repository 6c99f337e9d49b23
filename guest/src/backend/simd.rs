//! Four floats at a time.

/// A vector of four `f32`.
#[derive(Clone, Copy)]
pub(super) struct F32x4(Inner);

#[cfg(target_arch = "wasm32")]
type Inner = core::arch::wasm32::v128;
#[cfg(not(target_arch = "wasm32"))]
type Inner = [f32; 4];

#[cfg(target_arch = "wasm32")]
impl F32x4 {
    #[inline(always)]
    pub(super) fn zero() -> Self {
        Self(core::arch::wasm32::f32x4_splat(0.0))
    }

    #[inline(always)]
    pub(super) fn splat(value: f32) -> Self {
        Self(core::arch::wasm32::f32x4_splat(value))
    }

    /// Loads the first four elements.
    #[inline(always)]
    pub(super) fn load(from: &[f32; 4]) -> Self {
        // SAFETY: the reference covers the 16 bytes that are read; WebAssembly loads need no alignment.
        Self(unsafe { core::arch::wasm32::v128_load(from.as_ptr().cast()) })
    }

    #[inline(always)]
    pub(super) fn store(self, to: &mut [f32; 4]) {
        // SAFETY: the reference covers the 16 bytes that are written; WebAssembly stores need no alignment.
        unsafe { core::arch::wasm32::v128_store(to.as_mut_ptr().cast(), self.0) }
    }

    /// `self + a * b`, in one rounding where relaxed SIMD is there.
    #[inline(always)]
    pub(super) fn madd(self, a: Self, b: Self) -> Self {
        #[cfg(target_feature = "relaxed-simd")]
        return Self(core::arch::wasm32::f32x4_relaxed_madd(a.0, b.0, self.0));
        #[cfg(not(target_feature = "relaxed-simd"))]
        Self(core::arch::wasm32::f32x4_add(self.0, core::arch::wasm32::f32x4_mul(a.0, b.0)))
    }

    #[inline(always)]
    pub(super) fn add(self, other: Self) -> Self {
        Self(core::arch::wasm32::f32x4_add(self.0, other.0))
    }

    /// Eight half-precision floats, widened. Exact for zeroes, subnormals and normals; infinities and NaNs, which no
    /// weight has, become large numbers.
    #[inline(always)]
    pub(super) fn widen(halves: &[u16; 8]) -> [Self; 2] {
        use core::arch::wasm32::*;
        // SAFETY: the reference covers the 16 bytes that are read; WebAssembly loads need no alignment.
        let bits = unsafe { v128_load(halves.as_ptr().cast()) };
        let wide = |x: v128| {
            // Sign to bit 31; exponent and mantissa to 30..13; then 2^112 corrects the exponent's bias
            // (Giesen, "half to float done quic", 2012).
            let magnitude = u32x4_shl(v128_and(x, u32x4_splat(0x7fff)), 13);
            let sign = u32x4_shl(v128_and(x, u32x4_splat(0x8000)), 16);
            Self(v128_or(f32x4_mul(magnitude, f32x4_splat(f32::from_bits(0x7780_0000))), sign))
        };
        [wide(u32x4_extend_low_u16x8(bits)), wide(u32x4_extend_high_u16x8(bits))]
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl F32x4 {
    pub(super) fn zero() -> Self {
        Self([0.0; 4])
    }

    pub(super) fn splat(value: f32) -> Self {
        Self([value; 4])
    }

    pub(super) fn load(from: &[f32; 4]) -> Self {
        Self(*from)
    }

    pub(super) fn store(self, to: &mut [f32; 4]) {
        *to = self.0;
    }

    pub(super) fn madd(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| a.0[i].mul_add(b.0[i], self.0[i])))
    }

    pub(super) fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    pub(super) fn widen(halves: &[u16; 8]) -> [Self; 2] {
        let wide = |half: u16| super::half::widen(half);
        [Self(std::array::from_fn(|i| wide(halves[i]))), Self(std::array::from_fn(|i| wide(halves[i + 4])))]
    }
}

impl F32x4 {
    /// The sum of the four.
    #[inline(always)]
    pub(super) fn sum(self) -> f32 {
        let mut lanes = [0.0; 4];
        self.store(&mut lanes);
        (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
    }
}
