//! Live speech: utterances, and when each is decoded.

#[path = "../../../host/src/session/carry.rs"]
mod carry;
#[path = "../../../host/src/session/commit.rs"]
mod commit;
#[path = "../../../host/src/session/event.rs"]
mod event;
#[path = "../../../host/src/session/options.rs"]
mod options;
#[path = "../../../host/src/session/utterance/mod.rs"]
mod utterance;

use std::time::Duration;

pub use commit::CommitPolicy;
pub use event::SessionEvent;
pub use options::SessionOptions;

use self::carry::Carried;
use self::utterance::{Queue, Reach};
use crate::audio::{Resampler, VadEvent, VoiceActivity, usable};
use crate::error::Error;
use crate::{Model, to_end};

/// Minimum ratio of new speech to the cost of a partial text, as in the host; and the same in the
/// first seconds of an utterance, since nobody else waits for this processor.
const RELIEF: u32 = 2;
const RELIEF_EARLY: u32 = 1;

/// Live speech that is pushed in and comes out as events. Its owner pushes audio as it comes,
/// and calls [`decode`](Self::decode) while that [is due](Self::is_due).
pub struct Session {
    model: Model,
    options: SessionOptions,
    resampler: Resampler,
    activity: VoiceActivity,
    mono: Vec<f32>,
    utterances: Queue,
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
            utterances: Queue::default(),
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
        self.utterances.end_last();
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
        let relief = if front.is_early() { RELIEF_EARLY } else { RELIEF };
        front.due(front.step(self.options.step).max(self.cost * relief)).is_some()
    }

    /// Decodes the oldest utterance so far. `clock` tells the time since any moment; the cost of
    /// partial texts is measured with it.
    pub fn decode(&mut self, clock: impl Fn() -> Duration) {
        let Some(utterance) = self.utterances.front_mut() else { return };
        let Some((mut hearing, reach)) = utterance.take() else { return };
        let Reach { last, .. } = reach;
        let task = self.options.task(&self.model, self.language.clone(), &self.carried, utterance.start());
        let begun = clock();
        let mut events = Vec::new();
        to_end(hearing.decode(&self.model, &task, reach, &mut |event| events.push(event)));
        // A new utterance begins with short windows, which cost less than the last ones.
        self.cost = Duration::ZERO;
        if last {
            self.utterances.complete();
        } else {
            self.cost = clock().saturating_sub(begun);
            utterance.put_back(hearing);
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

/// Handles an event of voice activity.
fn hear(
    event: &VadEvent<'_>,
    utterances: &mut Queue,
    events: &mut Vec<SessionEvent>,
    options: &SessionOptions,
) {
    let (_, follows) = utterances.hear(event, options);
    events.extend(follows);
}
