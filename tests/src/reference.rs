//! Native whisper.cpp, left to itself, as what hearken has to say.

use std::fmt::Write as _;
use std::thread;

use hearken::{Model, TranscribeOptions, Transcript};
use hearken_native::Native;

use crate::recorded::Records;
use crate::rounding;
use crate::speech::Recording;

/// The thresholds by which hearken takes a window for silence (OpenAI's), whatever words were found
/// in it.
const NO_SPEECH: f32 = 0.6;
const LOGPROB: f32 = -1.0;

/// A model, loaded natively.
pub struct Reference<'a> {
    model: &'a [u8],
    language: &'a str,
    native: Native,
    records: Option<Records>,
}

/// Result of native whisper.cpp for a recording, chunk by chunk, without the chunks that hearken's
/// rule takes for silence.
struct Expected {
    text: Vec<String>,
    chunks: Vec<(Vec<f32>, Vec<u32>)>,
    /// Segments that were silence by that rule.
    silent: usize,
    /// Tokens were drawn at random in some chunk. The generator is the C++ standard's, but what a
    /// draw makes of its numbers is each library's own, so that the text may differ without either
    /// being wrong.
    fell_back: bool,
    /// Chunks that native whisper.cpp decoded here; the results of the others were recorded.
    live: usize,
}

/// Counts of compared and of skipped chunks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Recordings whose text is the same.
    pub recordings: usize,
    /// Tokens of these.
    pub tokens: usize,
    /// Segments that the rule takes for silence, and hearken did too.
    pub silent: usize,
    /// The same text, but another time where native whisper.cpp itself is undecided.
    pub undecided: usize,
    /// Not compared: native whisper.cpp fell back to drawing tokens at random.
    pub skipped: usize,
    /// Chunks that native whisper.cpp decoded in this run, rather than when it was recorded.
    pub live: usize,
}

impl Expected {
    fn tokens(&self) -> Vec<u32> {
        self.chunks.iter().flat_map(|(_, tokens)| tokens).copied().collect()
    }

    /// True if a transcript has the same text and the same tokens.
    fn says(&self, transcript: &Transcript) -> bool {
        self.text.join(" ") == transcript.text() && self.tokens() == tokens(transcript)
    }
}

/// All tokens of a transcript.
fn tokens(transcript: &Transcript) -> Vec<u32> {
    transcript.segments.iter().flat_map(|segment| &segment.tokens).copied().collect()
}

impl<'a> Reference<'a> {
    /// Loads `model`, to hear `language` (ISO 639-1).
    ///
    /// # Panics
    ///
    /// When whisper.cpp refuses the model.
    pub fn new(model: &'a [u8], language: &'a str) -> Self {
        Self { model, language, native: Native::load(model), records: None }
    }

    /// Takes native whisper.cpp's results from the records of that name, where they are there.
    /// Some chunks are decoded natively all the same, and so is any recording of which hearken
    /// says something else.
    #[must_use]
    pub fn with_records(mut self, name: &str) -> Self {
        self.records = Some(Records::open(name, self.model, self.language));
        self
    }

    /// Holds what hearken transcribes to what whisper.cpp says, text and tokens; prints the tally.
    ///
    /// # Panics
    ///
    /// When they differ, or too little could be compared.
    pub fn hold(&self, what: &str, model: &Model, recordings: &[Recording]) -> Tally {
        let options = TranscribeOptions::new().language(self.language.to_owned()).verbatim(true);
        let longest = model.chunk_samples();
        let (expected, found) = thread::scope(|scope| {
            let expect = |recording: &Recording| self.expect(recording, longest, self.records.as_ref());
            let expected = scope.spawn(move || recordings.iter().map(expect).collect::<Vec<_>>());
            let transcribe = |recording: &Recording| {
                model.transcribe(&mut recording.source(), &options, |_| {}).expect("a transcript")
            };
            let found: Vec<Transcript> = recordings.iter().map(transcribe).collect();
            (expected.join().expect("the reference"), found)
        });

        let (mut tally, mut wrong) = (Tally::default(), String::new());
        for ((recording, mut expected), transcript) in recordings.iter().zip(expected).zip(found) {
            assert!(transcript.lost.is_empty(), "{}: {:?}", recording.name, transcript.lost);
            let recorded = expected.live < expected.chunks.len();
            if recorded && !expected.says(&transcript) && self.undecided(recording, &transcript).is_none() {
                expected = self.expect(recording, longest, None);
            }
            tally.live += expected.live;
            if expected.fell_back {
                tally.skipped += 1;
            } else if let Err(difference) = self.compare(recording, &expected, &transcript, &mut tally) {
                let _ = writeln!(wrong, "{}: {difference}", recording.name);
            }
        }
        if let Some(records) = &self.records {
            records.save();
        }
        println!("{what}: {tally:?}");
        assert!(wrong.is_empty(), "{what}: {tally:?}, but\n{wrong}");
        assert!(tally.skipped * 8 <= recordings.len().max(8), "{what}: too little was compared: {tally:?}");
        assert!(
            tally.undecided * 8 <= recordings.len().max(8),
            "{what}: too much hangs on rounding: {tally:?}"
        );
        tally
    }

