//! Checkpoints: a session as plain data, from which another process goes on.
//!
//! The owner of a session puts its checkpoint together, and keeps it where it outlives the process:
//!
//! 1. [`Session::record`] once, before the first push.
//! 2. From time to time [`Session::progress`]: what the session has heard since then. It is
//!    [absorbed](Checkpoint::absorb) by the checkpoint before.
//! 3. Every event, as soon as it has come from the channel, is [noted](Checkpoint::note).
//!
//! Both are plain data, so that a log on disk can hold them in this order, and be put together when
//! it is read. [`Session::restore`] makes a session of the result. It has the clock, the accounting
//! and the committed words of the one before, and emits no event again that was noted.
//!
//! # Settled audio
//!
//! A checkpoint holds audio only as long as an utterance needs it, and none that voice activity and
//! the resampler hold back: half a second between utterances, 45 ms within one. Audio up to
//! [`Session::settled`] need not be pushed again; the audio behind it is pushed again after a
//! restore.
//!
//! # Costs
//!
//! A restored session decodes the last ten seconds of an utterance again, in a fresh sandbox.
//! Committed words stand, tentative ones may change. Voice activity learns the background noise
//! anew, in the first seconds; an utterance that was running goes on.

use std::mem;

use serde::{Deserialize, Serialize};

use super::carry::Carried;
use super::event::SessionEvent;
use super::utterance::{Hearing, Utterance};
use super::{Session, SessionError, SessionOptions};
use crate::audio::{Accounting, VadEvent, Voice, at_rate, resampled, usable};
use crate::error::Error;
use crate::{Model, SAMPLE_RATE, Word, text};

/// Maximum position of a checkpoint [samples]: sums of two of them do not overflow.
const MAX_POSITION: u64 = 1 << 62;
/// Maximum overlap of settled audio with the frame behind it [samples], at the lowest rate.
const MAX_OVERLAP: u64 = 2;
/// Audio of committed words that is kept, since what follows is decoded better with it: of "zero
/// five" that began behind "zero" the embedded model makes "oh five" [samples]. 10 s.
const REPEATED: u64 = 10 * SAMPLE_RATE as u64;

/// A session as plain data: where it is, and its utterances that are not complete. Also the
/// progress of a session since an earlier checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Settled frames of the session's format.
    frames: u64,
    /// Samples at 16 kHz before the end of settled audio that the next frame repeats.
    overlap: u64,
    accounting: Accounting,
    finished: bool,
    pub(super) language: Option<String>,
    pub(super) carried: Carried,
    /// Oldest first. The last one may still be spoken.
    pub(super) utterances: Vec<Part>,
}

/// An utterance that is not complete, as far as it is not settled; or a later part of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Position of the utterance's first sample in the session.
    pub(super) start: u64,
    /// Position in the session of the first sample here.
    pub(super) from: u64,
    pub(super) samples: Vec<f32>,
    /// Voiced stretches in the session.
    pub(super) voice: Voice,
    /// Position in the session behind the last voice.
    pub(super) voiced: u64,
    /// Committed words, on the session's clock.
    pub(super) words: Vec<Word>,
    /// True if nothing is appended any more.
    pub(super) ended: bool,
}

impl Checkpoint {
    /// Settled frames of the session's format: a restored session takes the audio behind them.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Returns true if all audio has come: see [`Session::finish`].
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Returns true if an utterance is being spoken.
    pub fn is_speaking(&self) -> bool {
        self.utterances.last().is_some_and(|last| !last.ended)
    }

    /// Utterances that are not complete.
    pub fn utterances(&self) -> usize {
        self.utterances.len()
    }

    /// Accounting of the audio so far.
    pub fn accounting(&self) -> Accounting {
        self.accounting
    }

    /// Adds what the session has heard since.
    pub fn absorb(&mut self, later: Self) {
        let Self { frames, overlap, accounting, finished, utterances, .. } = later;
        (self.frames, self.overlap) = (frames, overlap);
        (self.accounting, self.finished) = (accounting, finished);
        for part in utterances {
            match self.utterances.last_mut().filter(|last| last.start == part.start) {
                Some(last) => last.absorb(part),
                None => self.utterances.push(part),
            }
        }
    }

    /// Adds what the session said after that: committed words, the end of an utterance. Audio that
    /// is settled is dropped.
    pub fn note(&mut self, event: &SessionEvent) {
        self.carried.note(event);
        match event {
            SessionEvent::Language(language) => self.language = Some(language.code.clone()),
            SessionEvent::Partial { utterance, committed, .. } => {
                let said = self.utterances.iter_mut().find(|part| part.start == *utterance);
                if let Some(part) = said {
                    part.words.extend(committed.iter().cloned());
                    part.settle();
                }
            }
            SessionEvent::Final { utterance, .. } => self.utterances.retain(|part| part.start > *utterance),
            _ => {}
        }
    }

