//! Epilogue of a product: the operations on the sums of a tile on their way to memory.

use super::exp::exp2;
use super::isa::Isa;

/// Epilogue of a tile's sums. Pointers are null where there is nothing; strides are bytes.
#[derive(Clone, Copy)]
pub(in super::super) struct Epilogue {
    /// Stride of the output's rows.
    pub(in super::super) stride: usize,
    /// Adds the output's content: sums of earlier parts of the depth.
    pub(in super::super) more: bool,
    /// True for the last part of the sums. The rest of the epilogue is done then.
    pub(in super::super) last: bool,
    /// A float for each left row, added.
    pub(in super::super) bias: *const f32,
    /// A float for each right row, added.
    pub(in super::super) offsets: *const f32,
    /// True if GELU is applied.
    pub(in super::super) gelu: bool,
    /// A float for each sum, added at the end.
    pub(in super::super) residual: *const f32,
    /// Stride of the residual's rows.
    pub(in super::super) residual_stride: usize,
}

/// Finishes the sums of `n` left rows, at most a panel's, and `columns` right rows.
pub(in super::super) type EpilogueTile =
    unsafe fn(sums: *const f32, n: usize, columns: usize, out: *mut f32, how: &Epilogue);

/// As [`EpilogueTile`] says.
///
/// # Safety
///
/// `sums` has a panel's floats for each right row; `bias` has `n`, `offsets` have `columns`, or
/// they are null; `out` has `columns` rows of `n` to read and write, and so has `residual`, unless
/// it is null, to read.
#[inline(always)]
pub(super) unsafe fn finish<I: Isa>(
    isa: I,
    sums: *const f32,
    n: usize,
    columns: usize,
    out: *mut f32,
    how: &Epilogue,
) {
    for column in 0..columns {
        for at in (0..n).step_by(I::LANES) {
            let lanes = I::LANES.min(n - at);
            // SAFETY: column is one of them, and at + lanes at most n.
            unsafe {
                let load = |from: *const f32| {
                    if lanes == I::LANES { isa.load(from) } else { isa.load_first(from, lanes) }
                };
                let out = out.byte_add(how.stride * column).add(at);
                let mut value = isa.load(sums.add(2 * I::LANES * column + at));
                if how.more {
                    value = isa.add(value, load(out));
                }
                if how.last {
                    if !how.offsets.is_null() {
                        value = isa.add(value, isa.splat(how.offsets.add(column).read()));
                    }
                    if !how.bias.is_null() {
                        value = isa.add(value, load(how.bias.add(at)));
                    }
                    if how.gelu {
                        value = gelu(isa, value);
                    }
                    if !how.residual.is_null() {
                        let residual = how.residual.byte_add(how.residual_stride * column);
                        value = isa.add(value, load(residual.add(at)));
                    }
                }
                if lanes == I::LANES {
                    isa.store(out, value);
                } else {
                    isa.store_first(out, value, lanes);
                }
            }
        }
    }
}

/// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))`, which is `x / (1 + exp(−2·√(2/π) · (x +
/// 0.044715·x³)))`.
#[inline(always)]
pub(super) fn gelu<I: Isa>(isa: I, x: I::F) -> I::F {
    // −2 · √(2/π) · log₂ e
    const FACTOR: f32 = -2.302_208_2;
    let cubic = isa.fma(isa.mul(x, x), isa.splat(0.044_715 * FACTOR), isa.splat(FACTOR));
    isa.div(x, isa.add(isa.splat(1.0), exp2(isa, isa.mul(cubic, x))))
}
