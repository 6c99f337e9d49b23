//! The streaming policy: from repeated decodes of one utterance to words that do not change.
//!
//! Whisper recognizes a window of up to 30 s at once. To stream, the window is decoded again and
//! again while audio arrives. Each decode is a *hypothesis*; its first words are usually right, its
//! last ones change. This module decides which words are *committed* (final, never taken back) and
//! which are shown as *tentative*.
//!
//! # One step
//!
//! ```text
//!  window   ├── committed words ──┼── tentative words ──┼─ no words yet ─┤
//!           start             settled                                 end
//!
//!  decoder   forced prefix        free decoding
//!            (their tokens)       = the new hypothesis
//! ```
//!
//! 1. **Decode.** The whole window is encoded. The decoder is forced to repeat the committed tokens
//!    whose audio is still in the window (the *forced prefix*, `anchored`), and continues freely.
//!    So a partial text decodes only what is new, and committed words cannot turn into others.
//! 2. **Judge.** `confidence` marks words that may be hallucinations: unlikely words count only if
//!    two hypotheses have them at the same place, isolated words only if they are likely enough. A
//!    final text with doubtful words is decoded once more from a window that is [`SHIFT`] samples
//!    shorter. If no word of an utterance is believed, its text is decoded again without the text
//!    that came before, the prompt.
//! 3. **Find missed speech.** Voice of a second or more that no word explains is decoded by itself,
//!    without a forced prefix. If the decoder ends right behind its forced prefix though speech
//!    goes on, the window is decoded again without one.
//! 4. **Commit.** The commit `policy` (LocalAgreement-n or AlignAtt) says how many of the first
//!    tentative words are certain; those that are sure, too, are committed.
//! 5. **Show.** `display` selects the tentative words that are steady enough to show, so that text
//!    flickers little.
//!
//! At the end of the utterance ([`Effort::Final`]) everything that is believed is committed.
//!
//! # When the window slides
//!
//! At four fifths of its capacity ([`Window::is_full`]), or with more than [`MAX_FORCED`] forced
//! tokens, the window moves to the last committed word. That word stays in the window: its end is
//! an estimate, and the rest of its audio would be recognized as another word. If too little is
//! committed, the window is cut at its quietest place, and the hypothesis for the part before is
//! committed as it stands.
//!
//! After the window slides, the decoder is not forced to repeat the committed tokens, because their
//! timestamps belong to the old window. Its new output is aligned with the committed words by edit
//! distance (`alignment`) and becomes the forced prefix of later steps.
//!
//! # State
//!
//! | field | meaning |
//! |---|---|
//! | `anchored` | committed words whose audio is in the window: the forced prefix |
//! | `moved` | the window slid since the latest decode: there is no forced prefix |
//! | `tentative` | words behind them in the latest hypothesis |
//! | `settled` | end of the last committed word |
//! | `stood` | end of the last committed word that is believed by itself |
//! | `alone`, `plausible` | probabilities that an isolated word, and all words on average, need |
//!
//! Times are samples at 16 kHz from the utterance's start; the recognizer's count from the
//! window's.

mod alignment;
mod confidence;
mod display;
mod policy;
mod window;

use std::ops::Range;

use hearken_proto::abi::Status;
use hearken_proto::phrases;
use hearken_proto::voice::missed;
use hearken_proto::window::{LOGPROB, NO_SPEECH};
use hearken_proto::{Task, Word};

use alignment::{continuation, essence};
use confidence::{Confidence, believed, stands};
use display::Display;
use policy::Policy;
pub(crate) use window::Window;

/// Maximum number of forced tokens: the window slides when there are more, so that there is room
/// for new text.
const MAX_FORCED: usize = 120;

/// Shift of the window when a doubted final text is decoded once more: five frames of the encoder.
const SHIFT: usize = hearken_proto::SAMPLE_RATE as usize / 10;

/// Words of an utterance's beginning that are kept for comparison: more than a phrase has.
const FIRST: usize = 8;

/// Minimum probability of an isolated word where the language is not certain: noise has none.
const ALONE_UNSETTLED: f32 = 0.8;

/// Maximum length of a brief utterance [samples]: 3 s. Noise that is taken for speech goes on for
/// longer.
const BRIEF: u32 = 3 * hearken_proto::SAMPLE_RATE;

/// Factor on the required likelihood for several words of a brief utterance.
const FEW: f32 = 0.5;

/// Speech that no word explains is asked for again when there is more of it, in samples: 1 s.
const UNEXPLAINED: u32 = hearken_proto::SAMPLE_RATE;