    /// Checks that a session can have made it. [`Session::restore`] does so, too.
    ///
    /// # Errors
    ///
    /// [`SessionError::Checkpoint`] with the defect.
    pub fn check(&self) -> Result<(), SessionError> {
        let Accounting { speech, silence, dropped } = self.accounting;
        let total = speech.checked_add(silence).and_then(|sum| sum.checked_add(dropped));
        let position = total.filter(|total| *total <= MAX_POSITION && self.frames <= MAX_POSITION);
        let position = position.ok_or(SessionError::Checkpoint("its clock is out of range"))?;
        if self.overlap > MAX_OVERLAP.min(position) {
            return Err(SessionError::Checkpoint("its clock is not that of its frames"));
        }
        let mut earliest = 0;
        for (index, part) in self.utterances.iter().enumerate() {
            if !part.ended && index + 1 < self.utterances.len() {
                return Err(SessionError::Checkpoint("two utterances run at the same time"));
            }
            earliest = part.check(earliest, position)?;
        }
        Ok(())
    }

    /// Returns the position behind settled audio.
    fn position(&self) -> u64 {
        self.accounting.total()
    }
}

impl Part {
    pub(super) fn new(start: u64, from: u64) -> Self {
        let (samples, words) = (Vec::new(), Vec::new());
        Self { start, from, samples, voice: Voice::default(), voiced: start, words, ended: false }
    }

    fn end(&self) -> u64 {
        self.from.saturating_add(self.samples.len() as u64)
    }

    fn absorb(&mut self, later: Self) {
        self.samples.extend(later.samples);
        self.voice.extend(later.voice);
        self.voiced = self.voiced.max(later.voiced);
        self.ended |= later.ended;
    }

    /// Drops audio that committed words explain, up to the end of a word, and but for [`REPEATED`].
    fn settle(&mut self) {
        let settled = self.words.last().map_or(0, |word| word.end);
        let mut ends = self.words.iter().rev().map(|word| word.end);
        let settled = ends.find(|end| end.saturating_add(REPEATED) <= settled).unwrap_or_default();
        let needless = settled.saturating_sub(self.from).min(self.samples.len() as u64);
        self.samples.drain(..needless as usize);
        self.from += needless;
    }

    /// Checks that it lies between two positions, and all of it in order; returns its end.
    fn check(&self, earliest: u64, latest: u64) -> Result<u64, SessionError> {
        let end = self.end();
        if self.start < earliest || self.from < self.start || end > latest {
            return Err(SessionError::Checkpoint("an utterance lies outside of its audio"));
        }
        let mut spoken = self.start;
        for word in &self.words {
            if word.start < spoken || word.end < word.start || word.end > end {
                return Err(SessionError::Checkpoint("a word lies outside of its utterance"));
            }
            spoken = word.end;
        }
        let mut voiced = self.start;
        for stretch in self.voice.with_tones() {
            if stretch.start < voiced || stretch.end < stretch.start || stretch.end > latest {
                return Err(SessionError::Checkpoint("voice lies outside of its utterance"));
            }
            voiced = stretch.end;
        }
        if self.voiced < self.start || self.voiced > latest {
            return Err(SessionError::Checkpoint("voice lies outside of its utterance"));
        }
        Ok(end)
    }

    /// Makes the utterance of it, without a sandbox.
    pub(super) fn utterance(self) -> Utterance {
        let Self { start, from, samples, voice, voiced, words, ended } = self;
        let hearing = Hearing::restored(start, from, samples, words);
        Utterance::restored(start, hearing, voice, voiced, ended)
    }

    /// Returns it with values that the rest of the session can rely on, whatever a file says.
    fn believed(mut self) -> Self {
        self.samples = usable(&self.samples).into_owned();
        for word in &mut self.words {
            word.text = text::sanitize_trimmed(&word.text);
            word.probability = crate::transcript::probability(word.probability);
        }
        self
    }
}

/// The audio of utterances since it was last taken.
#[derive(Debug)]
pub(super) struct Recording(Vec<Part>);

impl Recording {
    /// A recording that begins within an utterance, or between two.
    pub(super) fn new(running: Option<Part>) -> Self {
        Self(running.into_iter().collect())
    }

    /// Records an event of voice activity, of whose samples the first `taken` were taken.
    pub(super) fn hear(&mut self, event: &VadEvent<'_>, taken: usize, detected: bool) {
        match *event {
            VadEvent::Start { position } => self.0.push(Part::new(position, position)),
            VadEvent::Speech { samples, voiced_until, .. } => {
                let Some(part) = self.0.last_mut() else { return };
                part.samples.extend_from_slice(&samples[..taken]);
                part.voiced = part.voiced.max(voiced_until);
                if detected && taken == samples.len() {
                    part.voice.push(event);
                }
            }
            VadEvent::End { .. } => {
                if let Some(part) = self.0.last_mut() {
                    part.ended = true;
                }
            }
            VadEvent::Silence { .. } => {}
        }
    }

