//! Recognition of an utterance in its sandbox.

use std::mem;
use std::ops::Range;

use hearken_proto::voice::missed;
use hearken_proto::window::STRIDES;
use hearken_proto::{Event, Request, Task};

use super::Reach;
use crate::audio::Voice;
use crate::engine::guard;
use crate::error::Error;
use crate::place::{Attempts, Fault, Opened};
use crate::session::SessionEvent;
use crate::{DropReason, Language, Model, Word, text, transcript};

/// Maximum number of voiced stretches in a task: as many as a window of 30 s has if they and the
/// pauses between them are as short as can be.
const MOST_STRETCHES: usize = 750;

/// Minimum probability of the language of an utterance that was too short for detection.
const LIKELY_LANGUAGE: f32 = 0.5;

/// The words of an utterance, its sandbox, and its audio as far as it is not settled. Positions are
/// on the session's clock.
pub(in crate::session) struct Hearing {
    /// Position of the utterance's first sample.
    start: u64,
    /// Position of the first sample that is kept: audio before it is committed.
    kept: u64,
    /// Audio from `kept` on.
    samples: Vec<f32>,
    /// Voiced stretches; empty with push-to-talk, where the key marks speech.
    voice: Voice,
    /// Position up to which the sandbox has the audio.
    written: u64,
    /// Position at which the sandbox's own clock starts: the utterance's start, or where a fresh
    /// sandbox took over.
    base: u64,
    /// Position at which the sandbox's window starts, as the guest has it.
    window: u64,
    recognizer: Option<Opened>,
    attempts: Attempts,
    /// Position up to which the sandbox decodes committed words again.
    repeated: u64,
    /// Set after a failure: further audio is dropped, for this reason.
    failed: Option<DropReason>,
    /// Committed words.
    words: Vec<Word>,
    /// Number of words at the latest pause.
    told: usize,
    /// Encoder passes that were not counted yet.
    encodes: u64,
}

impl Hearing {
    pub(in crate::session) fn new(start: u64) -> Self {
        Self::restored(start, start, Vec::new(), Vec::new())
    }

    /// A hearing with these committed words, and audio from `kept` on. The last words are decoded
    /// again with what follows, which depends on them, but not committed again.
    pub(in crate::session) fn restored(start: u64, kept: u64, samples: Vec<f32>, words: Vec<Word>) -> Self {
        let mut hearing = Self {
            start,
            kept,
            samples,
            voice: Voice::default(),
            written: kept,
            base: kept,
            window: kept,
            recognizer: None,
            attempts: Attempts::default(),
            repeated: start,
            failed: None,
            told: words.len(),
            words,
            encodes: 0,
        };
        hearing.repeated = hearing.settled();
        hearing
    }

    /// Takes the audio that follows, and all voiced stretches so far.
    pub(in crate::session) fn accept(&mut self, samples: &[f32], voice: Voice) {
        self.samples.extend_from_slice(samples);
        self.voice = voice;
    }

    /// Position behind the audio that it has.
    pub(in crate::session) fn end(&self) -> u64 {
        self.kept + self.samples.len() as u64
    }

    /// Position up to which a decode has heard.
    pub(super) fn heard(&self) -> u64 {
        self.written
    }

    /// Number of samples that no decode has heard.
    pub(super) fn unheard(&self) -> u64 {
        self.end() - self.written
    }

    /// Returns true if a sandbox is at work.
    pub(super) fn has_sandbox(&self) -> bool {
        self.recognizer.is_some()
    }

    /// Encoder passes since this was last asked.
    pub(in crate::session) fn take_encodes(&mut self) -> u64 {
        mem::take(&mut self.encodes)
    }

    /// Recognizes no more of it.
    pub(in crate::session) fn give_up(&mut self, reason: DropReason) {
        self.recognizer = None;
        self.failed = Some(reason);
    }

    /// Decodes the audio within `reach`, in steps that fit the model's window. Emits through
    /// `emit`.
    pub(in crate::session) async fn decode(
        &mut self,
        model: &Model,
        task: &Task,
        reach: Reach,
        emit: &mut (dyn FnMut(SessionEvent) + Send),
    ) {
        let Reach { end, last, .. } = reach;
        while self.failed.is_none() {
            let result = self.attempt(model, task, reach, emit).await;
            let Err(error) = result else { return };
            // Whatever it was, that sandbox is not to be trusted any more.
            match error.fault() {
                Fault::Worker | Fault::Nobody => self.move_on(),
                Fault::Guest | Fault::Machine | Fault::Other => self.start_over(),
            }
            if !self.attempts.again(&error) {
                self.failed = Some(DropReason::Failed(error.to_string()));
            }
        }
        self.written = end;
        self.release(end);
        if last {
            let lost = self.settled().max(self.base);
            let mut heard = end;
            if let Some(reason) = self.failed.take().filter(|_| end > lost) {
                emit(SessionEvent::Dropped { position: lost, len: end - lost, reason });
                heard = lost;
            }
            self.finish(end, heard, emit);
        }
    }

