//! The word error rates that are allowed. What was measured when they were set stands beside each.

/// Word error rate of files, in per cent of the words.
pub(crate) struct Files {
    pub(crate) model: &'static str,
    /// On Debian's English prompts, joined.
    pub(crate) prompts: f64,
    /// On LibriSpeech test-clean.
    pub(crate) librispeech: f64,
}

pub(crate) const FILES: [Files; 2] = [
    Files { model: "tiny.en", prompts: 9.0, librispeech: 7.5 },
    Files { model: "base", prompts: 9.0, librispeech: 6.5 },
];

/// How much more of the words may be wrong in a stream than in a file, in percentage points.
pub(crate) const STREAM_ERRORS: f64 = 1.0;

/// How much more of the words may be missing, in percentage points: a stream must not lose speech.
pub(crate) const STREAM_MISSING: f64 = 0.5;
