//! Times of decodes: the one thing about a session that depends on the machine.

use super::carry::Carried;
use super::event::SessionEvent;
use super::utterance::{Hearing, Reach};
use super::{SessionError, SessionOptions};
use crate::Model;
use crate::audio::{Resampler, VadEvent, Voice, VoiceActivity, usable};
use crate::error::Error;
use crate::preempt::to_end;

/// A decode.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decode {
    /// First sample of the utterance.
    pub utterance: u64,
    /// Number of samples of the utterance that it heard.
    pub heard: u64,
    /// True for the last decode of the utterance.
    pub last: bool,
    /// Position behind the last voice, if it committed all words because the speaker had paused
    /// there.
    pub pause: Option<u64>,
    /// The language of the utterance before.
    pub language: Option<String>,
    /// True if its sandbox was dropped afterwards, since the session's [`Share`](crate::Share) held
    /// too much memory: the next decode repeats the part that is not committed.
    pub given_up: bool,
}

/// The decodes of a session, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    /// The decodes.
    pub decodes: Vec<Decode>,
}

impl Journal {
    /// Makes the same decodes of the same audio again, and returns their events: the session's
    /// [`Partial`](SessionEvent::Partial), [`Final`](SessionEvent::Final),
    /// [`Language`](SessionEvent::Language), [`Paused`](SessionEvent::Paused),
    /// [`Unrecognized`](SessionEvent::Unrecognized) and [`Dropped`](SessionEvent::Dropped) events,
    /// to the bit.
    ///
    /// `audio` is all pushed audio, interleaved. Push-to-talk sessions cannot be replayed: the
    /// times of the key are not in the journal.
    ///
    /// # Errors
    ///
    /// When the format is out of range or the session was push-to-talk.
    pub fn replay(
        &self,
        model: &Model,
        options: &SessionOptions,
        audio: &[f32],
    ) -> Result<Vec<SessionEvent>, Error> {
        let Some(config) = options.voice_activity else {
            return Err(Error::Session(SessionError::Automatic));
        };
        let (mut resampler, mut activity) = (Resampler::new(options.format)?, VoiceActivity::new(config));
        let mut mono = Vec::new();
        resampler.push(&usable(audio), &mut mono);
        resampler.finish(&mut mono);
        let mut speech: Vec<(u64, Vec<f32>)> = Vec::new();
        let mut voice = Voice::default();
        let mut collect = |event: VadEvent<'_>| {
            voice.push(&event);
            match event {
                VadEvent::Start { position } => speech.push((position, Vec::new())),
                VadEvent::Speech { samples, .. } => {
                    if let Some((_, all)) = speech.last_mut() {
                        all.extend_from_slice(samples);
                    }
                }
                _ => {}
            }
        };
        activity.push(&mono, &mut collect);
        activity.finish(&mut collect);

        let (mut events, mut carried) = (Vec::new(), Carried::default());
        for (start, samples) in speech {
            let mut hearing = Hearing::new(start);
            for decode in self.decodes.iter().filter(|decode| decode.utterance == start) {
                let have = (hearing.end() - start) as usize;
                let heard = (decode.heard as usize).clamp(have, samples.len());
                let end = start + heard as u64;
                hearing.accept(&samples[have..heard], voice.known_at(end).within(&(start..end)));
                let task = options.task(model, decode.language.clone(), &carried, start);
                let reach = Reach { end, last: decode.last, pause: decode.pause };
                let mut emit = |event| {
                    carried.note(&event);
                    events.push(event);
                };
                to_end(hearing.decode(model, &task, reach, &mut emit));
                if decode.given_up {
                    hearing.start_over();
                }
            }
        }
        Ok(events)
    }
}
