//! Soft-max of a row.

use super::elementwise::{map, zip};
use super::exp::exp;
use super::simd::F32x4;

/// Replaces `row` by the exponentials of `scale · row + mask`, less the largest of these; returns their sum. The mask is
/// as long as the row.
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
        // Padded with what is there anyway, so that the largest stays what it is.
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
}