/// Minimum length of missed voice at the end of the window of a running utterance [samples]: 2 s.
/// Words for it may come.
const LATE: u64 = 2 * hearken_proto::SAMPLE_RATE as u64;

/// Audio around missed voice that is decoded with it, in samples: 200 ms.
const AROUND: u32 = hearken_proto::SAMPLE_RATE / 5;

/// Minimum probability of a word in the text for missed voice, which counts only if its window is
/// not silent, nor the text unlikely.
const LIKELY: f32 = 0.4;

/// Effort spent on decoding a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Greedy, without fallback: another hypothesis follows.
    Partial,
    /// With one temperature fallback: nothing follows, or the speaker has paused.
    Final,
    /// As for a final text, but without the text that came before.
    Unprompted,
}

/// A word, with its tokens and the decoder's evidence for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Spoken {
    pub(crate) word: Word,
    /// Tokens of the word.
    pub(crate) tokens: Vec<i32>,
    /// Begin of the stretch that the decoder heard for it: the word's begin, or that of the silence
    /// before it.
    pub(crate) from: u32,
    /// Timestamps decoded before it [samples].
    pub(crate) marks: Vec<u32>,
    /// The last sample that the decoder looked at to say it, if that is known.
    pub(crate) attended: Option<u32>,
    /// Position at which its letters were heard, without its punctuation.
    pub(crate) heard_at: Option<u32>,
    /// True if likely, or present in two hypotheses (`confidence`).
    pub(crate) sure: bool,
    /// Probability of its least likely token.
    pub(crate) least: f32,
}

impl Spoken {
    /// Moves the word to another clock.
    fn moved(&self, to: impl Fn(u32) -> u32) -> Self {
        Self {
            word: Word { start: to(self.word.start), end: to(self.word.end), ..self.word.clone() },
            tokens: self.tokens.clone(),
            from: to(self.from),
            marks: self.marks.iter().map(|mark| to(*mark)).collect(),
            attended: self.attended.map(&to),
            heard_at: self.heard_at.map(&to),
            sure: self.sure,
            least: self.least,
        }
    }
}

/// Result of recognizing a window. Times count from the window's start.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Recognized {
    /// Words behind the forced ones.
    pub(crate) words: Vec<Spoken>,
    /// Number of words to keep if the window is decoded again from `rest` on.
    pub(crate) settled: usize,
    /// Position at which the recognizer stopped, if that was before the window's end.
    pub(crate) rest: Option<u32>,
    pub(crate) no_speech: f32,
    pub(crate) avg_logprob: f32,
    /// Encoder passes that were made.
    pub(crate) encodes: u32,
    /// The language is not known well enough to commit words to it.
    pub(crate) unsettled: bool,
}

/// Something that turns a window into words: whisper.cpp, or in tests a simulation.
pub(crate) trait Recognize {
    /// Recognizes `pcm` (16 kHz mono), whose beginning has the text `forced`, the forced prefix.
    fn recognize(&mut self, pcm: &[f32], forced: &[Spoken], effort: Effort) -> Result<Recognized, Status>;
}

/// Hypothesis of the utterance so far. Times count from its start.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Hypothesis {
    pub(crate) committed: Vec<Word>,
    pub(crate) tentative: Vec<Word>,
    /// Number of tokens of the words in `committed`.
    pub(crate) tokens: u32,
    pub(crate) no_speech: f32,
    pub(crate) avg_logprob: f32,
    pub(crate) encodes: u32,
}

/// The memory of one utterance.
#[derive(Default)]
pub(crate) struct Stream {
    policy: Option<Box<dyn Policy>>,
    confidence: Confidence,
    /// Committed words whose audio is still in the window, in the decoder's latest form.
    anchored: Vec<Spoken>,
    /// True if the window has slid since it was decoded.
    moved: bool,
    /// The words behind them in the latest hypothesis.
    tentative: Vec<Spoken>,
    /// End of the last committed word: later words start no earlier.
    settled: u32,
    /// End of the last committed word that is believed by itself.
    stood: Option<u32>,
    /// The utterance is over, and was brief.
    is_brief: bool,
    /// True if every word is believed, in this step.
    verbatim: bool,
    /// Minimum probability of an isolated word in this step.
    alone: f32,
    /// Minimum mean probability of all words in this step.
    plausible: f32,
    /// Sum of the logarithms of the committed words' probabilities, and their number.
    likelihood: (f32, u32),
    /// Number of tokens that were committed in this step.
    tokens: u32,
    /// The first committed words, for comparison with [`phrases`].
    first: Vec<String>,
    display: Display,
    /// End of the window when speech behind the committed words was last decoded without forcing
    /// them.
    asked_freely: u32,
    /// The voice without words that was asked for last.
    asked: Range<u32>,
}

