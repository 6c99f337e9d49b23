//! The inner loops, for each instruction set, and the choice between them.
//!
//! A kernel is generic over [`Isa`](isa::Isa) and compiled once for each instruction set (`entry`).
//! What calls kernels is not generic: it reads a [`Table`] of functions. A new instruction set is a
//! file with an `Isa` and its table; one that multiplies whole tiles, such as AMX, replaces the
//! [`Format`] it is good at, for it can read the same panels.
//!
//! Why not a library: `gemm` 0.19 and `matrixmultiply` 0.3 multiply floats only, know neither
//! binary16 nor blocks of bytes, write sums that are then read again for bias and activation, and
//! cannot be interrupted. On floats alone these kernels are about level with them.

#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(
        dead_code,
        unused_imports,
        unused_macros,
        reason = "kernels for bfloat16, and prefetching, are x86-64's alone"
    )
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dots;
mod entry;
mod epilogue;
mod exp;
mod fixed;
mod isa;
mod microkernel;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod pack_right;
mod portable;
mod softmax;

use super::aligned::LINE;
use entry::{bf16_entry_points, byte_entry_points, compiled, entry_points, fixed_entry_points};

pub(super) use dots::{Dots, SoftenOne, Strip};
pub(super) use epilogue::{Epilogue, EpilogueTile};
pub(super) use fixed::{SPAN, fixed_bytes, scale};
pub(super) use microkernel::{Tile, block_bytes};
pub(super) use pack::{Loose, Pack, Unpack};
pub(super) use pack_right::{BLOCK, ELEMENTS, ROW, Stage};
pub(super) use softmax::{LOWEST, Rescale, Soften, State};

/// Precision of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    /// Floats as they are, or binary16 as fixed point that rounds less; quantized weights as ggml
    /// computes with them natively.
    Exact,
    /// Weights of floats as blocks of bytes, products of two matrices in bfloat16, where the
    /// processor is made for it.
    Fast,
}

/// The kernels of one instruction set. All are unsafe to call where the processor does not have it.
#[derive(Clone, Copy)]
pub(super) struct Table {
    /// Left rows of a panel.
    pub(super) panel: usize,
    pub(super) singles: Format,
    /// Panels of binary16, rows of floats.
    pub(super) halves: Format,
    pub(super) bytes: Format,
    pub(super) bytes_with_minimum: Format,
    /// 16-bit fixed point on both sides, where it is faster than floats.
    pub(super) fixed: Option<Format>,
    pub(super) bf16: Option<Bf16Table>,
    pub(super) pack: Pack,
    pub(super) soften: Soften,
    pub(super) unpack: Unpack,
    pub(super) finish: EpilogueTile,
    pub(super) rescale: Rescale,
    /// The one of `n` vectors at `n − 1`.
    pub(super) dots: &'static [Dots],
    pub(super) soften_one: SoftenOne,
}

/// Micro-kernels for one format of panels.
#[derive(Clone, Copy)]
pub(super) struct Format {
    /// The tile of `n` right rows at `n − 1`.
    pub(super) tiles: &'static [Tile],
    /// Stages right rows.
    pub(super) stage: Stage,
}

/// The kernels that work on bfloat16.
#[derive(Clone, Copy)]
pub(super) struct Bf16Table {
    pub(super) pairs: Format,
    pub(super) pack: Pack,
    pub(super) soften: Soften,
}

/// Instruction set levels, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Portable,
    Neon,
    Avx2,
    Avx512,
    Avx512Vnni,
    Avx512VnniBf16,
}

impl Level {
    const ALL: [Self; 6] =
        [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512, Self::Avx512Vnni, Self::Avx512VnniBf16];

    /// Instruction set levels that this processor has; the last is the best.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| level.is_available())
    }

    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        let vnni = avx512 && is_x86_feature_detected!("avx512vnni");
        match self {
            Self::Portable => true,
            Self::Neon => false,
            Self::Avx2 => avx2,
            Self::Avx512 => avx512,
            Self::Avx512Vnni => vnni,
            Self::Avx512VnniBf16 => vnni && is_x86_feature_detected!("avx512bf16"),
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn is_available(self) -> bool {
        self <= Self::Neon
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn is_available(self) -> bool {
        self == Self::Portable
    }

    #[cfg(target_arch = "x86_64")]
    fn table(self) -> Table {
        let vnni = Table {
            bytes: avx512::vnni::BYTES,
            bytes_with_minimum: avx512::vnni::BYTES_WITH_MINIMUM,
            fixed: Some(avx512::vnni::FIXED),
            ..avx512::TABLE
        };
        match self {
            Self::Portable | Self::Neon => portable::TABLE,
            Self::Avx2 => avx2::TABLE,
            Self::Avx512 => avx512::TABLE,
            Self::Avx512Vnni => vnni,
            Self::Avx512VnniBf16 => Table { bf16: Some(avx512::bf16::BF16), ..vnni },
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn table(self) -> Table {
        if self == Self::Neon { neon::TABLE } else { portable::TABLE }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn table(self) -> Table {
        portable::TABLE
    }

    /// Returns true if products of bytes are faster than those of floats.
    fn has_byte_products(self) -> bool {
        self >= Self::Avx512Vnni
    }
}

/// The kernels that this processor and a precision call for.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    level: Level,
    precision: Precision,
    table: Table,
}

impl Kernels {
    /// The best that this processor has.
    pub(crate) fn new(precision: Precision) -> Self {
        Self::with(Level::available().last().unwrap_or(Level::Portable), precision)
    }

    /// Kernels of a level, or the portable ones where the processor does not have it.
    pub(crate) fn with(level: Level, precision: Precision) -> Self {
        let level = if level.is_available() { level } else { Level::Portable };
        Self { level, precision, table: level.table() }
    }

    /// The names of the instruction sets, for people.
    pub(crate) fn describe(&self) -> &'static str {
        match self.level {
            Level::Portable => "portable",
            Level::Neon => "NEON",
            Level::Avx2 => "AVX2 with FMA and F16C",
            Level::Avx512 => "AVX-512",
            Level::Avx512Vnni => "AVX-512 with VNNI",
            Level::Avx512VnniBf16 => "AVX-512 with VNNI and BF16",
        }
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Returns true if weights of floats are to become bytes.
    pub(super) fn prefers_bytes(&self) -> bool {
        self.precision == Precision::Fast && self.level.has_byte_products()
    }

    /// The kernels for bfloat16, where they are to be used.
    pub(super) fn bf16(&self) -> Option<&Bf16Table> {
        self.table.bf16.as_ref().filter(|_| self.precision == Precision::Fast)
    }
}

/// Prefetches the cache lines of `bytes` bytes that are about to be read. It is no access: any
/// address will do.
#[inline(always)]
pub(super) fn prefetch(at: *const u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..bytes).step_by(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(line).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, bytes);
}

/// As [`prefetch`], of bytes that are about to be written.
#[inline(always)]
pub(super) fn prefetch_write(at: *const u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..bytes).step_by(LINE) {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: a hint, which processors take for nothing where they do not know it.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(at.wrapping_add(line).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, bytes);
}
