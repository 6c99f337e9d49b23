//! Four floats, or four or thirty-two integers, at a time.
//!
//! Four floats in a vector. In the guest these are WebAssembly's vectors; elsewhere, for the tests,
//! arrays with the same results.

/// A vector of four `f32`.
#[derive(Clone, Copy)]
pub(super) struct F32x4(Floats);

/// A vector of four `i32`.
#[derive(Clone, Copy)]
pub(super) struct I32x4(Words);

/// Two vectors, of 32 `i8` in all: a block of quantized weights.
#[derive(Clone, Copy)]
pub(super) struct I8x32(Bytes);

#[cfg(target_arch = "wasm32")]
use core::arch::wasm32::*;
#[cfg(target_arch = "wasm32")]
type Floats = v128;
#[cfg(target_arch = "wasm32")]
type Words = v128;
#[cfg(target_arch = "wasm32")]
type Bytes = [v128; 2];
#[cfg(not(target_arch = "wasm32"))]
type Floats = [f32; 4];
#[cfg(not(target_arch = "wasm32"))]
type Words = [i32; 4];
#[cfg(not(target_arch = "wasm32"))]
type Bytes = [i8; 32];

/// Factor that [`F32x4::widen_shrunk`] leaves off: 2^112, the difference of the exponents' biases.
pub(super) const SHRUNK_BY: f32 = f32::from_bits(0x7780_0000);

#[cfg(target_arch = "wasm32")]
impl F32x4 {
    #[inline(always)]
    pub(super) fn splat(value: f32) -> Self {
        Self(f32x4_splat(value))
    }

    /// A number from memory in all lanes, without a detour by a scalar.
    #[inline(always)]
    pub(super) fn load_splat(from: &f32) -> Self {
        // SAFETY: the reference covers the 4 bytes that are read.
        Self(unsafe { v128_load32_splat(std::ptr::from_ref(from).cast()) })
    }

    /// Loads the first four elements.
    #[inline(always)]
    pub(super) fn load(from: &[f32; 4]) -> Self {
        // SAFETY: the reference covers the 16 bytes that are read; WebAssembly loads need no
        // alignment.
        Self(unsafe { v128_load(from.as_ptr().cast()) })
    }

    #[inline(always)]
    pub(super) fn store(self, to: &mut [f32; 4]) {
        // SAFETY: the reference covers the 16 bytes that are written; WebAssembly stores need no
        // alignment.
        unsafe { v128_store(to.as_mut_ptr().cast(), self.0) }
    }

    /// `self + a * b`, in one rounding where relaxed SIMD is there.
    #[inline(always)]
    pub(super) fn madd(self, a: Self, b: Self) -> Self {
        #[cfg(target_feature = "relaxed-simd")]
        return Self(f32x4_relaxed_madd(a.0, b.0, self.0));
        #[cfg(not(target_feature = "relaxed-simd"))]
        Self(f32x4_add(self.0, f32x4_mul(a.0, b.0)))
    }

    #[inline(always)]
    pub(super) fn add(self, other: Self) -> Self {
        Self(f32x4_add(self.0, other.0))
    }

    #[inline(always)]
    pub(super) fn sub(self, other: Self) -> Self {
        Self(f32x4_sub(self.0, other.0))
    }

    #[inline(always)]
    pub(super) fn mul(self, other: Self) -> Self {
        Self(f32x4_mul(self.0, other.0))
    }

    #[inline(always)]
    pub(super) fn div(self, other: Self) -> Self {
        Self(f32x4_div(self.0, other.0))
    }

    /// `other` where it is larger, else `self`.
    #[inline(always)]
    pub(super) fn max(self, other: Self) -> Self {
        Self(f32x4_pmax(self.0, other.0))
    }

    /// `other` where it is smaller, else `self`.
    #[inline(always)]
    pub(super) fn min(self, other: Self) -> Self {
        Self(f32x4_pmin(self.0, other.0))
    }

    /// `self` where `at` is not below `limit`, else 0.
    #[inline(always)]
    pub(super) fn zero_below(self, at: Self, limit: Self) -> Self {
        Self(v128_andnot(self.0, f32x4_lt(at.0, limit.0)))
    }