impl Stream {
    /// Hears the window, and slides it if it must. The policy is the one that is named first.
    pub(crate) fn step(
        &mut self,
        window: &mut Window,
        recognizer: &mut impl Recognize,
        task: &Task,
        effort: Effort,
    ) -> Result<Hypothesis, Status> {
        self.is_brief = effort == Effort::Final && window.end() < BRIEF;
        self.verbatim = task.verbatim;
        self.plausible = task.plausible;
        self.alone = if self.is_brief { task.alone_briefly } else { task.alone };
        self.tokens = 0;
        let mut hypothesis = Hypothesis::default();
        let mut heard = self.hear(window, recognizer, effort, &mut hypothesis)?;
        if !task.verbatim && self.is_muzzled(window, task) {
            self.moved = true;
            self.asked_freely = window.end();
            heard = self.hear(window, recognizer, effort, &mut hypothesis)?;
        }
        (hypothesis.no_speech, hypothesis.avg_logprob) = (heard.no_speech, heard.avg_logprob);
        if effort == Effort::Final && self.is_silenced(task) {
            heard = self.hear(window, recognizer, Effort::Unprompted, &mut hypothesis)?;
        }
        if heard.unsettled {
            self.alone = self.alone.max(ALONE_UNSETTLED);
        }
        if !heard.unsettled && !task.verbatim {
            self.ask_for_missed(window, recognizer, task, effort, &mut hypothesis)?;
        }
        match effort {
            Effort::Partial => {
                let believed = self.believed();
                let is_sure =
                    |(spoken, believed): &(&Spoken, bool)| (task.verbatim || spoken.sure) && *believed;
                let sure = self.tentative.iter().zip(believed).take_while(is_sure).count();
                let policy = self.policy.get_or_insert_with(|| policy::policy(task.commit));
                let sure = if heard.unsettled { 0 } else { sure };
                let certain = policy.certain(&self.tentative, window.end()).min(sure);
                policy.committed(certain);
                hypothesis.committed.extend(self.commit(certain));
                let forced: usize = self.anchored.iter().map(|spoken| spoken.tokens.len()).sum();
                if window.is_full() || forced > MAX_FORCED {
                    hypothesis.committed.extend(self.slide(window));
                }
            }
            Effort::Final | Effort::Unprompted => {
                let mut heard = heard;
                // Until the whole window was listened to; each turn leaves less of it.
                while let Some(rest) = heard.rest.filter(|rest| *rest > 0) {
                    let settled = self.drop_disbelieved(heard.settled);
                    hypothesis.committed.extend(self.commit(settled));
                    window.cut(window.start().saturating_add(rest));
                    self.anchored.clear();
                    heard = self.hear(window, recognizer, effort, &mut hypothesis)?;
                }
                let left = self.drop_disbelieved(self.tentative.len());
                // The end of a sentence shows at the end of the utterance.
                self.display.release_last(left);
                if let Some(policy) = &mut self.policy {
                    policy.committed(left);
                }
                hypothesis.committed.extend(self.commit(left));
            }
        }
        hypothesis.tentative = self.shown();
        hypothesis.tokens = self.tokens;
        Ok(hypothesis)
    }

    /// The tentative words to show: believed ones, up to the first that would flicker.
    fn shown(&mut self) -> Vec<Word> {
        let count = self.display.steady(&self.tentative, self.settled > 0);
        let believed = self.believed();
        let shown = self.tentative.iter().zip(believed).take(count).filter(|(_, believed)| *believed);
        let mut words: Vec<Word> = shown.map(|(spoken, _)| spoken.word.clone()).collect();
        self.display.show(&mut words, &self.tentative);
        words
    }

    /// Returns true if the decoder ended right behind its forced prefix, though speech goes on:
    /// with another prefix, or none, it may give more words.
    fn is_muzzled(&self, window: &Window, task: &Task) -> bool {
        let explained = self.tentative.last().map_or(self.settled, |spoken| spoken.word.end);
        !self.anchored.is_empty()
            && !self.moved
            && self.tentative.is_empty()
            && task.voice.last().is_some_and(|(_, end)| end.saturating_sub(explained) > UNEXPLAINED)
            && window.end().saturating_sub(self.asked_freely) > UNEXPLAINED
    }

    /// Returns true if none of an utterance's words is believed, though text came before: that may
    /// have made a short utterance's words unlikely.
    fn is_silenced(&self, task: &Task) -> bool {
        let had_prompt = task.prompt.is_some() && !task.verbatim;
        had_prompt && self.likelihood.1 == 0 && !self.believed().contains(&true)
    }

