//! What happens to the sums of a tile on their way to memory.

use super::exp::exp2;
use super::isa::Isa;

/// What to do with a panel's sums for one right row. Pointers are null where there is nothing.
#[derive(Clone, Copy)]
pub(in super::super) struct Finish {
    /// Adds what the output holds: sums of earlier parts of the depth.
    pub(in super::super) more: bool,
    /// Whether these are the last sums. The rest is done then.
    pub(in super::super) last: bool,
    /// A float for each left row, added.
    pub(in super::super) bias: *const f32,
    /// Added to each.
    pub(in super::super) offset: f32,
    /// Whether GELU is applied.
    pub(in super::super) gelu: bool,
    /// A float for each left row, added at the end.
    pub(in super::super) residual: *const f32,
}

/// Finishes the sums of `n` left rows, at most a panel's.
pub(in super::super) type FinishRow = unsafe fn(sums: *const f32, n: usize, out: *mut f32, how: &Finish);

/// As [`FinishRow`] says.
///
/// # Safety
///
/// `sums` has a panel's floats; `bias` and `residual` have `n` or are null; `out` has `n` to read and write.
#[inline(always)]
pub(super) unsafe fn finish<I: Isa>(isa: I, sums: *const f32, n: usize, out: *mut f32, how: &Finish) {
    let mut at = 0;
    while at < n {
        let lanes = I::LANES.min(n - at);
        // SAFETY: at + lanes is at most n.
        unsafe {
            let load = |from: *const f32| {
                if lanes == I::LANES { isa.load(from.add(at)) } else { isa.load_first(from.add(at), lanes) }
            };
            let mut value = isa.load(sums.add(at));
            if how.more {
                value = isa.add(value, load(out));
            }
            if how.last {
                value = isa.add(value, isa.splat(how.offset));
                if !how.bias.is_null() {
                    value = isa.add(value, load(how.bias));
                }
                if how.gelu {
                    value = gelu(isa, value);
                }
                if !how.residual.is_null() {
                    value = isa.add(value, load(how.residual));
                }
            }
            if lanes == I::LANES {
                isa.store(out.add(at), value);
            } else {
                isa.store_first(out.add(at), value, lanes);
            }
        }
        at += I::LANES;
    }
}

/// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))`, which is `x / (1 + exp(−2·√(2/π) · (x + 0.044715·x³)))`.
#[inline(always)]
pub(super) fn gelu<I: Isa>(isa: I, x: I::F) -> I::F {
    // −2 · √(2/π) · log₂ e
    const FACTOR: f32 = -2.302_208_2;
    let cubic = isa.fma(isa.mul(x, x), isa.splat(0.044_715 * FACTOR), isa.splat(FACTOR));
    isa.div(x, isa.add(isa.splat(1.0), exp2(isa, isa.mul(cubic, x))))
}
