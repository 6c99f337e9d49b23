//! Windows: the audio that one decode hears, where it may be cut, and the thresholds by which its
//! text is judged.
//!
//! Host and guest must agree on these: the host feeds a running utterance as the guest's window
//! holds it, and each of them cuts and judges, the host recordings, the guest streams.

use core::ops::Range;

/// Samples for each position of the encoder: 20 ms.
pub const SAMPLES_PER_POSITION: u32 = 2 * crate::HOP_LENGTH;

/// Length of a running utterance's window, in strides. It slides when there is room for one stride
/// only, so that the next step still fits; the host never feeds more than a stride beyond that.
pub const STRIDES: usize = 5;

/// A window in which nobody speaks with at least this probability is silent, if its text is
/// unlikely, too ([`LOGPROB`]): `no_speech_threshold` of OpenAI's implementation.
pub const NO_SPEECH: f32 = 0.6;

/// Text whose tokens have a lower mean log-probability is unlikely: `logprob_threshold` of OpenAI's
/// implementation.
pub const LOGPROB: f32 = -1.0;

/// Samples over which energy is summed when a cut is looked for: 50 ms, longer than a pitch period
/// and shorter than a syllable.
pub const SMOOTHING: usize = crate::SAMPLE_RATE as usize / 20;

/// Finds a place to cut `audio` where nobody speaks: the center of the [`SMOOTHING`] samples with
/// the least energy among those that begin in `starts`, of which each `step`th is looked at. Fewer
/// samples count where there are no more.
pub fn quietest(audio: &[f32], starts: Range<usize>, step: usize) -> usize {
    let from = starts.start.min(audio.len());
    let width = SMOOTHING.min(audio.len() - from);
    let energy = |samples: &[f32]| -> f64 {
        samples.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum()
    };
    let mut sum = energy(&audio[from..from + width]);
    let (mut least, mut best) = (sum, from);
    let moved = step.min(width);
    for start in (from..starts.end.min(audio.len() - width + 1)).step_by(step).skip(1) {
        let (before, end) = (start - step, start + width);
        sum += energy(&audio[end - moved..end]) - energy(&audio[before..before + moved]);
        if sum < least {
            (least, best) = (sum, start);
        }
    }
    best + width / 2
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn the_quietest_place_is_found_wherever_it_is() {
        let len = 10 * SMOOTHING;
        for gap in [0, 1_000, 4_321, len - SMOOTHING] {
            let audio: Vec<f32> =
                (0..len).map(|i| if (gap..gap + SMOOTHING).contains(&i) { 0.0 } else { 0.5 }).collect();
            assert_eq!(quietest(&audio, 0..len, 1), gap + SMOOTHING / 2);
            for step in [160, SMOOTHING, 2 * SMOOTHING] {
                let cut = quietest(&audio, 0..len, step);
                let exact = |start: usize| audio[start..start + SMOOTHING].iter().map(|x| x * x).sum::<f32>();
                let least = (0..=len - SMOOTHING).step_by(step).map(exact).fold(f32::MAX, f32::min);
                assert!((exact(cut - SMOOTHING / 2) - least).abs() < 1e-3, "{gap}, {step}: {cut}");
            }
        }
    }

    #[test]
    fn only_the_starts_count() {
        let mut audio = [0.5; 6 * SMOOTHING];
        audio[..SMOOTHING].fill(0.0);
        audio[5 * SMOOTHING..].fill(0.1);
        assert_eq!(quietest(&audio, SMOOTHING..6 * SMOOTHING, 1), 5 * SMOOTHING + SMOOTHING / 2);
        assert_eq!(quietest(&audio, SMOOTHING..SMOOTHING, 1), SMOOTHING + SMOOTHING / 2, "none is the first");
    }

    #[test]
    fn little_audio_is_cut_in_the_middle() {
        assert_eq!(quietest(&[0.5; 10], 4..10, 1), 7);
        assert_eq!(quietest(&[0.5; 10], 12..20, 160), 10);
        assert_eq!(quietest(&[], 0..0, 1), 0);
    }
}
