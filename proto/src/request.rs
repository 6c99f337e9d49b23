//! What the host asks of the guest.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::Phrase;

/// Options that are baked into a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadOptions {
    /// Cross-attention heads that align words with time, as (text layer, head), both from 0. Empty:
    /// those of OpenAI's model of the same shape, else all of the upper half of the layers.
    pub alignment_heads: Vec<(u32, u32)>,
    /// What multiplies matrices.
    pub kernels: Kernels,
    /// Longest window of an utterance that goes on, in samples, where the model hears less well
    /// than its context says; 0 is as much as its context.
    pub window: u32,
    /// The encoder computes the positions that hold audio, and takes keys and values of the padding
    /// behind them from a cache that [`Request::LearnPadding`] fills.
    pub padding: bool,
}

/// What multiplies matrices, and does what goes with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kernels {
    /// ggml's own WebAssembly kernels: slow, the reference in tests.
    Stock,
    /// The guest's, inside the sandbox.
    #[default]
    Guest,
    /// The host's, on the guest's memory ([`compute`](crate::compute)).
    Host,
    /// The guest's, of several instances among which the host divides what it is asked for, as a
    /// browser's page does. Memory is spared as with [`Guest`](Self::Guest).
    Pool,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Move the ring's samples into the window, decode nothing.
    Drain,
    /// Drain, then decode the whole window once, with fallback, and empty the window.
    Decode(Task),
    /// Drain, then decode what the window holds of an utterance that goes on: greedy, without
    /// fallback, behind what is committed. Words that are certain by [`Task::commit`] are
    /// committed; the window slides when it is full. Answered by
    /// [`Event::Hypothesis`](crate::Event::Hypothesis).
    Partial(Task),
    /// As [`Partial`](Self::Partial), at the end of the utterance: with one fallback, and
    /// everything is committed.
    Final(Task),
    /// Drain, then compute the [padding](LoadOptions::padding) behind the window's beginnings of
    /// several lengths, and empty the window. Only while the snapshot is made.
    LearnPadding,
    /// Drain, encode the window from its start, then feed exactly these tokens after the
    /// start-of-transcript sequence and report what the model would have said at each step.
    /// Compares builds; empties the window.
    Score {
        /// Language as in [`Task::language`].
        language: Option<String>,
        /// Tokens to force, after `sot`, language and task.
        tokens: Vec<u32>,
    },
    /// Drain, detect the language of the window, and empty it. Answered by
    /// [`Event::Language`](crate::Event::Language).
    Detect(Task),
    /// For the guest that decodes recordings, which knows no other request. Answered by
    /// [`Event::Media`](crate::Event::Media).
    Media(crate::media::Request),
    /// Forget all that was heard, as a fresh instance has: for hosts that keep one instance for
    /// many utterances.
    Forget,
}

/// How to decode.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// ISO 639-1 code; `None` detects it. English-only models accept only `en` or `None`.
    pub language: Option<String>,
    /// Languages to detect among, as ISO 639-1 codes; empty for all that the model knows.
    pub candidates: Vec<String>,
    /// The language that speech is taken for until detection is sure of another one.
    pub usual: Option<String>,
    /// Translate into English instead of transcribing.
    pub translate: bool,
    /// Text that the decoder is told came before: names, spelling, style.
    pub prompt: Option<String>,
    /// Phrases whose tokens are raised: at most [`MAX_PHRASES`](crate::MAX_PHRASES), of
    /// [`MAX_BIAS_BYTES`](crate::MAX_BIAS_BYTES) together. What is beyond that is
    /// ignored.
    pub bias: Vec<Phrase>,
    /// When a word of an utterance that goes on is certain; the first request of an utterance
    /// decides.
    pub commit: Commit,
    /// Keeps annotations such as `[Music]` or `(laughs)`. Otherwise tokens that begin them are
    /// suppressed (OpenAI's list of non-speech tokens), and what still comes in brackets is
    /// dropped.
    pub annotations: bool,
    /// Computes the encoder's whole context, though there is a cache of the padding.
    pub full_context: bool,
    /// The decoder says timestamps in an utterance that goes on.
    pub timestamps: bool,
    /// Stretches of the utterance in which voice was heard, in order, as first sample and sample
    /// after the last. They count from the utterance's start in this sandbox. Empty where nobody
    /// has looked.
    pub voice: Vec<(u32, u32)>,
    /// The speaker has paused: all words of the utterance so far are certain, and decoded with the
    /// effort of a final text.
    pub pause: bool,
    /// Text stays as the decoder says it: no word of an utterance is dropped because the model is
    /// unsure of it, and voice without words is not decoded again.
    pub verbatim: bool,
    /// How likely a word of an utterance that goes on must be to be believed though no word beside
    /// it is: what the model says where nobody speaks is less likely. From 0, where two hearings
    /// that agree are enough, to 1.
    pub alone: f32,
    /// The same for an utterance that is over within three seconds: somebody may have said one
    /// word.
    pub alone_briefly: f32,
    /// How likely the words of an utterance must be on average (the geometric mean of their
    /// probabilities, 0 to 1): what a model says where nobody speaks is less likely, though some
    /// words of it follow from others.
    pub plausible: f32,
}

/// When a word is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Commit {
    /// When so many hypotheses in a row agree on it and on all before it (LocalAgreement); more for
    /// words that the model is not sure of.
    Agreement {
        /// For a word all of whose tokens are likely; at least 1.
        hypotheses: u8,
        /// For a word with a token less likely than `likely`; at least `hypotheses`.
        doubtful: u8,
        /// Percent, 0 to 100.
        likely: u8,
        /// In the first three seconds of an utterance, where a hypothesis has heard little, n of
        /// them that agree count only if n - 1 times so many samples lie between the first and the
        /// last.
        early: u32,
        /// No word is certain that the decoder said looking at the last so many samples (as with
        /// AlignAtt).
        margin: u32,
    },
    /// When the decoder did not look at the end of the audio to say it (AlignAtt).
    Attention {
        /// The end, in samples.
        margin: u32,
    },
}

impl Default for Commit {
    fn default() -> Self {
        Self::Agreement { hypotheses: 2, doubtful: 2, likely: 0, early: 0, margin: 0 }
    }
}