    /// Voiced stretches that no committed word explains, on the sandbox's clock.
    fn voice_to_explain(&self) -> Vec<(u32, u32)> {
        let voice = self.voice.within(&(self.base.max(self.settled())..self.written));
        let at = |position: u64| u32::try_from(position.saturating_sub(self.base)).unwrap_or(u32::MAX);
        let stretches = voice.stretches();
        // The latest, if there are more than a message holds.
        let latest = &stretches[stretches.len().saturating_sub(MOST_STRETCHES)..];
        latest.iter().map(|stretch| (at(stretch.start), at(stretch.end))).collect()
    }

    async fn attempt(
        &mut self,
        model: &Model,
        task: &Task,
        reach: Reach,
        emit: &mut (dyn FnMut(SessionEvent) + Send),
    ) -> Result<(), Error> {
        let Reach { end, last, pause } = reach;
        let mut recognizer = match self.recognizer.take() {
            Some(recognizer) => recognizer,
            None => model.recognizer().await?,
        };
        if last && self.written == self.base {
            recognizer.for_final();
        }
        loop {
            let until = self.next_step(end, model.stride_samples() as u64);
            let range = (self.written - self.kept) as usize..(until - self.kept) as usize;
            recognizer.write(&self.samples[range]).await?;
            self.written = until;
            let complete = until == end;
            let pause = pause.is_some() && complete;
            let task = Task { voice: self.voice_to_explain(), pause, ..task.clone() };
            let verbatim = task.verbatim;
            let request = if last && complete { Request::Final(task) } else { Request::Partial(task) };
            for event in recognizer.call(&request).await? {
                self.take(event, last && complete, verbatim, emit);
            }
            if complete {
                break;
            }
        }
        if last {
            let len = end - self.start;
            model.meter().spoken(len, model.windows(len));
            self.finish(end, end, emit);
        } else {
            self.recognizer = Some(recognizer);
            if let Some(position) = pause
                && self.words.len() > self.told
            {
                self.told = self.words.len();
                emit(SessionEvent::Paused { utterance: self.start, position });
            }
        }
        Ok(())
    }

    /// Position up to which the sandbox decodes next: `end` if its window holds that; else until
    /// the window is full, and slides. A backlog is not recognized in small steps: each would
    /// decode the whole window.
    fn next_step(&self, end: u64, stride: u64) -> u64 {
        // The guest may say anything of its window.
        let window = self.window.clamp(self.base, self.written);
        let most = window + STRIDES as u64 * stride;
        let full = most - stride;
        if end <= most { end } else { full.max(self.written + stride) }
    }

    /// Takes the guest's events, trusting none of its numbers.
    fn take(
        &mut self,
        event: Event,
        last: bool,
        verbatim: bool,
        emit: &mut (dyn FnMut(SessionEvent) + Send),
    ) {
        match event {
            Event::Language { code, probability, certain } => {
                let probability = transcript::probability(probability);
                if certain || probability >= LIKELY_LANGUAGE {
                    emit(SessionEvent::Language(Language {
                        code: text::sanitize(&code),
                        probability: Some(probability),
                    }));
                }
            }
            Event::Hypothesis {
                committed,
                tentative,
                tokens,
                window,
                no_speech,
                avg_logprob,
                encodes,
                ..
            } => {
                self.encodes += u64::from(encodes);
                let mut committed = self.place(committed);
                let mut tentative = self.place(tentative);
                if !verbatim {
                    for words in [&mut committed, &mut tentative] {
                        words.retain(|word| !self.voice.is_tone(&(word.start..word.end)));
                    }
                }
                let duration = match (committed.first(), committed.last()) {
                    (Some(first), Some(last)) => last.end - first.start,
                    _ => 0,
                };
                if last
                    && !verbatim
                    && self.words.is_empty()
                    && guard::is_unspoken(duration, tokens, no_speech, avg_logprob)
                {
                    committed.clear();
                }
                self.words.extend(committed.iter().cloned());
                self.window = self.base + u64::from(window);
                self.release(self.window.min(self.written));
                let silent = committed.is_empty() && tentative.is_empty();
                if !last && !silent {
                    emit(SessionEvent::Partial { utterance: self.start, committed, tentative });
                }
            }
            Event::Loaded(_)
            | Event::Stage(_)
            | Event::Segment(_)
            | Event::Decoded { .. }
            | Event::Scores { .. }
            | Event::Media(_) => {}
        }
    }

