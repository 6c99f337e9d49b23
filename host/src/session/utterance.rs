//! State of an utterance on its way through a sandbox.

use std::mem;
use std::ops::Range;

use hearken_proto::voice::missed;
use hearken_proto::window::STRIDES;
use hearken_proto::{Event, Request, Task};

use super::event::SessionEvent;
use crate::audio::Voice;
use crate::engine::guard;
use crate::error::Error;
use crate::place::{Attempts, Opened};
use crate::{Language, Model, SAMPLE_RATE, Segment, Word, text, transcript};

/// Maximum number of voiced stretches in a task: as many as a window of 30 s has if they and the
/// pauses between them are as short as can be.
const MOST_STRETCHES: usize = 750;

/// New voice that is worth a decode while there is a tone [samples]: 200 ms. It takes some time
/// until the end of what was heard is known to be a tone.
const WORTH: u64 = SAMPLE_RATE as u64 / 5;

/// New audio that is worth a decode in any case, in samples: 5 s. A tone may hide a voice.
const LONG: u64 = 5 * SAMPLE_RATE as u64;

/// Minimum probability of the language of an utterance that was too short for detection.
const LIKELY_LANGUAGE: f32 = 0.5;

/// An utterance: its audio as far as it is not settled, and its words.
pub(super) struct Utterance {
    /// Position of its first sample in the session.
    pub(super) start: u64,
    /// Audio from `kept` on.
    samples: Vec<f32>,
    /// Position, in the utterance, of the first sample that is kept: audio before it is committed.
    kept: u64,
    /// Position up to which the sandbox has the audio.
    written: u64,
    /// Position in the utterance where the sandbox's own clock starts: 0, or where a fresh one took
    /// over.
    base: u64,
    /// Position in the utterance where the sandbox's window starts, as the guest has it.
    window: u64,
    recognizer: Option<Opened>,
    attempts: Attempts,
    /// Position in the utterance up to which the sandbox decodes committed words again.
    repeated: u64,
    /// Set after a failure: further audio is dropped, for this reason.
    failed: Option<String>,
    /// Committed words, on the session's clock.
    words: Vec<Word>,
    /// Encoder passes that were not counted yet.
    encodes: u64,
    /// Voiced stretches in the session; empty with push-to-talk, where the key marks speech.
    pub(super) voice: Voice,
    /// Position in the session behind the last voice.
    pub(super) voiced: u64,
    /// Position behind the last voice, if the speaker has paused there and the words before are to
    /// be committed.
    pub(super) pause: Option<u64>,
    /// The same of the latest pause for which that was done.
    pub(super) paused: u64,
    /// Number of words at that pause.
    told: usize,
    /// True if nothing is appended any more.
    pub(super) ended: bool,
}

impl Utterance {
    pub(super) fn new(start: u64) -> Self {
        Self {
            start,
            samples: Vec::new(),
            kept: 0,
            written: 0,
            base: 0,
            window: 0,
            recognizer: None,
            attempts: Attempts::default(),
            repeated: 0,
            failed: None,
            words: Vec::new(),
            encodes: 0,
            voice: Voice::default(),
            voiced: start,
            pause: None,
            paused: start,
            told: 0,
            ended: false,
        }
    }

    /// An utterance with these committed words, and audio from `kept` on. Its last words are
    /// decoded again with what follows, which depends on them, but not committed again.
    pub(super) fn restored(start: u64, kept: u64, samples: Vec<f32>, words: Vec<Word>) -> Self {
        let mut utterance = Self { kept, samples, words, ..Self::new(start) };
        (utterance.base, utterance.written, utterance.window) = (kept, kept, kept);
        utterance.repeated = utterance.settled();
        utterance.told = utterance.words.len();
        utterance
    }

    pub(super) fn append(&mut self, samples: &[f32]) {
        self.samples.extend_from_slice(samples);
    }

    /// Takes note of voice up to `voiced_until`, in a stream that has come to `position`. Silence
    /// since then of at least `pause` samples is a pause.
    pub(super) fn hear_voice(&mut self, voiced_until: u64, position: u64, pause: Option<u64>) {
        self.voiced = self.voiced.max(voiced_until);
        let silence = position.saturating_sub(self.voiced);
        let is_pause = pause.is_some_and(|pause| silence >= pause) && self.voiced > self.paused;
        self.pause = is_pause.then_some(self.voiced);
    }

    /// Length so far, in samples.
    pub(super) fn len(&self) -> u64 {
        self.kept + self.samples.len() as u64
    }

