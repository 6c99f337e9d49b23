//! Words whose places are known, one after another.

use std::ops::Range;

use hearken::Word;
use hearken_measure::{Spread, correct_words};

use super::{FRAME, SpokenWord, labels, power};
use crate::random::Random;

/// Power of the noise under a sentence, in its pauses too: 50 dB below the speech. A room is never
/// silent.
const ROOM_DB: f64 = -76.0;

/// Single words with pauses between.
#[derive(Debug, Clone)]
pub struct Sentence {
    /// 16 kHz, with half a second of the room before and a second after.
    pub samples: Vec<f32>,
    /// The words, and where each is.
    pub words: Vec<(String, Range<u64>)>,
}

/// Errors of word times: distances from the true times of the words that were recognized correctly.
#[derive(Debug, Clone, Default)]
pub struct TimeErrors {
    /// Number of words in the compared sentences.
    pub said: usize,
    /// Errors of the begins of words \[ms\].
    pub starts: Vec<f64>,
    /// Errors of the ends of words \[ms\].
    pub ends: Vec<f64>,
}

impl Sentence {
    /// Joins words with pauses of a length in this range, in ms.
    ///
    /// # Panics
    ///
    /// When the range is empty.
    pub fn join<'a>(
        words: impl IntoIterator<Item = &'a SpokenWord>,
        pause_ms: Range<usize>,
        random: &mut Random,
    ) -> Self {
        let mut sentence = Self { samples: vec![0.0; 8_000], words: Vec::new() };
        for word in words {
            if !sentence.words.is_empty() {
                let ms = pause_ms.start + random.below(pause_ms.len());
                sentence.samples.resize(sentence.samples.len() + ms * 16, 0.0);
            }
            let samples = &word.utterance.samples;
            let labels = labels(samples);
            let first = labels.iter().position(|speech| *speech).unwrap_or(0);
            let last = labels.iter().rposition(|speech| *speech).unwrap_or(0);
            let from = sentence.samples.len() as u64;
            let at = |frame: usize| from + (frame * FRAME) as u64;
            sentence.words.push((word.text.clone(), at(first)..at(last + 1)));
            let gain = (10f64.powf(super::LEVEL_DB / 10.0) / power(samples)).sqrt() as f32;
            sentence.samples.extend(samples.iter().map(|sample| gain * sample));
        }
        sentence.samples.resize(sentence.samples.len() + 16_000, 0.0);
        // Noise of that power, all of whose values are equally likely.
        let peak = (3.0 * 10f64.powf(ROOM_DB / 10.0)).sqrt() as f32;
        sentence.samples.iter_mut().for_each(|sample| *sample += peak * random.sample());
        sentence
    }

    /// Compares the times of the words that were heard with those that are true.
    ///
    /// # Panics
    ///
    /// When times overlap, or are outside of the sentence.
    pub fn compare(&self, heard: &[Word], errors: &mut TimeErrors) {
        let mut before = 0;
        for word in heard {
            assert!(before <= word.start && word.start <= word.end, "not in order: {heard:?}");
            assert!(word.end <= self.samples.len() as u64, "outside: {heard:?}");
            before = word.end;
        }
        let plain =
            |text: &str| text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        let said: Vec<String> = self.words.iter().map(|(text, _)| plain(text)).collect();
        let texts: Vec<String> = heard.iter().map(|word| plain(&word.text)).collect();
        errors.said += said.len();
        for (said, heard_at) in correct_words(&said, &texts) {
            let (place, word) = (&self.words[said].1, &heard[heard_at]);
            let ms = |truth: u64, heard: u64| (heard as f64 - truth as f64) / 16.0;
            errors.starts.push(ms(place.start, word.start));
            errors.ends.push(ms(place.end, word.end));
        }
    }
}

impl TimeErrors {
    /// Sizes of the errors where words begin, in ms.
    pub fn start(&self) -> Option<Spread> {
        Spread::of(self.starts.iter().map(|ms| ms.abs()))
    }

    /// Sizes of the errors where words end, in ms.
    pub fn end(&self) -> Option<Spread> {
        Spread::of(self.ends.iter().map(|ms| ms.abs()))
    }
}
