//! Utterances on their way to text.
//!
//! An utterance has two halves, so that audio can come while it is decoded. Its [`Intake`] stays
//! in the session's queue, and takes what voice activity passes on. Its [`Hearing`] has the
//! sandbox, the words, and the audio that is not settled; a decode takes it out of the queue, with
//! all audio that has come, and puts it back afterwards.
//!
//! All positions are on the session's clock. The sandbox counts from where it began to hear: that
//! is converted where its messages are written and read, in [`Hearing`] alone.

mod hearing;
mod intake;

use std::collections::VecDeque;
use std::time::Duration;

pub(super) use self::hearing::Hearing;
use self::intake::Intake;
use super::event::SessionEvent;
use super::options::SessionOptions;
use crate::audio::{VadEvent, Voice};
use crate::{DropReason, SAMPLE_RATE, samples_in};

/// Minimum length of an utterance before it is decoded, its pre-roll included [samples]: of less,
/// models hallucinate as they do on silence. 0.9 s.
const FIRST_WINDOW: u64 = SAMPLE_RATE as u64 * 9 / 10;

/// Up to this length utterances are decoded more often, in samples: the first words are waited for,
/// and short windows are cheap. 3 s.
const EARLY: u64 = 3 * SAMPLE_RATE as u64;

/// New voice that is worth a decode while there is a tone [samples]: 200 ms. It takes some time
/// until the end of what was heard is known to be a tone.
const WORTH: u64 = SAMPLE_RATE as u64 / 5;

/// New audio that is worth a decode in any case, in samples: 5 s. A tone may hide a voice.
const LONG: u64 = 5 * SAMPLE_RATE as u64;

/// An utterance that is not complete.
pub(super) struct Utterance {
    intake: Intake,
    /// `None` while it is decoded.
    hearing: Option<Hearing>,
}

/// The text that an utterance is due for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Partial,
    /// All words so far: the speaker has paused.
    Pause,
    Final,
}

/// The reach of a decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    /// Position behind the audio that it hears.
    pub(super) end: u64,
    /// True for the last decode of the utterance.
    pub(super) last: bool,
    /// Position behind the last voice, if the speaker has paused there and the words before are to
    /// be committed.
    pub(super) pause: Option<u64>,
}

impl Utterance {
    fn new(start: u64) -> Self {
        Self { intake: Intake::new(start), hearing: Some(Hearing::new(start)) }
    }

    /// An utterance of a checkpoint, with these voiced stretches, the last of which ended at
    /// `voiced`.
    pub(super) fn restored(start: u64, hearing: Hearing, voice: Voice, voiced: u64, ended: bool) -> Self {
        let intake = Intake::restored(start, hearing.end(), voice, voiced, ended);
        Self { intake, hearing: Some(hearing) }
    }

    /// Position of its first sample.
    pub(super) fn start(&self) -> u64 {
        self.intake.start
    }

    /// Position behind its audio so far.
    pub(super) fn end(&self) -> u64 {
        self.intake.end()
    }

    /// Length so far, in samples.
    fn len(&self) -> u64 {
        self.end() - self.start()
    }

    /// Number of samples that no decode has heard.
    pub(super) fn unheard(&self) -> u64 {
        self.intake.len() + self.hearing.as_ref().map_or(0, Hearing::unheard)
    }

    /// Returns true if nothing is appended any more.
    pub(super) fn has_ended(&self) -> bool {
        self.intake.ended
    }

    /// Returns true if a final text is awaited, or all words before a pause.
    pub(super) fn is_urgent(&self) -> bool {
        self.intake.ended || self.intake.pause.is_some()
    }

    /// Returns true if a sandbox is at work on it.
    pub(super) fn has_sandbox(&self) -> bool {
        self.hearing.as_ref().is_some_and(Hearing::has_sandbox)
    }

    /// Returns true in its first seconds.
    pub(super) fn is_early(&self) -> bool {
        self.len() < EARLY
    }

    /// Minimum new speech between two partial texts, which is `step` later on.
    pub(super) fn step(&self, step: Duration) -> Duration {
        if self.is_early() { step * 2 / 3 } else { step }
    }