    /// Adds the lowest bits of `steps`, read as integers, to the exponents.
    #[inline(always)]
    pub(super) fn scale_by_low_bits(self, steps: Self) -> Self {
        Self(i32x4_add(self.0, i32x4_shl(steps.0, 23)))
    }

    /// Eight half-precision floats, widened. Exact for zeroes, subnormals and normals; infinities
    /// and NaNs, which no weight has, become large numbers.
    #[inline(always)]
    pub(super) fn widen(halves: &[u16; 8]) -> [Self; 2] {
        // SAFETY: the reference covers the 16 bytes that are read; WebAssembly loads need no
        // alignment.
        let bits = unsafe { v128_load(halves.as_ptr().cast()) };
        // Each half in the upper bits of a word; the exponent then goes where a float has it, and
        // 2^112 corrects its bias (Giesen, "half to float done quic", 2012).
        let zero = i32x4_splat(0);
        let low = i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(zero, bits);
        let high = i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(zero, bits);
        let wide = |x| Self(f32x4_mul(shrunk(x), f32x4_splat(SHRUNK_BY)));
        [wide(low), wide(high)]
    }

    /// Eight half-precision floats divided by [`SHRUNK_BY`]: those at even places, then those at
    /// odd ones. Exact as [`widen`](Self::widen) is, and about half the work.
    #[inline(always)]
    pub(super) fn widen_shrunk(halves: &[u16; 8]) -> [Self; 2] {
        // SAFETY: the reference covers the 16 bytes that are read; WebAssembly loads need no
        // alignment.
        let bits = unsafe { v128_load(halves.as_ptr().cast()) };
        [Self(shrunk(i32x4_shl(bits, 16))), Self(shrunk(bits))]
    }

    /// Eight floats as half-precision floats, rounded to nearest, ties to even, as IEEE 754 has it.
    #[inline(always)]
    pub(super) fn narrow(low: Self, high: Self) -> [u16; 8] {
        let mut halves = [0; 8];
        let packed = u16x8_narrow_i32x4(narrow_bits(low.0), narrow_bits(high.0));
        // SAFETY: the array has the 16 bytes that are written; WebAssembly stores need no
        // alignment.
        unsafe { v128_store(halves.as_mut_ptr().cast(), packed) }
        halves
    }

    /// Four vectors as the rows of a matrix, transposed.
    #[inline(always)]
    pub(super) fn transpose(rows: [Self; 4]) -> [Self; 4] {
        let [a, b, c, d] = rows.map(|row| row.0);
        let (ab, cd) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<0, 4, 1, 5>(c, d));
        let (ab_high, cd_high) = (i32x4_shuffle::<2, 6, 3, 7>(a, b), i32x4_shuffle::<2, 6, 3, 7>(c, d));
        [
            Self(i64x2_shuffle::<0, 2>(ab, cd)),
            Self(i64x2_shuffle::<1, 3>(ab, cd)),
            Self(i64x2_shuffle::<0, 2>(ab_high, cd_high)),
            Self(i64x2_shuffle::<1, 3>(ab_high, cd_high)),
        ]
    }
}

/// The half in the upper 16 bits of each word, divided by [`SHRUNK_BY`]; the lower bits are
/// ignored.
#[cfg(target_arch = "wasm32")]
#[inline(always)]
fn shrunk(words: v128) -> v128 {
    v128_and(i32x4_shr(words, 3), i32x4_splat(0x8fff_e000_u32 as i32))
}

