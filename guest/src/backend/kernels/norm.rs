//! Layer normalization of a row.

use super::elementwise::{map, zip};
use super::simd::F32x4;

/// Brings a row to mean 0 and variance 1, `epsilon` being added to the variance, in place.
pub(in crate::backend) fn normalize(row: &mut [f32], epsilon: f32) {
    let (shift, factor) = moments(row, epsilon);
    map(row, 0.0, |x| x.sub(shift).mul(factor));
}

/// As [`normalize`], then multiplies each element by its gain and adds its bias; both are as long
/// as the row.
pub(in crate::backend) fn normalize_with(row: &mut [f32], epsilon: f32, gain: &[f32], bias: &[f32]) {
    let (shift, factor) = moments(row, epsilon);
    zip(row, gain, [0.0; 2], |x, gain| x.sub(shift).mul(factor).mul(gain));
    zip(row, bias, [0.0; 2], F32x4::add);
}

/// The mean, and the inverse of the standard deviation.
fn moments(row: &[f32], epsilon: f32) -> (F32x4, F32x4) {
    let mean = sum(row, |x| x) / row.len() as f32;
    let shift = F32x4::splat(mean);
    let (padding, squares) =
        (row.len().next_multiple_of(4) - row.len(), |x: F32x4| x.sub(shift).mul(x.sub(shift)));
    // Padding is 0, and counts as that far from the mean.
    let variance = (sum(row, squares) - padding as f32 * mean * mean) / row.len() as f32;
    (shift, F32x4::splat(1.0 / (variance + epsilon).sqrt()))
}

/// The sum of `f` over all vectors, padded with zeroes.
fn sum(row: &[f32], f: impl Fn(F32x4) -> F32x4) -> f32 {
    let mut sums = [F32x4::zero(); 4];
    let (turns, rest) = row.as_chunks::<16>();
    for turn in turns {
        for (sum, lanes) in sums.iter_mut().zip(turn.as_chunks::<4>().0) {
            *sum = sum.add(f(F32x4::load(lanes)));
        }
    }
    for rest in rest.chunks(4) {
        let mut lanes = [0.0; 4];
        lanes[..rest.len()].copy_from_slice(rest);
        sums[0] = sums[0].add(f(F32x4::load(&lanes)));
    }
    sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum()
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::Noise;
    use super::*;

    #[test]
    fn rows_of_any_length_equal_the_definition() {
        let mut noise = Noise::new(5);
        for len in (2..40).chain([384, 1280]) {
            let row: Vec<f32> = noise.floats(len).iter().map(|x| x * 3.0 + 5.0).collect();
            let (gain, bias) = (noise.floats(len), noise.floats(len));
            let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / len as f64;
            let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / len as f64;
            let (mut plain, mut whole) = (row.clone(), row.clone());
            normalize(&mut plain, 1e-5);
            normalize_with(&mut whole, 1e-5, &gain, &bias);
            for at in 0..len {
                let exact = (f64::from(row[at]) - mean) / (variance + 1e-5).sqrt();
                assert!((f64::from(plain[at]) - exact).abs() < 1e-5, "{len}, {at}");
                let exact = exact * f64::from(gain[at]) + f64::from(bias[at]);
                assert!((f64::from(whole[at]) - exact).abs() < 1e-5, "{len}, {at}");
            }
        }
    }
}