    /// Releases audio before a position: it is outside the window, and not decoded again.
    fn release(&mut self, position: u64) {
        if position > self.kept {
            self.samples.drain(..(position - self.kept) as usize);
            self.kept = position;
        }
    }

    /// Puts words on the session's clock, inside the utterance, in order.
    fn place(&self, mut words: Vec<hearken_proto::Word>) -> Vec<Word> {
        // A word that is decoded again may be some milliseconds off.
        words.retain(|word| self.base + (u64::from(word.start) + u64::from(word.end)) / 2 >= self.repeated);
        let earliest = self.words.last().map_or(self.base, |word| word.end);
        Word::place(words, self.base, earliest..self.written)
    }

    /// Position up to which the words are certain.
    fn settled(&self) -> u64 {
        self.words.last().map_or(self.start, |word| word.end)
    }

    /// Starts over in a fresh sandbox: audio that is not committed is decoded again.
    pub(in crate::session) fn start_over(&mut self) {
        self.recognizer = None;
        self.base = self.settled().max(self.kept);
        self.written = self.base;
        self.window = self.base;
    }

    /// Moves to another place: what follows is decoded with the audio of the window, as it would
    /// have been. Committed words in it are decoded again, but not committed again.
    fn move_on(&mut self) {
        self.recognizer = None;
        (self.base, self.written, self.window) = (self.kept, self.kept, self.kept);
        self.repeated = self.settled();
    }

    /// Drops the sandbox if its memory is over the limit for waiting sandboxes. Returns true if it
    /// was dropped.
    pub(in crate::session) fn give_up_memory(&mut self) -> bool {
        let given_up = self.recognizer.as_ref().is_some_and(|recognizer| recognizer.is_too_much());
        if given_up {
            self.start_over();
        }
        given_up
    }

    /// Emits the final text, and the voiced stretches up to `heard` that no word explains. Audio
    /// behind that was dropped.
    fn finish(&mut self, end: u64, heard: u64, emit: &mut (dyn FnMut(SessionEvent) + Send)) {
        let words = mem::take(&mut self.words);
        let explained = words.iter().map(|word| word.start..word.end);
        let heard = self.start..heard;
        let voice = self.voice.within(&heard);
        for Range { start, end } in missed(voice.with_tones(), explained, heard) {
            emit(SessionEvent::Unrecognized { position: start, len: end - start });
        }
        emit(SessionEvent::Final { utterance: self.start, end, words });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_decoded_in_whole_windows() {
        let mut hearing = Hearing::new(7);
        assert_eq!(hearing.next_step(10, 10), 10);
        assert_eq!(hearing.next_step(57, 10), 57);
        assert_eq!(hearing.next_step(58, 10), 47, "room for a step is left");
        hearing.written = 47;
        // The window has slid.
        hearing.window = 19;
        assert_eq!(hearing.next_step(69, 10), 69);
        assert_eq!(hearing.next_step(70, 10), 59);
    }

    #[test]
    fn a_guest_that_lies_of_its_window_is_given_no_more_than_one() {
        let mut hearing = Hearing::new(100);
        (hearing.base, hearing.written) = (120, 140);
        for (said, until) in [(u64::from(u32::MAX), 180), (141, 180), (100, 160), (119, 160)] {
            hearing.window = said;
            assert_eq!(hearing.next_step(1000, 10), until, "{said}");
        }
    }

    #[test]
    fn audio_outside_the_window_is_released_though_no_word_was_committed() {
        let mut hearing = Hearing::new(100);
        hearing.accept(&[0.0; 50], Voice::default());
        hearing.written = 140;
        let mut slid = |window| {
            let event = Event::Hypothesis {
                committed: Vec::new(),
                tentative: Vec::new(),
                tokens: 0,
                window,
                heard: 40,
                no_speech: 1.0,
                avg_logprob: -1.0,
                encodes: 1,
            };
            hearing.take(event, false, false, &mut |_| {});
            (hearing.kept, hearing.samples.len())
        };
        assert_eq!(slid(0), (100, 50));
        assert_eq!(slid(30), (130, 20));
        assert_eq!(slid(u32::MAX), (140, 10), "not what it has not heard");
        assert_eq!(slid(0), (140, 10));
        hearing.start_over();
        assert_eq!((hearing.base, hearing.unheard()), (140, 10));
    }
}
