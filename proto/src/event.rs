//! What the guest tells the host. Times are samples at 16 kHz from the start of the decoded window.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use serde::{Deserialize, Serialize};

use crate::compute::Weight;

/// One message from the guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The model is loaded.
    Loaded(ModelInfo),
    /// The language that was detected.
    Language {
        /// ISO 639-1 code.
        code: String,
        /// The model's probability for it, among the candidates, 0..=1.
        probability: f32,
        /// There was enough speech, and it was likely enough, to take the rest for the same
        /// language.
        certain: bool,
    },
    /// A stretch of text of the window; in order of time.
    Segment(Segment),
    /// The window is decoded.
    Decoded {
        /// Probability that the window holds no speech: soft-max at the start-of-transcript
        /// position.
        no_speech: f32,
        /// Encoder passes that were made.
        encodes: u32,
    },
    /// What is thought of an utterance so far. Times count from its start.
    Hypothesis {
        /// Words that are now certain, in addition to those of earlier hypotheses. They do not
        /// change any more.
        committed: Vec<Word>,
        /// Words that may still change; each hypothesis replaces those of the one before.
        tentative: Vec<Word>,
        /// Number of text tokens of the words in `committed`.
        tokens: u32,
        /// First sample that the guest still needs: where the window begins.
        window: u32,
        /// Samples of the utterance that this hypothesis has heard.
        heard: u32,
        /// Probability that the window holds no speech; 0 when it was not asked for.
        no_speech: f32,
        /// Mean log-probability of the text tokens.
        avg_logprob: f32,
        /// Encoder passes that were made.
        encodes: u32,
    },
    /// Answer to [`Request::Score`](crate::Request::Score): one entry for each position, prompt
    /// included.
    Scores {
        /// Most likely next token.
        argmax: Vec<u32>,
        /// Its logit.
        best: Vec<f32>,
        /// The second best logit.
        second: Vec<f32>,
    },
    /// A stage of [`Request::Score`](crate::Request::Score) is done, so that the host can time
    /// each.
    Stage(Stage),
    /// Answer to [`Request::Media`](crate::Request::Media).
    Media(crate::media::Report),
}

/// What is done, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The spectrogram is made.
    Spectrogram,
    /// The encoder has run, and the cross-attention's keys and values are there.
    Encoder,
    /// The decoder has read what comes before the first token.
    Prompt,
}

/// The model, as whisper.cpp read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Rows of the vocabulary.
    pub n_vocab: u32,
    /// Encoder positions: 50 for each second of audio.
    pub n_audio_ctx: u32,
    /// Whether it knows other languages than English.
    pub multilingual: bool,
    /// Version of whisper.cpp inside the guest.
    pub whisper_cpp: String,
    /// The weights that the host may pack, at most [`MAX_WEIGHTS`](crate::compute::MAX_WEIGHTS):
    /// those of [`Kernels::Host`](crate::Kernels::Host), else none.
    pub weights: Vec<Weight>,
    /// Addresses at which what is computed lies, all zero in the snapshot: every decode writes most
    /// of it, so the host may put it on large pages. Empty where there is no such place.
    pub workspace: Range<u32>,
}

/// A stretch of text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// First sample.
    pub start: u32,
    /// Sample after the last.
    pub end: u32,
    /// The text as whisper.cpp put it together, usually with a leading space.
    pub text: String,
    /// Tokens, special ones included.
    pub tokens: Vec<u32>,
    /// Mean log-probability of the text tokens.
    pub avg_logprob: f32,
    /// The words of the text.
    pub words: Vec<Word>,
}

/// A word with its place in time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// First sample.
    pub start: u32,
    /// Sample after the last.
    pub end: u32,
    /// The word without surrounding space; punctuation stays attached.
    pub text: String,
    /// Mean probability of its tokens, 0..=1.
    pub probability: f32,
}