    /// Decodes the window once, and makes the new words tentative.
    fn hear(
        &mut self,
        window: &Window,
        recognizer: &mut impl Recognize,
        effort: Effort,
        hypothesis: &mut Hypothesis,
    ) -> Result<Recognized, Status> {
        let start = window.start();
        let known = if self.moved { &[] } else { &self.anchored[..] };
        let forced: Vec<Spoken> =
            known.iter().map(|spoken| spoken.moved(|at| at.saturating_sub(start))).collect();
        let mut heard = recognizer.recognize(window.samples(), &forced, effort)?;
        hypothesis.encodes += heard.encodes;
        self.tentative =
            heard.words.drain(..).map(|spoken| spoken.moved(|at| at.saturating_add(start))).collect();
        if std::mem::take(&mut self.moved) {
            let again = continuation(&self.anchored, &self.tentative);
            self.anchored = self.tentative.drain(..again).collect();
            heard.settled = heard.settled.saturating_sub(again);
        }
        self.confidence.judge(&mut self.tentative);
        match effort {
            Effort::Partial => {}
            Effort::Final => self.hear_again(window, recognizer, Effort::Partial, hypothesis)?,
            Effort::Unprompted => self.hear_again(window, recognizer, effort, hypothesis)?,
        }
        Ok(heard)
    }

    /// Decodes almost the same audio again where words of a final text are doubtful: true speech is
    /// recognized again, a hallucination is not.
    fn hear_again(
        &mut self,
        window: &Window,
        recognizer: &mut impl Recognize,
        effort: Effort,
        hypothesis: &mut Hypothesis,
    ) -> Result<(), Status> {
        let doubted = self.believed().contains(&false);
        let Some(samples) = window.samples().get(SHIFT..).filter(|_| doubted) else { return Ok(()) };
        let mut again = recognizer.recognize(samples, &[], effort)?;
        hypothesis.encodes += again.encodes;
        let start = window.start().saturating_add(SHIFT as u32);
        again.words.iter_mut().for_each(|spoken| *spoken = spoken.moved(|at| at.saturating_add(start)));
        self.confidence.judge(&mut again.words);
        self.confidence.judge(&mut self.tentative);
        Ok(())
    }

    /// Marks the tentative words that are believed.
    fn believed(&self) -> Vec<bool> {
        if self.verbatim {
            return vec![true; self.tentative.len()];
        }
        // Noise that is soon over yields a single word. Two are speech, though names may be less
        // likely than `plausible`.
        let are_few = self.is_brief && self.tentative.len() > 1;
        let plausible = if are_few { self.plausible * FEW } else { self.plausible };
        let plausible = if self.is_phrase() { phrases::LIKELY } else { plausible };
        if confidence::likelihood(&self.tentative, self.likelihood) < plausible {
            return vec![false; self.tentative.len()];
        }
        believed(&self.tentative, self.stood, self.alone)
    }

    /// Returns true if all that was said in the utterance is a phrase that is often hallucinated.
    fn is_phrase(&self) -> bool {
        let words: Vec<String> = self
            .first
            .iter()
            .cloned()
            .chain(self.tentative.iter().map(|spoken| essence(&spoken.word)))
            .collect();
        phrases::is_one(words.iter().map(String::as_str))
    }

    /// Drops the hallucinations among the first `words` tentative words; returns how many are left
    /// of them.
    fn drop_disbelieved(&mut self, words: usize) -> usize {
        let mut believed = self.believed().into_iter();
        let later = self.tentative.split_off(words.min(self.tentative.len()));
        self.tentative.retain(|_| believed.next().unwrap_or(true));
        let left = self.tentative.len();
        self.tentative.extend(later);
        left
    }

