//! The exponential function of a vector.

use super::isa::Isa;

/// `2ˣ`, with a relative error of at most 2⁻²¹·⁸; 0 below −150, infinite above 128, and NaN for
/// NaN.
///
/// `2ⁿ` for the nearest integer `n`, times a polynomial of degree 5 for the rest: the minimax
/// polynomial of relative error on [−½, ½], but that its constant is 1, so that `2⁰` is 1.
#[inline(always)]
pub(super) fn exp2<I: Isa>(isa: I, x: I::F) -> I::F {
    const TERMS: [f32; 5] = [0.001_327_646_8, 0.009_675_541, 0.055_507_133, 0.240_221_2, 0.693_146_97];
    // The value comes second, so that NaN stays NaN.
    let x = isa.min(isa.splat(200.0), isa.max(isa.splat(-200.0), x));
    let n = isa.round(x);
    let f = isa.sub(x, n);
    let mut sum = isa.splat(TERMS[0]);
    for term in [TERMS[1], TERMS[2], TERMS[3], TERMS[4], 1.0] {
        sum = isa.fma(sum, f, isa.splat(term));
    }
    isa.scale_by_power(sum, n)
}