/// The half of each float, in the lower 16 bits (Giesen, "float to half", 2016: additions do the
/// rounding).
#[cfg(target_arch = "wasm32")]
#[inline(always)]
fn narrow_bits(floats: v128) -> v128 {
    use super::half::{INFINITY, LARGEST_EXPONENT, NOT_A_NUMBER, REBIAS, SMALLEST_NORMAL, SUBNORMAL_MAGIC};
    let sign = v128_and(floats, i32x4_splat(i32::MIN));
    let magnitude = v128_xor(floats, sign);
    let odd = v128_and(u32x4_shr(magnitude, 13), i32x4_splat(1));
    let normal = u32x4_shr(i32x4_add(i32x4_add(magnitude, i32x4_splat(REBIAS as i32)), odd), 13);
    let magic = i32x4_splat(SUBNORMAL_MAGIC as i32);
    let subnormal = i32x4_sub(f32x4_add(magnitude, magic), magic);
    let small = i32x4_lt(magnitude, i32x4_splat(SMALLEST_NORMAL as i32));
    let finite = v128_bitselect(subnormal, normal, small);
    let nan = i32x4_gt(magnitude, i32x4_splat(f32::INFINITY.to_bits() as i32));
    let beyond = v128_bitselect(i32x4_splat(NOT_A_NUMBER.into()), i32x4_splat(INFINITY.into()), nan);
    let large = i32x4_ge(magnitude, i32x4_splat(LARGEST_EXPONENT as i32));
    v128_or(v128_bitselect(beyond, finite, large), u32x4_shr(sign, 16))
}

#[cfg(target_arch = "wasm32")]
impl I32x4 {
    #[inline(always)]
    pub(super) fn to_floats(self) -> F32x4 {
        F32x4(f32x4_convert_i32x4(self.0))
    }
}

#[cfg(target_arch = "wasm32")]
impl I8x32 {
    #[inline(always)]
    pub(super) fn load(bytes: &[u8; 32]) -> Self {
        // SAFETY: the reference covers the 32 bytes that are read; WebAssembly loads need no
        // alignment.
        Self(unsafe { [v128_load(bytes.as_ptr().cast()), v128_load(bytes[16..].as_ptr().cast())] })
    }

    /// The low halves of all bytes, then the high ones.
    #[inline(always)]
    pub(super) fn nibbles(bytes: &[u8; 16]) -> Self {
        // SAFETY: the reference covers the 16 bytes that are read; WebAssembly loads need no
        // alignment.
        let bytes = unsafe { v128_load(bytes.as_ptr().cast()) };
        let low = u8x16_splat(15);
        Self([v128_and(bytes, low), v128_and(u16x8_shr(bytes, 4), low)])
    }

    /// Adds 16 to each element whose bit is set.
    #[inline(always)]
    pub(super) fn with_fifth_bits(self, bits: &[u8; 4]) -> Self {
        let all = u32x4_splat(u32::from_le_bytes(*bits));
        let places = u64x2_splat(0x8040_2010_0804_0201);
        let sixteen = |bytes, integers| {
            let is_set = u8x16_eq(v128_and(bytes, places), places);
            v128_or(integers, v128_and(is_set, u8x16_splat(16)))
        };
        let low = u8x16_shuffle::<0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1>(all, all);
        let high = u8x16_shuffle::<2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3>(all, all);
        Self([sixteen(low, self.0[0]), sixteen(high, self.0[1])])
    }

    #[inline(always)]
    pub(super) fn minus(self, offset: i8) -> Self {
        Self(self.0.map(|integers| i8x16_sub(integers, i8x16_splat(offset))))
    }

    #[inline(always)]
    pub(super) fn lanes(self) -> [i8; 32] {
        let mut lanes = [0; 32];
        let (low, high) = lanes.split_at_mut(16);
        // SAFETY: each half has the 16 bytes that are written; WebAssembly stores need no
        // alignment.
        unsafe {
            v128_store(low.as_mut_ptr().cast(), self.0[0]);
            v128_store(high.as_mut_ptr().cast(), self.0[1]);
        }
        lanes
    }

