//! Recordings that are made when they are needed.

use std::sync::OnceLock;

use hearken_tests::speech::{Recording, espeak};
use hearken_tests::wav;

/// Words of [`speech`].
pub(crate) const WORDS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

/// Synthetic speech at 16 kHz, with silence around it.
pub(crate) fn speech() -> &'static [f32] {
    static SPEECH: OnceLock<Vec<f32>> = OnceLock::new();
    SPEECH.get_or_init(|| {
        let Recording { samples, format, .. } = espeak("en", 175, &WORDS.join(" "));
        let silence = vec![0.0; 8000];
        [silence.clone(), resampled(&samples, format.sample_rate, 16_000), silence].concat()
    })
}

/// The mean of what each new sample covers, or the straight line between neighbors: good enough to
/// be understood.
pub(crate) fn resampled(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    let step = f64::from(from) / f64::from(to);
    let at = |position: f64| {
        let index = position as usize;
        let part = (position - index as f64) as f32;
        let next = samples[(index + 1).min(samples.len() - 1)];
        samples[index.min(samples.len() - 1)] * (1.0 - part) + next * part
    };
    let parts = (step.ceil() as u32 * 4).max(1);
    (0..(samples.len() as f64 / step) as usize)
        .map(|index| {
            let sum: f32 =
                (0..parts).map(|part| at((index as f64 + f64::from(part) / f64::from(parts)) * step)).sum();
            sum / parts as f32
        })
        .collect()
}

/// A WAV file in which each channel has these samples, as 16-bit integers.
pub(crate) fn wav(samples: &[f32], rate: u32, channels: u16) -> Vec<u8> {
    let frames: Vec<f32> = samples.iter().flat_map(|&s| std::iter::repeat_n(s, channels.into())).collect();
    wav::pcm16(&frames, rate, channels)
}
