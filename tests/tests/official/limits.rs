//! The word error rates that are allowed. What was measured when they were set stands beside each.

use hearken_measure::Errors;
use serde_json::Value;

/// Word error rate of files, in per cent of the words.
pub(crate) struct Files {
    pub(crate) model: &'static str,
    /// On Debian's English prompts, joined.
    pub(crate) prompts: f64,
    /// On LibriSpeech test-clean.
    pub(crate) librispeech: f64,
}

/// Measured: tiny.en 2.2 and 8.3, base 1.9 and 8.3. Some 250 words of LibriSpeech: three of them
/// are 1.2 points.
pub(crate) const FILES: [Files; 2] = [
    Files { model: "tiny.en", prompts: 4.0, librispeech: 9.5 },
    Files { model: "base", prompts: 3.5, librispeech: 9.5 },
];

/// Maximum excess of wrong words in a stream over a file [percentage points], on LibriSpeech.
pub(crate) const STREAM_ERRORS: f64 = 1.0;

/// The same of prompts: each is an utterance of its own there, and in a file others stand beside
/// it. Measured: tiny.en 1.2, base 1.5, of 580 words.
pub(crate) const STREAM_PROMPT_ERRORS: f64 = 3.0;

/// Maximum excess of missing words [percentage points]: a stream must not lose speech. Of 580 words
/// of prompts three are half a point.
const STREAM_MISSING: f64 = 0.9;

/// Wrong and missing words, in per cent of the words of the reference.
#[derive(Clone, Copy)]
pub(crate) struct Rates {
    wrong: f64,
    missing: f64,
    words: u64,
}

impl Rates {
    pub(crate) fn of(errors: Errors) -> Self {
        let of_all = |count: u64| 100.0 * count as f64 / errors.reference as f64;
        Self { wrong: of_all(errors.edits()), missing: of_all(errors.deletions), words: errors.reference }
    }

    /// As `hearken eval --json` writes them.
    pub(crate) fn read(wer: &Value) -> Self {
        let words = wer["words"].as_u64().expect("a count");
        let missing = wer["deletions"].as_f64().expect("a count");
        let wrong = wer["rate"].as_f64().expect("a rate");
        Self { wrong: 100.0 * wrong, missing: 100.0 * missing / words as f64, words }
    }
}

/// Holds files to a limit, and streams of the same recordings to an excess over the files.
pub(crate) fn hold(what: &str, model: &str, (limit, file): (f64, Rates), (excess, stream): (f64, Rates)) {
    println!(
        "{model}, {what}, {} words: {:.1} % wrong in files ({:.1} % missing), {:.1} % in streams ({:.1} % missing)",
        file.words, file.wrong, file.missing, stream.wrong, stream.missing
    );
    assert!(file.wrong <= limit, "{model}, {what}: more than {limit} % of the words of files are wrong");
    assert!(
        stream.wrong <= file.wrong + excess && stream.missing <= file.missing + STREAM_MISSING,
        "{model}, {what}: a stream has more than {excess} points of wrong or {STREAM_MISSING} of missing words more than files"
    );
}