    /// Four sums whose sum is the dot product: exact while the words are bytes.
    #[inline(always)]
    pub(super) fn dot(self, words: &[i16; 32]) -> I32x4 {
        let word = |at: usize| {
            // SAFETY: the slice has the 16 bytes that are read; WebAssembly loads need no
            // alignment.
            unsafe { v128_load(words[at..at + 8].as_ptr().cast()) }
        };
        let [low, high] = self.0;
        let one = i32x4_dot_i16x8(i16x8_extend_low_i8x16(low), word(0));
        let two = i32x4_dot_i16x8(i16x8_extend_high_i8x16(low), word(8));
        let three = i32x4_dot_i16x8(i16x8_extend_low_i8x16(high), word(16));
        let four = i32x4_dot_i16x8(i16x8_extend_high_i8x16(high), word(24));
        I32x4(i32x4_add(i32x4_add(one, two), i32x4_add(three, four)))
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl F32x4 {
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }

    pub(super) fn splat(value: f32) -> Self {
        Self([value; 4])
    }

    pub(super) fn load_splat(from: &f32) -> Self {
        Self::splat(*from)
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
        self.zip(other, |a, b| a + b)
    }

    pub(super) fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    pub(super) fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    pub(super) fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    pub(super) fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { b } else { a })
    }

    pub(super) fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if b < a { b } else { a })
    }

    pub(super) fn zero_below(self, at: Self, limit: Self) -> Self {
        Self(std::array::from_fn(|i| if at.0[i] < limit.0[i] { 0.0 } else { self.0[i] }))
    }

    pub(super) fn scale_by_low_bits(self, steps: Self) -> Self {
        self.zip(steps, |a, b| f32::from_bits(a.to_bits().wrapping_add(b.to_bits() << 23)))
    }

    pub(super) fn widen(halves: &[u16; 8]) -> [Self; 2] {
        let wide = |half: u16| super::half::widen(half);
        [Self(std::array::from_fn(|i| wide(halves[i]))), Self(std::array::from_fn(|i| wide(halves[i + 4])))]
    }

    pub(super) fn widen_shrunk(halves: &[u16; 8]) -> [Self; 2] {
        let shrunk = |half: u16| f32::from_bits(((i32::from(half as i16) << 13) as u32) & 0x8fff_e000);
        [
            Self(std::array::from_fn(|i| shrunk(halves[2 * i]))),
            Self(std::array::from_fn(|i| shrunk(halves[2 * i + 1]))),
        ]
    }

    pub(super) fn narrow(low: Self, high: Self) -> [u16; 8] {
        std::array::from_fn(|i| super::half::narrow(if i < 4 { low.0[i] } else { high.0[i - 4] }))
    }

    pub(super) fn transpose(rows: [Self; 4]) -> [Self; 4] {
        std::array::from_fn(|i| Self(std::array::from_fn(|j| rows[j].0[i])))
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl I32x4 {
    pub(super) fn to_floats(self) -> F32x4 {
        F32x4(self.0.map(|value| value as f32))
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl I8x32 {
    pub(super) fn load(bytes: &[u8; 32]) -> Self {
        Self(bytes.map(|byte| byte as i8))
    }

    pub(super) fn nibbles(bytes: &[u8; 16]) -> Self {
        Self(std::array::from_fn(|i| (if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 }) as i8))
    }

    pub(super) fn with_fifth_bits(self, bits: &[u8; 4]) -> Self {
        let bits = u32::from_le_bytes(*bits);
        Self(std::array::from_fn(|i| self.0[i] + ((bits >> i & 1) << 4) as i8))
    }

    pub(super) fn minus(self, offset: i8) -> Self {
        Self(self.0.map(|integer| integer - offset))
    }

    pub(super) fn lanes(self) -> [i8; 32] {
        self.0
    }

    pub(super) fn dot(self, words: &[i16; 32]) -> I32x4 {
        let product = |i: usize| i32::from(self.0[i]) * i32::from(words[i]);
        // As the vectors do it: neighbors are added, then elements at the same place of each eight.
        let eight = |at: usize, i: usize| product(at + 2 * i) + product(at + 2 * i + 1);
        I32x4(std::array::from_fn(|i| [0, 8, 16, 24].map(|at| eight(at, i)).iter().sum()))
    }
}

impl F32x4 {
    #[inline(always)]
    pub(super) fn zero() -> Self {
        Self::splat(0.0)
    }

    /// The four elements.
    #[inline(always)]
    pub(super) fn lanes(self) -> [f32; 4] {
        let mut lanes = [0.0; 4];
        self.store(&mut lanes);
        lanes
    }

    /// The sum of the four.
    #[inline(always)]
    pub(super) fn sum(self) -> f32 {
        let lanes = self.lanes();
        (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
    }

    /// The largest of the four.
    #[inline(always)]
    pub(super) fn largest(self) -> f32 {
        let lanes = self.lanes();
        lanes[0].max(lanes[2]).max(lanes[1].max(lanes[3]))
    }
}
