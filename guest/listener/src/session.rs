//! Live speech: utterances, and when each is decoded.

#[path = "../../../host/src/session/carry.rs"]
mod carry;
#[path = "../../../host/src/session/commit.rs"]
mod commit;
#[path = "../../../host/src/session/event.rs"]
mod event;
#[path = "../../../host/src/session/options.rs"]
mod options;
#[path = "../../../host/src/session/utterance.rs"]
mod utterance;

use std::collections::VecDeque;
use std::time::Duration;

pub use commit::CommitPolicy;
pub use event::SessionEvent;
pub use options::SessionOptions;

use self::carry::Carried;
use self::utterance::Utterance;
use crate::audio::{Resampler, VadEvent, VoiceActivity, usable};
use crate::error::Error;
use crate::{Model, SAMPLE_RATE, to_end};

/// Minimum ratio of new speech to the cost of a partial text, as in the host; and the same in the
/// first seconds of an utterance, since nobody else waits for this processor.
const RELIEF: u32 = 2;
const RELIEF_EARLY: u32 = 1;
/// Minimum length of an utterance before it is decoded, in samples, as in the host: 0.9 s.
const FIRST_WINDOW: u64 = SAMPLE_RATE as u64 * 9 / 10;
/// Up to this length utterances are decoded more often, in samples, as in the host: 3 s.
const EARLY: u64 = 3 * SAMPLE_RATE as u64;

/// Live speech that is pushed in and comes out as events. Its owner pushes audio as it comes,
/// and calls [`decode`](Self::decode) while that [is due](Self::is_due).
pub struct Session {
    model: Model,
    options: SessionOptions,
    resampler: Resampler,
    activity: VoiceActivity,
    mono: Vec<f32>,
    /// Utterances that are not complete, oldest first.
    utterances: VecDeque<Utterance>,
    /// Cost of the latest partial text of the utterance.
    cost: Duration,
    /// The language of the utterance before, if it was detected.
    language: Option<String>,
    carried: Carried,
    events: Vec<SessionEvent>,
    /// Length of the audio, once it is complete.
    finished: Option<u64>,
}

impl Session {
    /// A session that listens.
    ///
    /// # Errors
    /// The format is out of range, or the model does not support the options.
    pub fn new(model: &Model, options: SessionOptions) -> Result<Self, Error> {
        model.can(options.language.as_deref(), options.translate)?;
        for language in &options.languages {
            model.can(Some(language), options.translate)?;
        }
        let activity = options.voice_activity.map_or_else(VoiceActivity::always_on, VoiceActivity::new);
        Ok(Self {
            model: model.clone(),
            resampler: Resampler::new(options.format)?,
            options,
            activity,
            mono: Vec::new(),
            utterances: VecDeque::new(),
            cost: Duration::ZERO,
            language: None,
            carried: Carried::default(),
            events: Vec::new(),
            finished: None,
        })
    }

    /// Takes in interleaved audio of any length.
    pub fn push(&mut self, block: &[f32]) {
        if self.finished.is_some() {
            return;
        }
        self.mono.clear();
        self.resampler.push(&usable(block), &mut self.mono);
        self.listen();
    }

    /// Ends the audio: what runs becomes final.
    pub fn finish(&mut self) {
        if self.finished.is_some() {
            return;
        }
        self.mono.clear();
        self.resampler.finish(&mut self.mono);
        self.listen();
        let Self { activity, utterances, events, options, .. } = self;
        activity.finish(&mut |event| hear(&event, utterances, events, options));
        if let Some(utterance) = self.utterances.back_mut() {
            utterance.ended = true;
        }
        self.finished = Some(self.activity.position());
        self.end_if_done();
    }

    fn listen(&mut self) {
        let Self { activity, utterances, events, options, mono, .. } = self;
        activity.push(mono, &mut |event| hear(&event, utterances, events, options));
    }