    fn expect(&self, recording: &Recording, longest: usize, records: Option<&Records>) -> Expected {
        let mut expected =
            Expected { text: Vec::new(), chunks: Vec::new(), silent: 0, fell_back: false, live: 0 };
        for chunk in recording.chunks(longest) {
            let recorded = records.and_then(|records| records.find(recording, &chunk));
            let heard = recorded.unwrap_or_else(|| {
                let heard = self.native.state().hear_in(self.language, &chunk.samples);
                expected.live += 1;
                if let Some(records) = records {
                    records.add(recording, &chunk, &heard);
                }
                heard
            });
            expected.fell_back |= heard.fell_back;
            let mut tokens = Vec::new();
            for segment in heard.segments {
                if heard.no_speech > NO_SPEECH && segment.avg_logprob < LOGPROB {
                    expected.silent += 1;
                } else if !segment.text.is_empty() {
                    tokens.extend(segment.tokens);
                    expected.text.push(segment.text);
                }
            }
            expected.chunks.push((chunk.samples, tokens));
        }
        expected
    }

    /// Margin and rounding between native whisper.cpp's tokens and these, where it is recorded that
    /// the one is within the other.
    fn undecided(&self, recording: &Recording, found: &Transcript) -> Option<(f32, f32)> {
        self.records.as_ref()?.undecided(recording, &tokens(found))
    }

    fn compare(
        &self,
        recording: &Recording,
        expected: &Expected,
        found: &Transcript,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let text = (expected.text.join(" "), found.text());
        let tokens = (expected.tokens(), tokens(found));
        let is_text = |token: &&u32| **token < self.native.end_of_text();
        tally.recordings += 1;
        tally.tokens += tokens.0.len();
        tally.silent += expected.silent;
        if text.0 != text.1 || !tokens.0.iter().filter(is_text).eq(tokens.1.iter().filter(is_text)) {
            return Err(format!("another text:\n  native  {:?}\n  hearken {:?}", text.0, text.1));
        }
        if tokens.0 != tokens.1 {
            let recorded = self.undecided(recording, found);
            let (margin, rounding) = recorded.unwrap_or_else(|| self.margin(expected, &tokens.1));
            if margin > rounding {
                return Err(format!(
                    "other times, though native's are likelier by {margin}, and rounding makes {rounding}:\n  \
                     native  {:?}\n  hearken {:?}",
                    tokens.0, tokens.1
                ));
            }
            tally.undecided += 1;
            if let Some(records) = &self.records {
                records.add_undecided(recording, &tokens.1, (margin, rounding));
            }
        }
        Ok(())
    }

    /// Reconstructs the decoder's tokens when these are the tokens of its segments so far:
    /// whisper.cpp leaves out that a segment starts where the one before it ends, which the decoder
    /// says, too.
    fn said(&self, tokens: &[u32]) -> Vec<u32> {
        let times = |token: u32| if token > self.native.first_time() { 2 } else { 1 };
        tokens.iter().flat_map(|&token| std::iter::repeat_n(token, times(token))).collect()
    }

    /// Margin of native whisper.cpp's logit above that of the token found instead, where they first
    /// differ, and the distance of one native build from another there.
    fn margin(&self, expected: &Expected, mut found: &[u32]) -> (f32, f32) {
        for (samples, tokens) in &expected.chunks {
            if let Some(rest) = found.strip_prefix(&tokens[..]) {
                found = rest;
                continue;
            }
            let Some(at) = tokens.iter().zip(found).position(|(expected, found)| expected != found) else {
                break;
            };
            let said = self.said(&tokens[..at]);
            let epsilon = rounding::of_margins(self.model, samples, self.language, &said);
            let logits = self.native.state().score(samples, self.language, &said);
            let last = &logits[logits.len() - 1];
            return (last[tokens[at] as usize] - last[found[at] as usize], epsilon);
        }
        (f32::INFINITY, 0.0)
    }
}