    /// Number of samples that no decode has heard.
    pub(super) fn unheard(&self) -> u64 {
        self.len() - self.written
    }

    /// Returns true if a sandbox is at work on it.
    pub(super) fn has_sandbox(&self) -> bool {
        self.recognizer.is_some()
    }

    /// Returns true if voice was detected since the last decode: silence or a tone alone are not
    /// worth another one.
    pub(super) fn has_new_speech(&self) -> bool {
        let new = self.start + self.written..self.start + self.len();
        let voice = || self.voice.within(&new);
        self.voiced > new.start && (!voice().has_tones() || voice().len() >= WORTH || self.unheard() >= LONG)
    }

    /// Takes audio in while the utterance itself is being decoded.
    pub(super) fn stand_in(&self) -> Self {
        let len = self.len();
        Self { kept: len, written: len, paused: self.paused, ..Self::new(self.start) }
    }

    /// Appends the audio that a stand-in took.
    pub(super) fn absorb(&mut self, stand_in: Self) {
        self.samples.extend_from_slice(&stand_in.samples);
        self.ended = stand_in.ended;
        self.pause = stand_in.pause;
        self.voice.extend(stand_in.voice);
        self.voiced = self.voiced.max(stand_in.voiced);
    }

    /// Encoder passes since this was last asked.
    pub(super) fn take_encodes(&mut self) -> u64 {
        mem::take(&mut self.encodes)
    }

    /// Recognizes no more of it.
    pub(super) fn give_up(&mut self, reason: String) {
        self.recognizer = None;
        self.failed = Some(reason);
    }

    /// Decodes the audio up to `position`, in steps that fit the model's window; the last one is
    /// final if the utterance ended there. Emits through `emit`.
    pub(super) async fn decode(
        &mut self,
        model: &Model,
        task: &Task,
        position: u64,
        last: bool,
        emit: &mut (dyn FnMut(SessionEvent) + Send),
    ) {
        while self.failed.is_none() {
            let result = self.attempt(model, task, position, last, emit).await;
            let Err(error) = result else { return };
            // Whatever it was, that sandbox is not to be trusted any more.
            self.start_over();
            if !self.attempts.again(&error) {
                self.failed = Some(error.to_string());
            }
        }
        self.written = position;
        if last {
            let lost = self.settled().max(self.base);
            let mut heard = position;
            if let Some(reason) = self.failed.take().filter(|_| position > lost) {
                emit(SessionEvent::Dropped { position: self.start + lost, len: position - lost, reason });
                heard = lost;
            }
            self.finish(position, heard, emit);
        }
    }

    /// Voiced stretches that no committed word explains, on the sandbox's clock.
    fn voice_to_explain(&self) -> Vec<(u32, u32)> {
        let origin = self.start + self.base;
        let end = self.start + self.written;
        let voice = self.voice.within(&(origin.max(self.start + self.settled())..end));
        let at = |position: u64| u32::try_from(position.saturating_sub(origin)).unwrap_or(u32::MAX);
        let stretches = voice.stretches();
        // The latest, if there are more than a message holds.
        let latest = &stretches[stretches.len().saturating_sub(MOST_STRETCHES)..];
        latest.iter().map(|stretch| (at(stretch.start), at(stretch.end))).collect()
    }

    async fn attempt(
        &mut self,
        model: &Model,
        task: &Task,
        position: u64,
        last: bool,
        emit: &mut (dyn FnMut(SessionEvent) + Send),
    ) -> Result<(), Error> {
        let mut recognizer = match self.recognizer.take() {
            Some(recognizer) => recognizer,
            None => model.recognizer().await?,
        };
        if last && self.written == self.base {
            recognizer.for_final();
        }
        loop {
            let until = self.reach(position, model.stride_samples() as u64);
            let range = (self.written - self.kept) as usize..(until - self.kept) as usize;
            recognizer.write(&self.samples[range]).await?;
            self.written = until;
            let complete = until == position;
            let pause = task.pause && complete;
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
            model.meter().spoken(position, model.windows(position));
            self.finish(position, position, emit);
        } else {
            self.recognizer = Some(recognizer);
            if task.pause && self.words.len() > self.told {
                self.told = self.words.len();
                emit(SessionEvent::Paused { utterance: self.start, position: self.paused });
            }
        }
        Ok(())
    }

