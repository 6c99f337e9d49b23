//! What was said, when.

use crate::audio::Faults;
use crate::engine::Lost;

/// The text of a recording. Times are samples at 16 kHz from the start of the input
/// ([`SAMPLE_RATE`](crate::SAMPLE_RATE) of them a second).
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Transcript {
    /// The language it was decoded in; `None` when nothing was said.
    pub language: Option<Language>,
    /// Length of the input.
    pub duration: u64,
    /// What was said, in order of time.
    pub segments: Vec<Segment>,
    /// Speech that could not be recognised; empty unless a guest failed.
    pub lost: Vec<Lost>,
    /// The input ended in an error: the text is of what came before it.
    pub damage: Option<String>,
    /// What the input lacked, besides.
    pub faults: Faults,
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
#[derive(Debug, Clone, PartialEq)]
pub struct Language {
    /// ISO 639-1 code.
    pub code: String,
    /// Probability 0..=1 when it was detected; `None` when it was given.
    pub probability: Option<f32>,
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
    /// Its words, in order, inside the segment's time.
    pub words: Vec<Word>,
    /// The model's tokens, special ones included.
    pub tokens: Vec<u32>,
    /// Mean log-probability of the text's tokens (natural logarithm; 0 is certainty).
    pub avg_logprob: f32,
    /// The model's probability, 0..=1, that its window held no speech.
    pub no_speech: f32,
}

/// A word with its place in time.
#[derive(Debug, Clone, PartialEq, Default)]
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
