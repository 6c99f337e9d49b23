//! Half-precision floats (IEEE 754 binary16), one at a time: for what is left over after whole vectors.

/// Widens a half-precision float: exact for zeroes, subnormals and normals (see [`super::simd::F32x4::widen`]).
pub(super) fn widen(half: u16) -> f32 {
    let magnitude = f32::from_bits(u32::from(half & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(magnitude.to_bits() | u32::from(half & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::super::simd::F32x4;
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

    #[test]
    fn every_finite_half_is_widened_exactly() {
        for half in 0..=u16::MAX {
            if half >> 10 & 0x1f != 0x1f {
                assert_eq!(f64::from(widen(half)), value(half), "{half:#06x}");
            }
        }
    }

    #[test]
    fn vectors_widen_in_order() {
        let halves = [0x3c00, 0x4000, 0x4200, 0x4400, 0xbc00, 0xc000, 0x0001, 0x8000];
        let [low, high] = F32x4::widen(&halves);
        let mut lanes = [[0.0; 4]; 2];
        low.store(&mut lanes[0]);
        high.store(&mut lanes[1]);
        assert_eq!(lanes.concat(), halves.map(widen));
    }
}
