//! Utterances whose places are known, in noise of a known level. All audio is 16 kHz mono.
//!
//! The labels are made from the clean speech, by its level. A frame of 10 ms is speech if its power
//! is within 30 dB of the utterance's loudest 100 ms, or if it lies in a pause of at most 100 ms,
//! which is how long a stop consonant closes. A stretch of such frames that nowhere comes within 20
//! dB has no vowel: it is a breath or a smack, and no speech.

mod noise;
mod sentence;
mod utterances;

use std::ops::Range;

pub use self::noise::{Noise, babble};
pub use self::sentence::{Sentence, TimeErrors};
pub use self::utterances::{
    SpokenWord, Utterance, digits_of, folder, read, recordings, synthesized, whole, words_of,
};
use crate::random::Random;

/// Samples of a frame of 10 ms: what labels are made of.
pub const FRAME: usize = 160;
/// Frames of silence within a word, at most.
const CLOSURE: usize = 10;
/// Active level of all utterances in a scene, in dB of full scale: what ITU-T's tests of speech
/// have.
pub const LEVEL_DB: f64 = -26.0;

/// Utterances with silence between them.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Clean speech; the pauses are zeros.
    pub clean: Vec<f32>,
    /// From the first to the last speech of each utterance.
    pub utterances: Vec<Range<usize>>,
    /// True for each frame that is speech.
    pub frames: Vec<bool>,
}

impl Scene {
    /// Joins utterances, each at [`LEVEL_DB`], with pauses of a length in this range in ms: before,
    /// between and after.
    ///
    /// # Panics
    ///
    /// When the range is empty.
    pub fn join<'a>(
        utterances: impl IntoIterator<Item = &'a Utterance>,
        pause_ms: Range<usize>,
        random: &mut Random,
    ) -> Self {
        let mut scene = Self { clean: Vec::new(), utterances: Vec::new(), frames: Vec::new() };
        let mut pause = |clean: &mut Vec<f32>| {
            let ms = pause_ms.start + random.below(pause_ms.len());
            clean.resize((clean.len() + ms * 16).next_multiple_of(FRAME), 0.0);
        };
        pause(&mut scene.clean);
        for utterance in utterances {
            let labels = labels(&utterance.samples);
            let gain = (db_to_power(LEVEL_DB) / active_power(&utterance.samples, &labels)).sqrt() as f32;
            let from = scene.clean.len();
            scene.clean.extend(utterance.samples.iter().map(|sample| sample * gain));
            let first = labels.iter().position(|speech| *speech).expect("an utterance is no silence");
            let last = labels.iter().rposition(|speech| *speech).unwrap_or(first);
            scene.utterances.push(from + first * FRAME..from + (last + 1) * FRAME);
            scene.frames.resize(from / FRAME, false);
            scene.frames.extend(labels);
            pause(&mut scene.clean);
        }
        scene.frames.resize(scene.clean.len() / FRAME, false);
        scene
    }

    /// Mixes the scene with noise `snr_db` dB below the speech's active level; the noise begins
    /// anew when it is over.
    pub fn with_noise(&self, noise: &Noise, snr_db: f64) -> Vec<f32> {
        let gain = (db_to_power(LEVEL_DB - snr_db) / power(&noise.samples)).sqrt() as f32;
        self.clean
            .iter()
            .zip(noise.samples.iter().cycle())
            .map(|(clean, noise)| (clean + gain * noise).clamp(-1.0, 1.0))
            .collect()
    }
}

/// Labels the frames of an utterance that are speech.
pub fn labels(samples: &[f32]) -> Vec<bool> {
    let loudest = loudest(samples);
    let frames: Vec<f64> = samples.chunks(FRAME).map(power).collect();
    let mut labels = vec![false; frames.len()];
    let within = |frame: usize, ratio: f64| frames[frame] > 0.0 && frames[frame] >= loudest * ratio;
    let audible: Vec<usize> = (0..frames.len()).filter(|frame| within(*frame, 1e-3)).collect();
    for stretch in audible.chunk_by(|one, other| other - one <= CLOSURE + 1) {
        if stretch.iter().any(|frame| within(*frame, 1e-2)) {
            labels[stretch[0]..=stretch[stretch.len() - 1]].fill(true);
        }
    }
    labels
}

/// Power of the loudest 100 ms, about a syllable.
fn loudest(samples: &[f32]) -> f64 {
    let frames: Vec<f64> = samples.chunks(FRAME).map(power).collect();
    let syllables = frames.windows(10.min(frames.len()).max(1));
    syllables.map(|frames| frames.iter().sum::<f64>() / frames.len() as f64).fold(0.0, f64::max)
}

/// Mean square.
pub fn power(samples: &[f32]) -> f64 {
    samples.iter().map(|&sample| f64::from(sample) * f64::from(sample)).sum::<f64>()
        / samples.len().max(1) as f64
}

/// Mean square of the frames that are speech.
fn active_power(samples: &[f32], labels: &[bool]) -> f64 {
    let speech: Vec<f32> = samples
        .chunks(FRAME)
        .zip(labels)
        .filter(|(_, speech)| **speech)
        .flat_map(|(frame, _)| frame.iter().copied())
        .collect();
    power(&speech)
}

fn db_to_power(db: f64) -> f64 {
    10f64.powf(db / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(ms: usize, amplitude: f32) -> Vec<f32> {
        (0..ms * 16)
            .map(|n| amplitude * (n as f32 * 440.0 * std::f32::consts::TAU / 16_000.0).sin())
            .collect()
    }

    fn utterance(parts: &[Vec<f32>]) -> Utterance {
        Utterance { name: "tones".to_owned(), samples: parts.concat() }
    }

    #[test]
    fn labels_are_where_the_sound_is_and_short_pauses_belong_to_it() {
        let parts =
            [tone(50, 0.0), tone(200, 0.1), tone(100, 0.0), tone(200, 0.1), tone(110, 0.0), tone(50, 0.1)];
        let labels = labels(&parts.concat());
        let expected = [(5, false), (50, true), (11, false), (5, true)];
        let expected: Vec<bool> = expected.iter().flat_map(|&(n, speech)| vec![speech; n]).collect();
        assert_eq!(labels, expected);
    }

    #[test]
    fn places_levels_and_noise_are_as_asked_for() {
        let quiet = utterance(&[tone(100, 0.0), tone(500, 0.01), tone(100, 0.0)]);
        let loud = utterance(&[tone(300, 0.7)]);
        let scene = Scene::join([&quiet, &loud], 1_000..2_000, &mut Random::new(1));
        assert_eq!(scene.utterances.len(), 2);
        assert_eq!(scene.frames.len() * FRAME, scene.clean.len());
        for place in &scene.utterances {
            let level = 10.0 * power(&scene.clean[place.clone()]).log10();
            assert!((level - LEVEL_DB).abs() < 0.1, "{level}");
            assert!(scene.frames[place.start / FRAME..place.end / FRAME].iter().all(|speech| *speech));
        }
        assert_eq!(scene.frames.iter().filter(|speech| **speech).count(), 80);
        let noise = Noise::white(1);
        let noisy = scene.with_noise(&noise, 10.0);
        let rest: Vec<f32> = noisy.iter().zip(&scene.clean).map(|(noisy, clean)| noisy - clean).collect();
        let level = 10.0 * power(&rest).log10();
        assert!((level - LEVEL_DB + 10.0).abs() < 0.2, "{level}");
    }
}
