//! Samples that are safe to compute with.

use std::borrow::Cow;

use super::Faults;

/// Replaces NaN and infinite samples by 0, clamps the rest to [-1, 1], and counts both.
///
/// One NaN would poison every sample after it in a recursive filter, and the whole window in the
/// recognizer's normalization.
pub(super) fn sanitize(block: &mut [f32], faults: &mut Faults) {
    for sample in block {
        if !sample.is_finite() {
            *sample = 0.0;
            faults.non_finite_samples += 1;
        } else if sample.abs() > 1.0 {
            *sample = sample.clamp(-1.0, 1.0);
            faults.clipped_samples += 1;
        }
    }
}

/// The block as it is, if all of it can be computed with; otherwise [sanitized](sanitize).
pub(crate) fn usable(block: &[f32]) -> Cow<'_, [f32]> {
    if block.iter().all(|sample| sample.abs() <= 1.0) {
        return Cow::Borrowed(block);
    }
    let mut clean = block.to_vec();
    sanitize(&mut clean, &mut Faults::default());
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_samples_become_silence_and_are_counted_and_the_rest_stays_as_it_is() {
        let mut block = [0.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.5, -7.0, -1.0, 1.0, -0.0];
        let mut faults = Faults::default();
        sanitize(&mut block, &mut faults);
        assert_eq!(block, [0.5, 0.0, 0.0, 0.0, 1.0, -1.0, -1.0, 1.0, -0.0]);
        assert_eq!((faults.non_finite_samples, faults.clipped_samples), (3, 2));
        assert!(faults.is_damaged());
    }

    #[test]
    fn what_is_usable_is_not_copied() {
        assert!(matches!(usable(&[0.5, -1.0, 1.0]), Cow::Borrowed(_)));
        assert_eq!(usable(&[0.5, f32::NAN, 2.0])[..], [0.5, 0.0, 1.0]);
    }
}
