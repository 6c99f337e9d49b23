//! Transcripts: text with times.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::SAMPLE_RATE;
use crate::audio::Faults;
use crate::engine::Lost;
use crate::text::sanitize_trimmed;

/// The text of a recording. Times are samples at 16 kHz from the start of the input
/// ([`SAMPLE_RATE`](crate::SAMPLE_RATE) of them a second).
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Transcript {
    /// Language of the decoding; `None` without speech.
    pub language: Option<Language>,
    /// Length of the input.
    pub duration: u64,
    /// Segments, in order of time.
    pub segments: Vec<Segment>,
    /// Speech that could not be recognized; empty unless a guest failed.
    pub lost: Vec<Lost>,
    /// Voice, at least a second of it, in which no words were recognized though it was decoded
    /// again: speech that was missed, or a sound that voice activity takes for speech. Of a
    /// recording without any words, from its first voice to its last, however short.
    pub unrecognized: Vec<Range<u64>>,
    /// The input ended in an error: the text is of the audio before it.
    pub damage: Option<String>,
    /// Defects of the input.
    pub faults: Faults,
    /// The channel, counted from 0, that was taken alone, because averaging the channels would have
    /// cancelled the sound: one is the other upside down.
    pub taken_channel: Option<u16>,
    /// Level of the loudest 20 ms, in decibels of full scale: a sine at full scale has -3. `None`
    /// for silence, and without voice activity.
    pub loudest_db: Option<f32>,
}

impl Transcript {
    /// The whole text, segments joined by single spaces.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for segment in &self.segments {
            if !text.is_empty() && !segment.text.is_empty() {
                text.push(' ');
            }
            text.push_str(&segment.text);
        }
        text
    }
}

/// A language, and how sure the model is of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Language {
    /// ISO 639-1 code.
    pub code: String,
    /// Probability 0..=1 when it was detected; `None` when it was given.
    pub probability: Option<f32>,
}

/// Cause of audio that was not recognized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DropReason {
    /// Speech came faster than it could be recognized, and the backlog was full.
    Overload,
    /// The ring behind the device was full: the machine was too busy to take audio from it.
    Overrun,
    /// The program said that the audio never came.
    Missing,
    /// The recognizer failed as often as it is tried. The error, as one line.
    Failed(String),
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overload => "speech comes faster than it can be recognized",
            Self::Overrun => "the machine was too busy to take it from the device",
            Self::Missing => "the program says that it never came",
            Self::Failed(error) => error,
        })
    }
}

/// A stretch of text, about a sentence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Segment {
    /// First sample.
    pub start: u64,
    /// Sample after the last.
    pub end: u64,
    /// The text, trimmed, without control characters.
    pub text: String,
    /// Words, in order, inside the segment's time.
    pub words: Vec<Word>,
    /// The model's tokens, special ones included.
    pub tokens: Vec<u32>,
    /// Mean log-probability of the text's tokens (natural logarithm; 0 is certainty). `None` for an
    /// utterance of a session, which is put together from many windows.
    pub avg_logprob: Option<f32>,
    /// The model's probability, 0..=1, that its window held no speech. `None` where the text is of
    /// more than one window.
    pub no_speech: Option<f32>,
}

/// A word with its place in time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Word {
    /// First sample.
    pub start: u64,
    /// Sample after the last.
    pub end: u64,
    /// The word with the punctuation attached to it, without control characters.
    pub text: String,
    /// Mean probability of its tokens, 0..=1.
    pub probability: f32,
}

/// Least length of a word, in samples: 20 ms, a step of the decoder's clock.
const SHORTEST_WORD: u64 = SAMPLE_RATE as u64 / 50;

impl Word {
    /// Moves a guest's words to the input's clock: its sample 0 is `origin` there. Whatever the
    /// guest claims, words lie in `range` and in order, each has a length as far as there is room
    /// for it, and their texts are clean.
    pub(crate) fn place(words: Vec<hearken_proto::Word>, origin: u64, range: Range<u64>) -> Vec<Self> {
        let mut placed: Vec<Self> = words
            .into_iter()
            .map(|word| Self {
                start: origin + u64::from(word.start),
                end: origin + u64::from(word.end),
                text: sanitize_trimmed(&word.text),
                probability: probability(word.probability),
            })
            .filter(|word| !word.text.is_empty())
            .collect();
        let room = range.end.saturating_sub(range.start) / (placed.len() as u64).max(1);
        let shortest = SHORTEST_WORD.min(room);
        let mut earliest = range.start.min(range.end);
        for word in &mut placed {
            word.start = word.start.min(range.end).max(earliest);
            word.end = word.end.min(range.end).max(word.start + shortest);
            earliest = word.end;
        }
        // A word that was pushed out at the end goes back in, and pushes the words before it.
        let mut latest = range.end;
        for word in placed.iter_mut().rev() {
            word.end = word.end.min(latest);
            word.start = word.start.min(word.end.saturating_sub(shortest));
            latest = word.start;
        }
        placed
    }
}

/// A probability that a guest states.
pub(crate) fn probability(stated: f32) -> f32 {
    if stated.is_finite() { stated.clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lie_where_they_may_whatever_a_guest_says() {
        let word = |start, end, text: &str, probability| hearken_proto::Word {
            start,
            end,
            text: text.to_owned(),
            probability,
        };
        let said = vec![
            word(10, 20, " one ", 0.5),
            word(5, u32::MAX, "two\u{1b}", f32::NAN),
            word(0, 0, "\u{7}", 0.1),
            word(900, 30, "three", 7.0),
        ];
        let placed = Word::place(said.clone(), 1_000, 1_012..1_050);
        let at = |word: &Word| (word.start, word.end, word.text.clone(), word.probability);
        // There is room for 12 samples each.
        let expected = [(1_012, 1_024, "one", 0.5), (1_024, 1_038, "two", 0.0), (1_038, 1_050, "three", 1.0)];
        assert_eq!(
            placed.iter().map(at).collect::<Vec<_>>(),
            expected.map(|(start, end, text, probability)| (start, end, text.to_owned(), probability))
        );
        assert!(
            Word::place(said, 1_000, 1_050..1_050)
                .iter()
                .all(|word| (word.start, word.end) == (1_050, 1_050))
        );
    }

    #[test]
    fn every_word_has_a_length() {
        let word = |start, end| hearken_proto::Word { start, end, text: "a".to_owned(), probability: 0.5 };
        let said = vec![word(0, 8_000), word(8_000, 8_000), word(8_000, 8_000), word(8_000, 8_100)];
        let placed = Word::place(said, 0, 0..8_200);
        let times: Vec<(u64, u64)> = placed.iter().map(|word| (word.start, word.end)).collect();
        assert_eq!(times, [(0, 7_240), (7_240, 7_560), (7_560, 7_880), (7_880, 8_200)]);
    }
}