    /// Takes what was recorded; goes on within the utterance that runs.
    pub(super) fn take(&mut self) -> Vec<Part> {
        let running = self.0.last().filter(|part| !part.ended);
        let next = running.map(|part| Part::new(part.start, part.end())).into_iter().collect();
        let mut taken = mem::replace(&mut self.0, next);
        taken.retain(|part| part.ended || !part.samples.is_empty());
        taken
    }
}

/// A moment at which frames and samples are known to belong together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Anchor {
    frames: u64,
    position: u64,
}

impl Session {
    /// Goes on where the session of a checkpoint was, in the same format. What is pushed next is
    /// the audio behind [`Checkpoint::frames`]. Call [`record`](Self::record) before that for
    /// further checkpoints.
    ///
    /// # Errors
    ///
    /// As [`Session::new`], and [`Error::Session`] for a checkpoint that no session can have made.
    pub fn restore(model: &Model, options: SessionOptions, checkpoint: Checkpoint) -> Result<Self, Error> {
        let mut session = Self::new(model, options)?;
        session.take_over(model, checkpoint)?;
        Ok(session)
    }

    /// As [`restore`](Self::restore), for a [driven](Self::driven) session.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore).
    pub fn restore_driven(
        model: &Model,
        options: SessionOptions,
        checkpoint: Checkpoint,
    ) -> Result<Self, Error> {
        let mut session = Self::driven(model, options)?;
        session.take_over(model, checkpoint)?;
        Ok(session)
    }

    fn take_over(&mut self, model: &Model, mut checkpoint: Checkpoint) -> Result<(), Error> {
        checkpoint.check()?;
        let position = checkpoint.position();
        checkpoint.carried = mem::take(&mut checkpoint.carried).believed();
        checkpoint.language = checkpoint.language.filter(|code| model.can(Some(code), false).is_ok());
        checkpoint.utterances = checkpoint.utterances.into_iter().map(Part::believed).collect();
        let voiced_until = checkpoint.utterances.last().filter(|last| !last.ended).map(|last| last.voiced);
        self.accounting = checkpoint.accounting;
        self.talking = self.push_to_talk && voiced_until.is_some();
        self.go_on(checkpoint.frames, position, checkpoint.overlap, voiced_until);
        let finished = checkpoint.finished;
        self.core.restore(checkpoint);
        if finished {
            self.finish()?;
        }
        Ok(())
    }

    /// Records the audio of utterances from now on, for [`progress`](Self::progress). What is not
    /// asked for stays in memory.
    pub fn record(&mut self) {
        self.core.record();
    }

    /// Returns what the session has heard since this was last called, to be
    /// [absorbed](Checkpoint::absorb) by the checkpoint so far. Events that were on the channel
    /// before are noted after that.
    pub fn progress(&mut self) -> Checkpoint {
        let (frames, overlap) = self.settle();
        Checkpoint {
            frames,
            overlap,
            accounting: self.accounting(),
            finished: self.ended,
            utterances: self.core.recorded(),
            ..Checkpoint::default()
        }
    }

    /// Frames that are settled: their audio belongs to an utterance, or was silence. Those behind
    /// them are held back for now.
    pub fn settled(&self) -> u64 {
        self.settle().0
    }

    /// Forgets frames that are not [settled](Self::settled), and returns the number of those that
    /// are: what is pushed next is the audio behind them.
    pub fn rewind(&mut self) -> u64 {
        let (frames, overlap) = self.settle();
        if !self.ended {
            self.resampler.finish(&mut self.mono);
            self.mono.clear();
            let (position, voiced_until) = (self.activity.position(), self.activity.voiced_until());
            self.go_on(frames, position, overlap, voiced_until);
        }
        frames
    }

    fn go_on(&mut self, frames: u64, position: u64, overlap: u64, voiced_until: Option<u64>) {
        self.activity.resume(position, voiced_until);
        self.frames = frames;
        self.overlap = overlap;
        self.anchor = Anchor { frames, position: position - overlap };
    }

    /// All that was pushed is settled.
    pub(super) fn set_anchor(&mut self) {
        self.anchor = Anchor { frames: self.frames, position: self.activity.position() };
        self.overlap = 0;
    }

    /// Returns the settled frames, and the samples of settled audio that the frame behind them
    /// repeats.
    fn settle(&self) -> (u64, u64) {
        let rate = self.format.sample_rate;
        let settled = self.activity.position() - self.anchor.position;
        let mut frames = at_rate(settled, SAMPLE_RATE, rate).min(self.frames - self.anchor.frames);
        if resampled(frames, rate) > settled {
            frames -= 1;
        }
        (self.anchor.frames + frames, settled - resampled(frames, rate))
    }
}