    /// Position up to which the sandbox decodes next: everything if its window holds that; else
    /// until the window is full, and slides. A backlog is not recognized in small steps: each would
    /// decode the whole window.
    fn reach(&self, position: u64, stride: u64) -> u64 {
        // The guest may say anything of its window.
        let window = self.window.clamp(self.base, self.written);
        let most = window + STRIDES as u64 * stride;
        let full = most - stride;
        if position <= most { position } else { full.max(self.written + stride) }
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
            Event::Hypothesis { committed, tentative, window, no_speech, avg_logprob, encodes, .. } => {
                self.encodes += u64::from(encodes);
                let mut committed = self.place(committed);
                let mut tentative = self.place(tentative);
                if !verbatim {
                    for words in [&mut committed, &mut tentative] {
                        words.retain(|word| !self.voice.is_tone(&(word.start..word.end)));
                    }
                }
                if last && !verbatim && self.words.is_empty() && unspoken(&committed, no_speech, avg_logprob)
                {
                    committed.clear();
                }
                self.words.extend(committed.iter().cloned());
                self.window = self.base + u64::from(window);
                // What is settled and outside the window is not needed again.
                let needless = self.window.min(self.settled()).min(self.written);
                if needless > self.kept {
                    self.samples.drain(..(needless - self.kept) as usize);
                    self.kept = needless;
                }
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

    /// Puts words on the session's clock, inside the utterance, in order.
    fn place(&self, mut words: Vec<hearken_proto::Word>) -> Vec<Word> {
        // A word that is decoded again may be some milliseconds off.
        words.retain(|word| self.base + (u64::from(word.start) + u64::from(word.end)) / 2 >= self.repeated);
        let (first, end) = (self.start + self.base, self.start + self.written);
        let earliest = self.words.last().map_or(first, |word| word.end);
        Word::place(words, first, earliest..end)
    }

    /// Position in the utterance up to which its words are certain.
    fn settled(&self) -> u64 {
        self.words.last().map_or(0, |word| word.end - self.start)
    }

    /// Starts over in a fresh sandbox: audio that is not committed is decoded again.
    pub(super) fn start_over(&mut self) {
        self.recognizer = None;
        self.base = self.settled().max(self.kept);
        self.written = self.base;
        self.window = self.base;
    }

    /// Drops the sandbox if its memory is over the limit for waiting sandboxes. Returns true if it
    /// was dropped.
    pub(super) fn give_up_memory(&mut self) -> bool {
        let given_up = self.recognizer.as_ref().is_some_and(|recognizer| recognizer.is_too_much());
        if given_up {
            self.start_over();
        }
        given_up
    }

    /// Emits the final text, and the voiced stretches up to `heard` that no word explains. Audio
    /// behind that was dropped.
    fn finish(&mut self, position: u64, heard: u64, emit: &mut (dyn FnMut(SessionEvent) + Send)) {
        let words = mem::take(&mut self.words);
        let explained = words.iter().map(|word| word.start..word.end);
        let heard = self.start..self.start + heard;
        let voice = self.voice.within(&heard);
        for Range { start, end } in missed(voice.with_tones(), explained, heard) {
            emit(SessionEvent::Unrecognized { position: start, len: end - start });
        }
        emit(SessionEvent::Final { utterance: self.start, end: self.start + position, words });
    }
}

/// Returns true if the final words of an utterance are a hallucination of silence.
fn unspoken(words: &[Word], no_speech: f32, avg_logprob: f32) -> bool {
    let (Some(first), Some(last)) = (words.first(), words.last()) else { return false };
    let segment = Segment { start: first.start, end: last.end, no_speech, avg_logprob, ..Segment::default() };
    guard::is_unspoken(&segment, words.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_decoded_in_whole_windows() {
        let mut utterance = Utterance::new(7);
        assert_eq!(utterance.reach(3, 10), 3);
        assert_eq!(utterance.reach(50, 10), 50);
        assert_eq!(utterance.reach(51, 10), 40, "room for a step is left");
        utterance.written = 40;
        // The window has slid.
        utterance.window = 12;
        assert_eq!(utterance.reach(62, 10), 62);
        assert_eq!(utterance.reach(63, 10), 52);
    }

    #[test]
    fn a_guest_that_lies_of_its_window_is_given_no_more_than_one() {
        let mut utterance = Utterance::new(0);
        (utterance.base, utterance.written) = (20, 40);
        for (said, until) in [(u64::from(u32::MAX), 80), (41, 80), (0, 60), (19, 60)] {
            utterance.window = said;
            assert_eq!(utterance.reach(1000, 10), until, "{said}");
        }
    }
}
