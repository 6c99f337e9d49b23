//! Soft-max of a row.

use super::elementwise::{map, zip};
use super::exp::exp;
use super::simd::F32x4;

/// Replaces `row` by the exponentials of `scale · row + mask`, less the largest of these; returns
/// their sum. The mask is as long as the row.
pub(super) fn exponentials(row: &mut [f32], scale: f32, mask: Option<&[f32]>) -> f32 {
    let scale = F32x4::splat(scale);
    let lowest = F32x4::splat(f32::MIN);
    // Two of each, so that one need not wait for the other.
    let mut largest = [lowest; 2];
    let mut other = 0;
    let mut note = |x: F32x4| {
        largest[other] = largest[other].max(x);
        other ^= 1;
        x
    };
    match mask {
        // Padded with an element of the row, so that the maximum is unchanged.
        Some(mask) => zip(row, mask, [row[0], mask[0]], |x, mask| note(mask.madd(x, scale))),
        None => map(row, row[0], |x| note(x.mul(scale))),
    }
    let largest = F32x4::splat(largest[0].max(largest[1]).largest());
    let mut sums = [F32x4::zero(); 2];
    let mut other = 0;
    map(row, f32::NEG_INFINITY, |x| {
        let power = exp(x.sub(largest));
        sums[other] = sums[other].add(power);
        other ^= 1;
        power
    });
    sums[0].add(sums[1]).sum()
}

/// Soft-max of `scale · row + mask`, in place.
pub(in crate::backend) fn softmax(row: &mut [f32], scale: f32, mask: Option<&[f32]>) {
    let factor = F32x4::splat(exponentials(row, scale, mask).recip());
    map(row, 0.0, |x| x.mul(factor));
}

/// The logarithm of the sum of the exponentials; of nothing, or of nothing but negative infinities,
/// that too.
pub(crate) fn log_sum_exp(values: &[f32]) -> f32 {
    let largest = values.iter().copied().fold(f32::MIN, f32::max);
    let shift = F32x4::splat(largest);
    let (turns, rest) = values.as_chunks::<16>();
    let mut sums = [F32x4::zero(); 2];
    for turn in turns {
        for (at, lanes) in turn.as_chunks::<4>().0.iter().enumerate() {
            sums[at % 2] = sums[at % 2].add(exp(F32x4::load(lanes).sub(shift)));
        }
    }
    for rest in rest.chunks(4) {
        let mut lanes = [f32::NEG_INFINITY; 4];
        lanes[..rest.len()].copy_from_slice(rest);
        sums[0] = sums[0].add(exp(F32x4::load(&lanes).sub(shift)));
    }
    sums[0].add(sums[1]).sum().ln() + largest
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::Noise;
    use super::*;

    #[test]
    fn rows_of_any_length_sum_to_one_and_equal_the_definition() {
        let mut noise = Noise::new(3);
        for len in (1..40).chain([448, 1500]) {
            for (factor, masked) in [(0.125, false), (1.0, true), (30.0, true), (-2.0, false)] {
                let row: Vec<f32> = noise.floats(len).iter().map(|value| value * 8.0).collect();
                let hidden = |at: usize| masked && at % 3 == 1;
                let mask: Vec<f32> = (0..len)
                    .map(|at| if hidden(at) { f32::NEG_INFINITY } else { at as f32 / 64.0 })
                    .collect();
                let exact: Vec<f64> = (row.iter().zip(&mask))
                    .map(|(x, m)| {
                        f64::from(*x) * f64::from(factor) + if masked { f64::from(*m) } else { 0.0 }
                    })
                    .collect();
                let largest = exact.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                // Large scores are rounded before they become powers.
                let farthest = exact.iter().filter(|x| x.is_finite()).fold(0f64, |most, x| most.max(x.abs()));
                let bound = 1e-6 + farthest * 2f64.powi(-22);
                let sum: f64 = exact.iter().map(|x| (x - largest).exp()).sum();
                let mut found = row.clone();
                softmax(&mut found, factor, masked.then_some(&mask));
                for (at, (found, exact)) in found.iter().zip(&exact).enumerate() {
                    let exact = (exact - largest).exp() / sum;
                    assert!(
                        (f64::from(*found) - exact).abs() < bound * exact.max(1e-3),
                        "{len}, {at}: {found}"
                    );
                    assert!(!hidden(at) || *found == 0.0);
                }
            }
        }
    }

    #[test]
    fn sums_of_powers_equal_the_definition() {
        let mut noise = Noise::new(5);
        for len in [1usize, 3, 4, 17, 1501, 51_864] {
            let mut values: Vec<f32> = noise.floats(len).iter().map(|value| value * 20.0).collect();
            values.iter_mut().step_by(3).skip(1).for_each(|value| *value = f32::NEG_INFINITY);
            let exact: f64 = values.iter().map(|value| f64::from(*value).exp()).sum();
            let found = f64::from(log_sum_exp(&values));
            assert!((found - exact.ln()).abs() < 1e-4, "{len}: {found}, {}", exact.ln());
        }
        assert_eq!(log_sum_exp(&[]), f32::NEG_INFINITY);
        assert_eq!(log_sum_exp(&[f32::NEG_INFINITY; 9]), f32::NEG_INFINITY);
    }
}