    /// Events since the last call.
    pub fn take_events(&mut self) -> Vec<SessionEvent> {
        std::mem::take(&mut self.events)
    }

    /// Returns true if a decode is due now: a final text, or a partial one that is worth its cost.
    pub fn is_due(&self) -> bool {
        let Some(front) = self.utterances.front() else { return false };
        let is_early = front.len() < EARLY;
        let step = if is_early { self.options.step * 2 / 3 } else { self.options.step };
        let step = step.max(self.cost * if is_early { RELIEF_EARLY } else { RELIEF });
        front.ended
            || (front.pause.is_some() && front.len() >= FIRST_WINDOW)
            || (front.unheard() >= samples_of(step).max(1)
                && front.len() >= FIRST_WINDOW
                && front.has_new_speech())
    }

    /// Decodes the oldest utterance so far. `clock` tells the time since any moment; the cost of
    /// partial texts is measured with it.
    pub fn decode(&mut self, clock: impl Fn() -> Duration) {
        let Some(mut utterance) = self.utterances.pop_front() else { return };
        let (heard, last) = (utterance.len(), utterance.ended);
        let mut task = self.options.task(&self.model, self.language.clone(), &self.carried, utterance.start);
        let pause = utterance.pause.take().filter(|_| !last);
        task.pause = pause.is_some();
        utterance.paused = pause.unwrap_or(utterance.paused);
        let begun = clock();
        let mut events = Vec::new();
        to_end(utterance.decode(&self.model, &task, heard, last, &mut |event| events.push(event)));
        // A new utterance begins with short windows, which cost less than the last ones.
        self.cost = Duration::ZERO;
        if !last {
            self.cost = clock().saturating_sub(begun);
            self.utterances.push_front(utterance);
        }
        for event in events {
            self.carried.note(&event);
            if let SessionEvent::Language(language) = &event {
                if self.language.as_ref() == Some(&language.code) {
                    continue;
                }
                self.language = Some(language.code.clone());
            }
            self.events.push(event);
        }
        self.end_if_done();
    }

    fn end_if_done(&mut self) {
        if let (Some(duration), true) = (self.finished, self.utterances.is_empty())
            && !matches!(self.events.last(), Some(SessionEvent::Finished { .. }))
        {
            self.events.push(SessionEvent::Finished { duration });
        }
    }
}

/// Handles an event of voice activity, as the host does.
fn hear(
    event: &VadEvent<'_>,
    utterances: &mut VecDeque<Utterance>,
    events: &mut Vec<SessionEvent>,
    options: &SessionOptions,
) {
    match *event {
        VadEvent::Start { position } => {
            utterances.push_back(Utterance::new(position));
            events.push(SessionEvent::SpeechStarted { position });
        }
        VadEvent::Speech { position, samples, voiced_until, .. } => {
            let waiting: u64 = utterances.iter().map(Utterance::unheard).sum();
            let room = samples_of(options.backlog).saturating_sub(waiting).min(samples.len() as u64);
            let (taken, dropped) = samples.split_at(room as usize);
            if let Some(utterance) = utterances.back_mut() {
                utterance.append(taken);
                let end = position + samples.len() as u64;
                utterance.hear_voice(voiced_until, end, options.pause.map(samples_of));
                if dropped.is_empty() && options.voice_activity.is_some() {
                    utterance.voice.push(event);
                }
            }
            if !dropped.is_empty() {
                events.push(SessionEvent::Dropped {
                    position: position + room,
                    len: dropped.len() as u64,
                    reason: "speech comes faster than it can be recognized".to_owned(),
                });
            }
        }
        VadEvent::End { position, .. } => {
            if let Some(utterance) = utterances.back_mut() {
                utterance.ended = true;
            }
            events.push(SessionEvent::SpeechEnded { position });
        }
        VadEvent::Silence { .. } => {}
    }
}

fn samples_of(duration: Duration) -> u64 {
    (duration.as_secs_f64() * f64::from(SAMPLE_RATE)) as u64
}
