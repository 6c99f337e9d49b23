//! Samples that are safe to compute with.

use std::borrow::Cow;

use super::Faults;

/// Number of samples that are looked at together.
const TOGETHER: usize = 256;

/// The sample if it can be computed with: 0 for NaN and infinity, the rest clamped to [-1, 1].
pub(crate) fn usable_sample(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
}

/// Replaces NaN and infinite samples by 0, clamps the rest to [-1, 1], and counts both.
///
/// One NaN would poison every sample after it in a recursive filter, and the whole window in the
/// recognizer's normalization.
pub(super) fn sanitize(block: &mut [f32], faults: &mut Faults) {
    for samples in block.chunks_mut(TOGETHER) {
        if are_usable(samples) {
            continue;
        }
        for sample in samples {
            faults.non_finite_samples += u64::from(!sample.is_finite());
            faults.clipped_samples += u64::from(sample.is_finite() && sample.abs() > 1.0);
            *sample = usable_sample(*sample);
        }
    }
}

/// Returns true if all samples can be computed with. It looks at all of them, whatever the first
/// ones are: such a loop becomes vector instructions.
fn are_usable(samples: &[f32]) -> bool {
    samples.iter().fold(true, |all, sample| all & (sample.abs() <= 1.0))
}

/// The block as it is, if all of it can be computed with; otherwise [sanitized](sanitize).
pub(crate) fn usable(block: &[f32]) -> Cow<'_, [f32]> {
    if block.chunks(TOGETHER).all(are_usable) {
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
        // Also behind many that are usable.
        let mut block = vec![0.25; 3 * TOGETHER + 1];
        block[3 * TOGETHER] = f32::NAN;
        sanitize(&mut block, &mut faults);
        assert_eq!((block[3 * TOGETHER], faults.non_finite_samples), (0.0, 4));
    }

    #[test]
    fn usable_samples_are_not_copied() {
        assert!(matches!(usable(&[0.5, -1.0, 1.0]), Cow::Borrowed(_)));
        assert_eq!(usable(&[0.5, f32::NAN, 2.0])[..], [0.5, 0.0, 1.0]);
    }
}
