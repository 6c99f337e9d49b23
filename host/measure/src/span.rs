//! Begin and end of speech in a recording, by its level.

use std::ops::Range;

use hearken::SAMPLE_RATE;

/// 10 ms.
const FRAME: usize = SAMPLE_RATE as usize / 100;
/// Frames over which the speech level is taken: 100 ms, about a syllable.
const SYLLABLE: usize = 10;
/// Speech is within this of the speech level: 30 dB, as a ratio of powers.
const RANGE: f64 = 1e-3;
/// A recording that nowhere has more than this power is silence: -70 dB of full scale.
const SILENCE: f64 = 1e-7;

/// The samples from the first to the last frame of 10 ms whose power is within 30 dB of the loudest
/// 100 ms; `None` for silence (below -70 dB of full scale). `samples` are mono at 16 kHz.
///
/// The result is as good as the level can tell: a soft last consonant lies outside, a noise after
/// the last word inside, and where noise is within 30 dB of the speech the span is the whole
/// recording.
pub fn speech_span(samples: &[f32]) -> Option<Range<u64>> {
    let power = |samples: &[f32]| {
        samples.iter().map(|&sample| f64::from(sample) * f64::from(sample)).sum::<f64>()
            / samples.len() as f64
    };
    let frames: Vec<f64> = samples.chunks(FRAME).map(power).collect();
    let syllables = frames.windows(SYLLABLE.min(frames.len()).max(1));
    let level = syllables.map(|frames| frames.iter().sum::<f64>() / frames.len() as f64).fold(0.0, f64::max);
    let loud = |power: &f64| *power >= level * RANGE;
    let first = frames.iter().position(loud).filter(|_| level > SILENCE)?;
    let last = frames.iter().rposition(loud)?;
    Some((first * FRAME) as u64..((last + 1) * FRAME).min(samples.len()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 440 Hz tone of this length and amplitude.
    fn tone(ms: usize, amplitude: f32) -> Vec<f32> {
        (0..ms * 16)
            .map(|n| amplitude * (n as f32 * 440.0 * std::f32::consts::TAU / 16_000.0).sin())
            .collect()
    }

    #[test]
    fn it_is_where_the_sound_is() {
        let audio =
            [tone(500, 0.001), tone(300, 0.5), tone(100, 0.0), tone(200, 0.05), tone(700, 0.001)].concat();
        assert_eq!(speech_span(&audio), Some(500 * 16..1100 * 16));
        let softly: Vec<f32> = audio.iter().map(|sample| sample / 100.0).collect();
        assert_eq!(speech_span(&softly), Some(500 * 16..1100 * 16));
    }

    #[test]
    fn silence_has_none_and_the_shortest_sound_has() {
        assert_eq!(speech_span(&[]), None);
        assert_eq!(speech_span(&[0.0; 16_000]), None);
        assert_eq!(speech_span(&tone(1000, 0.0001)), None);
        assert_eq!(speech_span(&tone(5, 0.5)), Some(0..80));
    }
}
