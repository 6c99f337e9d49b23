//! Half-precision floats (IEEE 754 binary16).

use super::simd::F32x4;

/// Bits of the half that is infinite.
pub(super) const INFINITY: u16 = 0x7c00;
/// Bits of a half that is not a number.
pub(super) const NOT_A_NUMBER: u16 = 0x7e00;
/// Floats from here on, 2^16, are beyond every half.
pub(super) const LARGEST_EXPONENT: u32 = (127 + 16) << 23;
/// Floats below, 2^-14, are subnormal halves, or none.
pub(super) const SMALLEST_NORMAL: u32 = (127 - 14) << 23;
/// Moves a normal float's exponent to a half's bias, and rounds up all that is above the middle.
pub(super) const REBIAS: u32 = (15u32.wrapping_sub(127) << 23).wrapping_add(0xfff);
/// Added to a small float, it leaves the subnormal half in the lowest bits: the float 1/2, whose
/// last bit is 2^-24.
pub(super) const SUBNORMAL_MAGIC: u32 = (127 - 1) << 23;

/// Widens a half-precision float: exact for zeroes, subnormals and normals (see [`F32x4::widen`]).
pub(in crate::backend) fn widen(half: u16) -> f32 {
    let magnitude = f32::from_bits(u32::from(half & 0x7fff) << 13) * super::simd::SHRUNK_BY;
    f32::from_bits(magnitude.to_bits() | u32::from(half & 0x8000) << 16)
}

/// The nearest half-precision float, ties to even.
pub(in crate::backend) fn narrow(value: f32) -> u16 {
    let sign = (value.to_bits() >> 16 & 0x8000) as u16;
    let magnitude = value.to_bits() & 0x7fff_ffff;
    let half = if magnitude > f32::INFINITY.to_bits() {
        NOT_A_NUMBER
    } else if magnitude >= LARGEST_EXPONENT {
        INFINITY
    } else if magnitude < SMALLEST_NORMAL {
        let magic = f32::from_bits(SUBNORMAL_MAGIC);
        ((f32::from_bits(magnitude) + magic).to_bits() - SUBNORMAL_MAGIC) as u16
    } else {
        (magnitude.wrapping_add(REBIAS).wrapping_add(magnitude >> 13 & 1) >> 13) as u16
    };
    sign | half
}

/// Widens a row of equal length.
pub(in crate::backend) fn widen_row(from: &[u16], to: &mut [f32]) {
    let (halves, rest) = from.as_chunks::<8>();
    let (wide, tail) = to.as_chunks_mut::<8>();
    for (halves, wide) in halves.iter().zip(wide) {
        let [low, high] = F32x4::widen(halves);
        let (wide, _) = wide.as_chunks_mut::<4>();
        low.store(&mut wide[0]);
        high.store(&mut wide[1]);
    }
    for (half, wide) in rest.iter().zip(tail) {
        *wide = widen(*half);
    }
}

/// Narrows a row of equal length, each element times `factor`.
pub(in crate::backend) fn narrow_row(from: &[f32], factor: f32, to: &mut [u16]) {
    let (values, rest) = from.as_chunks::<8>();
    let (halves, tail) = to.as_chunks_mut::<8>();
    let factors = F32x4::splat(factor);
    for (values, halves) in values.iter().zip(halves) {
        let (values, _) = values.as_chunks::<4>();
        *halves = F32x4::narrow(F32x4::load(&values[0]).mul(factors), F32x4::load(&values[1]).mul(factors));
    }
    for (value, half) in rest.iter().zip(tail) {
        *half = narrow(*value * factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, by arithmetic.
    fn value(half: u16) -> f64 {
        let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
        let exponent = i32::from(half >> 10 & 0x1f);
        let mantissa = f64::from(half & 0x3ff) / 1024.0;
        sign * if exponent == 0 {
            mantissa * 2f64.powi(-14)
        } else {
            (1.0 + mantissa) * 2f64.powi(exponent - 15)
        }
    }

    fn is_finite(half: u16) -> bool {
        half & INFINITY != INFINITY
    }

    #[test]
    fn every_finite_half_is_widened_exactly_and_comes_back() {
        for half in (0..=u16::MAX).filter(|half| is_finite(*half)) {
            assert_eq!(f64::from(widen(half)), value(half), "{half:#06x}");
            assert_eq!(narrow(widen(half)), half, "{half:#06x}");
        }
    }

    #[test]
    fn floats_go_to_the_nearest_half_and_ties_to_the_even_one() {
        for half in 0..0x7bff_u16 {
            let (below, above) = (widen(half), widen(half + 1));
            let middle = below / 2.0 + above / 2.0;
            let even = if half.is_multiple_of(2) { half } else { half + 1 };
            for sign in [1.0, -1.0] {
                let bit = if sign < 0.0 { 0x8000 } else { 0 };
                assert_eq!(narrow(sign * middle), even | bit, "the middle above {half:#06x}");
                assert_eq!(narrow(sign * middle.next_down()), half | bit, "below the middle of {half:#06x}");
                assert_eq!(
                    narrow(sign * middle.next_up()),
                    (half + 1) | bit,
                    "above the middle of {half:#06x}"
                );
            }
        }
    }

    #[test]
    fn numbers_beyond_half_precision_become_infinite_or_zero() {
        for (value, half) in [
            (65_519.996, 0x7bff),
            (65_520.0, INFINITY),
            (1e30, INFINITY),
            (f32::INFINITY, INFINITY),
            (f32::NEG_INFINITY, INFINITY | 0x8000),
            (2f32.powi(-25), 0),
            (2f32.powi(-25).next_up(), 1),
            (f32::from_bits(1), 0),
            (-0.0, 0x8000),
            (f32::NAN, NOT_A_NUMBER),
        ] {
            assert_eq!(narrow(value), half, "{value}");
        }
    }

    #[test]
    fn rows_are_converted_in_order() {
        let halves: Vec<u16> = (0..29).map(|index| 0x3c00 + index * 64).chain([0x0001, 0x8000]).collect();
        let mut wide = vec![f32::NAN; halves.len()];
        widen_row(&halves, &mut wide);
        assert!(wide.iter().zip(&halves).all(|(wide, half)| *wide == widen(*half)));
        let mut back = vec![0; halves.len()];
        narrow_row(&wide, 1.0, &mut back);
        assert_eq!(back, halves);
        narrow_row(&wide[..9], 2.0, &mut back[..9]);
        assert!(back.iter().zip(&wide).take(9).all(|(half, wide)| widen(*half) == 2.0 * wide));
    }

    #[test]
    fn shrunk_halves_are_the_widened_ones_divided() {
        for start in (0..=u16::MAX).step_by(8) {
            let halves: [u16; 8] = std::array::from_fn(|i| start + i as u16);
            let [even, odd] = F32x4::widen_shrunk(&halves).map(F32x4::lanes);
            for i in (0..8).filter(|i| is_finite(halves[*i])) {
                let shrunk = if i % 2 == 0 { even[i / 2] } else { odd[i / 2] };
                assert_eq!(shrunk * super::super::simd::SHRUNK_BY, widen(halves[i]), "{:#06x}", halves[i]);
            }
        }
    }
}