    /// Decodes voice that no word explains by itself, without a forced prefix, and with temperature
    /// fallback. In a running utterance only the first missed stretch is decoded, if all before it
    /// is committed: its words are committed at once, since the next hypothesis, behind words that
    /// lack it, would lack it again.
    fn ask_for_missed(
        &mut self,
        window: &Window,
        recognizer: &mut impl Recognize,
        task: &Task,
        effort: Effort,
        hypothesis: &mut Hypothesis,
    ) -> Result<(), Status> {
        let voice: Vec<Range<u64>> =
            task.voice.iter().map(|(start, end)| u64::from(*start)..u64::from(*end)).collect();
        let words: Vec<Range<u64>> =
            self.tentative.iter().map(|spoken| spoken.word.start.into()..spoken.word.end.into()).collect();
        let range = u64::from(self.settled.max(window.start()))..u64::from(window.end());
        // From the last, so that places of words before stay as they are.
        for stretch in missed(&voice, words.iter().cloned(), range).into_iter().rev() {
            let place = words.iter().take_while(|word| word.start < stretch.start).count();
            let goes_on = effort == Effort::Partial && place == words.len();
            if (effort == Effort::Partial && place > 0)
                || (goes_on && stretch.end - stretch.start < LATE)
                || self.was_asked(&stretch)
            {
                continue;
            }
            self.asked = stretch.start as u32..stretch.end as u32;
            let start = (stretch.start as u32).saturating_sub(AROUND).max(window.start());
            let end = (stretch.end as u32).saturating_add(AROUND).min(window.end());
            let samples =
                &window.samples()[(start - window.start()) as usize..(end - window.start()) as usize];
            let mut heard = recognizer.recognize(samples, &[], Effort::Final)?;
            hypothesis.encodes += heard.encodes;
            if heard.no_speech > NO_SPEECH || heard.avg_logprob < LOGPROB {
                continue;
            }
            let inside = |spoken: &Spoken| {
                (stretch.start..stretch.end).contains(&u64::from((spoken.word.start + spoken.word.end) / 2))
            };
            let mut found: Vec<Spoken> =
                heard.words.drain(..).map(|spoken| spoken.moved(|at| at.saturating_add(start))).collect();
            found.retain(|spoken| inside(spoken) && spoken.word.probability >= LIKELY);
            found.iter_mut().for_each(|spoken| spoken.sure = true);
            // Said again: a word's time was wrong.
            let before = place.checked_sub(1).and_then(|before| self.tentative.get(before));
            let before = before.or(self.anchored.last().filter(|_| place == 0));
            if is_same(before, found.first()) || is_same(self.tentative.get(place), found.last()) {
                continue;
            }
            let count = found.len();
            self.tentative.splice(place..place, found);
            if effort == Effort::Partial {
                hypothesis.committed.extend(self.commit(count));
            }
        }
        Ok(())
    }

    /// Returns true if almost the same voice was asked for before.
    fn was_asked(&self, stretch: &Range<u64>) -> bool {
        let asked = u64::from(self.asked.start)..u64::from(self.asked.end);
        asked.start < stretch.end && stretch.start < asked.end && stretch.end < asked.end + LATE
    }

    /// Commits the first tentative words, none of which starts before the last one ended.
    fn commit(&mut self, words: usize) -> Vec<Word> {
        let mut committed = Vec::with_capacity(words);
        for mut spoken in self.tentative.drain(..words.min(self.tentative.len())) {
            spoken.from = spoken.from.max(self.settled);
            spoken.word.start = spoken.word.start.max(self.settled);
            spoken.word.end = spoken.word.end.max(spoken.word.start);
            self.settled = spoken.word.end;
            self.likelihood.0 += confidence::log(&spoken.word);
            self.likelihood.1 += 1;
            self.tokens += spoken.tokens.len() as u32;
            if self.first.len() < FIRST {
                self.first.push(essence(&spoken.word));
            }
            if stands(&spoken, self.alone) {
                self.stood = Some(self.settled);
            }
            committed.push(spoken.word.clone());
            self.anchored.push(spoken);
        }
        self.display.committed(&mut committed);
        committed
    }

    /// Makes room: the window moves to the last committed word. That one stays: its end is an
    /// estimate, and the rest of its audio would be recognized as a word of its own. If too little
    /// is committed, the window is cut at its quietest place and the hypothesis for the part before
    /// is committed as it stands, because its audio goes.
    fn slide(&mut self, window: &mut Window) -> Vec<Word> {
        let mut forced = Vec::new();
        let mut cut = self.anchored.last().map_or(0, |spoken| spoken.from);
        if cut < window.least_cut() {
            cut = window.quietest_cut();
            let before = self.tentative.iter().take_while(|spoken| spoken.word.end <= cut).count();
            if let Some(policy) = &mut self.policy {
                policy.committed(before);
            }
            let believed = self.drop_disbelieved(before);
            forced = self.commit(believed);
        }
        window.cut(cut);
        self.anchored.retain(|spoken| spoken.from >= cut);
        self.moved = true;
        forced
    }
}

/// Returns true if both are there and the same but for case and punctuation.
fn is_same(one: Option<&Spoken>, other: Option<&Spoken>) -> bool {
    one.zip(other).is_some_and(|(one, other)| essence(&one.word) == essence(&other.word))
}

#[cfg(test)]
mod tests;
