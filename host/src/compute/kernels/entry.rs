//! Each kernel, compiled for an instruction set: the functions that a [`Table`](super::Table)
//! names.

/// Defines a module's `TABLE`: all kernels for one instruction set, with its way to add products of
/// bytes.
macro_rules! entry_points {
    (#$attr:tt $isa:ident, $dot:ident, singles: [$($c:literal $u:literal),*], bytes: [$($b:literal),*], dots: [$($q:literal $v:literal),*],) => {
        use super::*;

        $crate::compute::kernels::compiled! { #$attr $isa,
            tile_singles[C, U](left: *const u8, right: *const u8, steps: usize, sums: *mut f32, more: bool)
                = microkernel::tile::<$isa, microkernel::Singles, C, U>;
            tile_halves[C, U](left: *const u8, right: *const u8, steps: usize, sums: *mut f32, more: bool)
                = microkernel::tile::<$isa, microkernel::Halves, C, U>;
            stage_singles[](from: *const u8, half: bool, n: usize, zero: u8, to: *mut u8)
                = pack_right::singles::<$isa>;
            pack_singles[](loose: &Loose, to: *mut u8)
                = pack::singles::<$isa>;
            unpack[](from: *const f32, divisors: *const f32, count: usize, n: usize, to: *mut f32, stride: usize)
                = pack::unpack::<$isa>;
            finish[](sums: *const f32, n: usize, columns: usize, out: *mut f32, how: &Epilogue)
                = epilogue::finish::<$isa>;
            soften_singles[](scores: *mut f32, n: usize, mask: *const f32, state: &State)
                = softmax::soften::<$isa, softmax::Singles>;
            rescale[](sums: *mut f32, n: usize, factor: *const f32)
                = softmax::rescale::<$isa>;
            dots[Q, U](strips: &[Strip], half: bool, count: usize, n: usize) = dots::dots::<$isa, Q, U>;
            soften_one[](scores: *mut f32, n: usize, mask: *const f32, factor: f32, state: &mut [f32; 2]) -> f32
                = dots::soften_one::<$isa>;
        }
        $crate::compute::kernels::byte_entry_points! { #$attr $isa, $dot, bytes: [$($b),*], }

        pub(in crate::compute) const TABLE: Table = Table {
            panel: 2 * <$isa as isa::Isa>::LANES,
            singles: Format { tiles: &[$(tile_singles::<$c, $u>),*], stage: stage_singles },
            halves: Format { tiles: &[$(tile_halves::<$c, $u>),*], stage: stage_singles },
            bytes: BYTES,
            bytes_with_minimum: BYTES_WITH_MINIMUM,
            pack: pack_singles,
            soften: soften_singles,
            fixed: None,
            bf16: None,
            unpack,
            finish,
            rescale,
            dots: &[$(dots::<$q, $v>),*],
            soften_one,
        };
    };
}

/// Defines the entry points for blocks of bytes.
macro_rules! byte_entry_points {
    (#$attr:tt $isa:ident, $dot:ident, bytes: [$($b:literal),*],) => {
        $crate::compute::kernels::compiled! { #$attr $isa,
            tile_bytes[C](left: *const u8, right: *const u8, steps: usize, sums: *mut f32, more: bool)
                = microkernel::tile_bytes::<$isa, $dot, C, false>;
            tile_bytes_with_minimum[C](left: *const u8, right: *const u8, steps: usize, sums: *mut f32, more: bool)
                = microkernel::tile_bytes::<$isa, $dot, C, true>;
            stage_bytes[](from: *const u8, half: bool, n: usize, zero: u8, to: *mut u8)
                = pack_right::quantize::<$isa, $dot>;
        }

        pub(in crate::compute) const BYTES: Format = Format { tiles: &[$(tile_bytes::<$b>),*], stage: stage_bytes };
        pub(in crate::compute) const BYTES_WITH_MINIMUM: Format =
            Format { tiles: &[$(tile_bytes_with_minimum::<$b>),*], stage: stage_bytes };
    };
}

/// Defines the entry points for 16-bit fixed point.
macro_rules! fixed_entry_points {
    (#$attr:tt $isa:ident, $dot:ident, fixed: [$($c:literal $u:literal),*],) => {
        $crate::compute::kernels::compiled! { #$attr $isa,
            tile_fixed[C, U](left: *const u8, right: *const u8, steps: usize, sums: *mut f32, more: bool)
                = fixed::tile::<$isa, $dot, C, U>;
            stage_fixed[](from: *const u8, half: bool, n: usize, zero: u8, to: *mut u8)
                = fixed::fixed::<$isa, $dot>;
        }

        pub(in crate::compute) const FIXED: Format =
            Format { tiles: &[$(tile_fixed::<$c, $u>),*], stage: stage_fixed };
    };
}

/// Defines the entry points for bfloat16.
macro_rules! bf16_entry_points {
    (#$attr:tt $isa:ident, $bf16:ident, pairs: [$($c:literal $u:literal),*],) => {
        $crate::compute::kernels::compiled! { #$attr $isa,
            tile_pairs[C, U](left: *const u8, right: *const u8, steps: usize, sums: *mut f32, more: bool)
                = microkernel::tile::<$isa, microkernel::Pairs<$bf16>, C, U>;
            stage_pairs[](from: *const u8, half: bool, n: usize, zero: u8, to: *mut u8)
                = pack_right::pairs::<$isa, $bf16>;
            pack_pairs[](loose: &Loose, to: *mut u8)
                = pack::pairs::<$isa, $bf16>;
            soften_pairs[](scores: *mut f32, n: usize, mask: *const f32, state: &State)
                = softmax::soften::<$isa, softmax::Pairs<$bf16>>;
        }

        pub(in crate::compute) const BF16: Bf16Table = Bf16Table {
            pairs: Format { tiles: &[$(tile_pairs::<$c, $u>),*], stage: stage_pairs },
            pack: pack_pairs,
            soften: soften_pairs,
        };
    };
}

/// Defines functions that are compiled with an attribute: code that is inlined into them may use
/// the enabled instructions.
macro_rules! compiled {
    (#$attr:tt $isa:ident, $($name:ident[$($c:ident),*]($($arg:ident: $type:ty),*) $(-> $out:ty)? = $inner:expr;)*) => {$(
        #$attr
        unsafe fn $name<$(const $c: usize),*>($($arg: $type),*) $(-> $out)? {
            // SAFETY: a table is used only where the processor has the instruction set that it is
            // compiled for; the rest is the caller's promise.
            unsafe { $inner($isa::new(), $($arg),*) }
        }
    )*};
}

pub(super) use {bf16_entry_points, byte_entry_points, compiled, entry_points, fixed_entry_points};
