//! What the host asks of the guest.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Options that are baked into a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadOptions {
    /// Cross-attention heads that align words with time, as (text layer, head), both from 0. Empty: word times
    /// come from whisper.cpp's heuristic over token probabilities instead of dynamic time warping.
    pub alignment_heads: Vec<(u32, u32)>,
    /// What multiplies matrices.
    pub kernels: Kernels,
    /// Longest window of an utterance that goes on, in samples, where the model hears less well than its context says; 0
    /// is as much as its context.
    pub window: u32,
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
}

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Move the ring's samples into the window, decode nothing.
    Drain,
    /// Drain, then decode the whole window once, with fallback, and empty the window.
    Decode(Task),
    /// Drain, then decode what the window holds of an utterance that goes on: greedy, without fallback, behind what is
    /// committed. Words that are certain by [`Task::commit`] are committed; the window slides when it is full. Answered
    /// by [`Event::Hypothesis`](crate::Event::Hypothesis).
    Partial(Task),
    /// As [`Partial`](Self::Partial), at the end of the utterance: with one fallback, and everything is committed.
    Final(Task),
    /// Drain, encode the window from its start, then feed exactly these tokens after the start-of-transcript
    /// sequence and report what the model would have said at each step. Compares builds; empties the window.
    Score {
        /// Language as in [`Task::language`].
        language: Option<String>,
        /// Tokens to force, after `sot`, language and task.
        tokens: Vec<u32>,
    },
}

/// How to decode.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// ISO 639-1 code; `None` detects it. English-only models accept only `en` or `None`.
    pub language: Option<String>,
    /// Translate into English instead of transcribing.
    pub translate: bool,
    /// Text that the decoder is told came before: names, spelling, style.
    pub prompt: Option<String>,
    /// When a word of an utterance that goes on is certain; the first request of an utterance decides.
    pub commit: Commit,
    /// Encodes no more positions than the window of an utterance that goes on needs, with a margin: only for models that
    /// were made for that. A text that repeats itself is heard again with all.
    pub short_context: bool,
    /// How likely a word of an utterance that goes on must be to be believed though no word beside it is: what the model says
    /// where nobody speaks is less likely. From 0, where two hearings that agree are enough, to 1.
    pub alone: f32,
}

/// When a word is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Commit {
    /// When so many hypotheses in a row agree on it (LocalAgreement).
    Agreement {
        /// At least 1.
        hypotheses: u8,
    },
    /// When the decoder did not look at the end of the audio to say it (AlignAtt).
    Attention {
        /// The end, in samples.
        margin: u32,
    },
}

impl Default for Commit {
    fn default() -> Self {
        Self::Agreement { hypotheses: 2 }
    }
}
