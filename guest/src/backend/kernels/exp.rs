//! The exponential function, and functions derived from it.

use super::simd::F32x4;

/// Below, [`exp`] is 0: a little above the smallest normal float's logarithm.
const LEAST: f32 = -87.0;
/// Argument from which [`exp`] does not grow: a little below the largest float's logarithm.
const MOST: f32 = 88.0;

/// Computes `e` to the power of each element: within 2^-22 of it (relative) from -87 to 88, 0
/// below, infinities included, and the value at 88 above. NaNs become one of these.
///
/// The usual way: a power of two, and a polynomial for the rest (coefficients: Moshier's Cephes,
/// `expf`).
#[inline(always)]
pub(super) fn exp(x: F32x4) -> F32x4 {
    // Adding 1.5 · 2^23 rounds to a whole number, and leaves it in the lowest bits.
    let magic = F32x4::splat(12_582_912.0);
    let clamped = F32x4::splat(LEAST).max(x).min(F32x4::splat(MOST));
    let steps = magic.madd(clamped, F32x4::splat(std::f32::consts::LOG2_E));
    let whole = steps.sub(magic);
    // ln 2 in two parts, the first of few bits, so that its products are exact.
    let rest = clamped.madd(whole, F32x4::splat(-0.693_359_4)).madd(whole, F32x4::splat(2.121_944_4e-4));
    let mut sum = F32x4::splat(1.987_569_1e-4);
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = F32x4::splat(coefficient).madd(sum, rest);
    }
    let power = F32x4::splat(1.0).add(rest.madd(sum, rest.mul(rest)));
    power.scale_by_low_bits(steps).zero_below(x, F32x4::splat(LEAST))
}

/// GELU in its tanh form (Hendrycks and Gimpel, arXiv:1606.08415), as ggml has it: `x/2 · (1 +
/// tanh(√(2/π)·(x + 0.044715·x³)))`, which is `x / (1 + exp(-2·√(2/π)·(x + 0.044715·x³)))`.
#[inline(always)]
pub(super) fn gelu(x: F32x4) -> F32x4 {
    let outer = F32x4::splat(-2.0 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2);
    let inner = F32x4::splat(1.0).madd(F32x4::splat(0.044_715), x.mul(x));
    let one = F32x4::splat(1.0);
    x.div(one.add(exp(outer.mul(x).mul(inner))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(f: impl Fn(F32x4) -> F32x4, x: f32) -> f32 {
        let lanes = f(F32x4::splat(x)).lanes();
        assert!(lanes.iter().all(|lane| lane.to_bits() == lanes[0].to_bits()));
        lanes[0]
    }

    #[test]
    fn the_exponential_is_as_close_as_it_says() {
        let mut farthest = 0f64;
        for step in 0..=1_750_000 {
            let x = (-87.0 + f64::from(step) * 1e-4) as f32;
            let exact = f64::from(x).exp();
            farthest = farthest.max((f64::from(all(exp, x)) - exact).abs() / exact);
        }
        assert!(farthest < 2f64.powi(-22), "2^{}", farthest.log2());
    }

    #[test]
    fn beyond_its_range_the_exponential_is_what_it_says() {
        for x in [-87.001, -100.0, -1e30, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(all(exp, x), 0.0, "{x}");
        }
        for x in [88.1, 1e30, f32::INFINITY] {
            assert_eq!(all(exp, x), all(exp, 88.0), "{x}");
        }
        assert_eq!(all(exp, 0.0), 1.0);
    }

    #[test]
    fn gelu_is_the_definition() {
        for step in -4000..=4000 {
            let x = step as f32 / 200.0;
            let wide = f64::from(x);
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044_715 * wide.powi(3));
            let exact = 0.5 * wide * (1.0 + inner.tanh());
            let error = (f64::from(all(gelu, x)) - exact).abs();
            assert!(error <= 1e-6 * wide.abs().max(1e-3), "{x}: off by {error}");
        }
        assert_eq!(all(gelu, 1e30), 1e30);
        assert!(all(gelu, -1e30).abs() < 1e-6);
    }
}