    /// The text that is due, if partial ones are worth it after this much new speech.
    pub(super) fn due(&self, step: Duration) -> Option<Due> {
        if self.intake.ended {
            return Some(Due::Final);
        }
        if self.len() < FIRST_WINDOW {
            return None;
        }
        if self.intake.pause.is_some() {
            return Some(Due::Pause);
        }
        let is_worth_it = self.unheard() >= samples_in(step).max(1) && self.has_new_speech();
        is_worth_it.then_some(Due::Partial)
    }

    /// Returns true if voice was detected since the last decode: silence or a tone alone are not
    /// worth another one.
    fn has_new_speech(&self) -> bool {
        let Some(hearing) = &self.hearing else { return false };
        let new = hearing.heard()..self.end();
        let voice = || self.intake.voice.within(&new);
        self.intake.voiced > new.start
            && (!voice().has_tones() || voice().len() >= WORTH || self.unheard() >= LONG)
    }

    /// Takes its hearing out for a decode, with all audio that has come. `None` while it is out.
    pub(super) fn take(&mut self) -> Option<(Hearing, Reach)> {
        let mut hearing = self.hearing.take()?;
        hearing.accept(&self.intake.take(), self.intake.voice.clone());
        let last = self.intake.ended;
        let pause = self.intake.take_pause().filter(|_| !last);
        let reach = Reach { end: hearing.end(), last, pause };
        Some((hearing, reach))
    }

    /// Puts its hearing back after a decode.
    pub(super) fn put_back(&mut self, hearing: Hearing) {
        self.hearing = Some(hearing);
    }
}

/// The utterances of a session that are not complete, oldest first. The last one may still be
/// spoken.
#[derive(Default)]
pub(super) struct Queue(VecDeque<Utterance>);

impl Queue {
    /// Takes an event of voice activity. Returns the number of its samples that were taken, as many
    /// as [`SessionOptions::backlog`] has room for, and the event of the session that follows.
    pub(super) fn hear(
        &mut self,
        event: &VadEvent<'_>,
        options: &SessionOptions,
    ) -> (usize, Option<SessionEvent>) {
        match *event {
            VadEvent::Start { position } => {
                self.0.push_back(Utterance::new(position));
                (0, Some(SessionEvent::SpeechStarted { position }))
            }
            VadEvent::Speech { position, samples: block, .. } => {
                let room = samples_in(options.backlog).saturating_sub(self.waiting());
                let room = usize::try_from(room).unwrap_or(usize::MAX).min(block.len());
                if let Some(utterance) = self.0.back_mut() {
                    utterance.intake.hear(event, room, options);
                }
                let dropped = (room < block.len()).then(|| SessionEvent::Dropped {
                    position: position + room as u64,
                    len: (block.len() - room) as u64,
                    reason: DropReason::Overload,
                });
                (room, dropped)
            }
            VadEvent::End { position, .. } => {
                self.end_last();
                (0, Some(SessionEvent::SpeechEnded { position }))
            }
            VadEvent::Silence { .. } => (0, None),
        }
    }

    /// Ends the utterance that is spoken.
    pub(super) fn end_last(&mut self) {
        if let Some(utterance) = self.0.back_mut() {
            utterance.intake.ended = true;
        }
    }

    /// The oldest utterance, which is the next to be decoded.
    pub(super) fn front(&self) -> Option<&Utterance> {
        self.0.front()
    }

    /// The oldest utterance.
    pub(super) fn front_mut(&mut self) -> Option<&mut Utterance> {
        self.0.front_mut()
    }

    /// Removes the oldest utterance, which is complete.
    pub(super) fn complete(&mut self) {
        self.0.pop_front();
    }

    /// The utterance that is spoken.
    pub(super) fn running(&self) -> Option<&Utterance> {
        self.0.back().filter(|utterance| !utterance.has_ended())
    }

    /// Returns true if all utterances are complete.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Speech that no decode has heard [samples].
    pub(super) fn waiting(&self) -> u64 {
        self.0.iter().map(Utterance::unheard).sum()
    }
}

impl FromIterator<Utterance> for Queue {
    fn from_iter<I: IntoIterator<Item = Utterance>>(utterances: I) -> Self {
        Self(utterances.into_iter().collect())
    }
}
