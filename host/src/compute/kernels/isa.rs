//! Operations that the kernels require of an instruction set.

/// An instruction set. A value is the proof that the processor has it: its constructor has checked.
///
/// Arithmetic is on vectors of [`LANES`](Self::LANES) elements of 32 bits. Every operation is
/// inlined into a kernel, which is compiled for the instruction set; see `entry_points`.
pub(super) trait Isa: Copy {
    /// Lanes of floats.
    type F: Copy;
    /// Lanes of 32-bit words: integers, or groups of four bytes or two halves.
    type N: Copy;
    /// Elements of a vector; a panel has two vectors.
    const LANES: usize;

    fn zero(self) -> Self::F {
        self.splat(0.0)
    }
    fn splat(self, value: f32) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The greater; `b` if either is not a number.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The lesser; `b` if either is not a number.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    fn abs(self, a: Self::F) -> Self::F;
    /// The nearest integer, ties to even.
    fn round(self, a: Self::F) -> Self::F;
    /// `a · 2ⁿ` for an integer `n` of at most 250 in magnitude.
    fn scale_by_power(self, a: Self::F, n: Self::F) -> Self::F;
    /// Lane 0.
    fn first(self, a: Self::F) -> f32;
    /// Floats rounded to binary16 and back.
    fn through_half(self, a: Self::F) -> Self::F;
    /// The sum of all lanes.
    fn sum(self, a: Self::F) -> f32;
    /// The greatest lane; any, if one is not a number.
    fn greatest(self, a: Self::F) -> f32;

    fn splat_word(self, value: i32) -> Self::N;
    /// Integers to floats.
    fn to_floats(self, a: Self::N) -> Self::F;
    /// Floats to the nearest integers, ties to even.
    fn to_integers(self, a: Self::F) -> Self::N;
    fn add_words(self, a: Self::N, b: Self::N) -> Self::N;
    /// The sum of all lanes, wrapping.
    fn sum_words(self, a: Self::N) -> i32;
    /// The bits of floats.
    fn words(self, a: Self::F) -> Self::N;
    /// Floats of these bits.
    fn floats(self, a: Self::N) -> Self::F;
    /// Transposes: in lane `l`, word `w` is the former lane `w`, word `l`.
    fn transpose(self, block: &mut [Self::N]);

    /// Loads a vector.
    ///
    /// # Safety
    ///
    /// It is readable. Any alignment will do, here and below.
    unsafe fn load(self, from: *const f32) -> Self::F;
    /// Loads the first `n` lanes, at most all of them; the others are zero.
    ///
    /// # Safety
    ///
    /// `n` floats are readable. No other byte is touched, here and below.
    unsafe fn load_first(self, from: *const f32, n: usize) -> Self::F;
    /// Loads a vector of binary16, widened.
    ///
    /// # Safety
    ///
    /// It is readable.
    unsafe fn load_half(self, from: *const u16) -> Self::F;
    /// As [`load_first`](Self::load_first), of binary16.
    ///
    /// # Safety
    ///
    /// `n` halves are readable.
    unsafe fn load_half_first(self, from: *const u16, n: usize) -> Self::F;
    /// Stores a vector.
    ///
    /// # Safety
    ///
    /// It is writable.
    unsafe fn store(self, to: *mut f32, a: Self::F);
    /// Stores the first `n` lanes, at most all of them.
    ///
    /// # Safety
    ///
    /// `n` floats are writable.
    unsafe fn store_first(self, to: *mut f32, a: Self::F, n: usize);
    /// Loads a vector of words.
    ///
    /// # Safety
    ///
    /// It is readable.
    unsafe fn load_words(self, from: *const u8) -> Self::N;
    /// Stores a vector of words.
    ///
    /// # Safety
    ///
    /// It is writable.
    unsafe fn store_words(self, to: *mut u8, a: Self::N);
    /// Stores each lane's integer as a byte, saturated.
    ///
    /// # Safety
    ///
    /// `LANES` bytes are writable.
    unsafe fn store_bytes(self, to: *mut i8, a: Self::N);
}

/// Sums of products of four bytes in each lane.
pub(super) trait ByteDot<I: Isa>: Copy {
    /// Subtracted from each byte on the left.
    const SUBTRACTED: u8 = 0;

    /// `sums + Σ (left − SUBTRACTED) · right`, with unsigned bytes on the left and signed ones, of
    /// at most 127, on the right.
    fn dot(isa: I, sums: I::N, left: I::N, right: I::N) -> I::N;
}

/// Sums of products of two 16-bit integers in each word.
pub(super) trait WordDot<I: Isa>: Copy {
    /// `sums + Σ left · right`, wrapping.
    fn dot(isa: I, sums: I::N, left: I::N, right: I::N) -> I::N;
    /// The low halves of words: those of `first`, two by two, then those of `second`.
    fn consecutive(isa: I, first: I::N, second: I::N) -> I::N;
}

/// bfloat16: two in each word, the first in the low half.
pub(super) trait Bf16<I: Isa>: Copy {
    /// `sums + Σ left · right`.
    fn dot(isa: I, sums: I::F, left: I::N, right: I::N) -> I::F;
    /// Rounds floats, ties to even; `low` goes into the low halves.
    fn pair(isa: I, low: I::F, high: I::F) -> I::N;
    /// Rounds floats, ties to even: those of `first`, two by two, then those of `second`.
    fn consecutive(isa: I, first: I::F, second: I::F) -> I::N;
}
