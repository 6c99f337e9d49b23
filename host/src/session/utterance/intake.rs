//! Audio of an utterance as it comes.

use std::mem;

use crate::audio::{VadEvent, Voice};
use crate::samples_in;
use crate::session::SessionOptions;

/// Audio of an utterance that no decode has taken, and what voice activity says of all of it.
/// Positions are on the session's clock.
pub(super) struct Intake {
    /// Position of the utterance's first sample.
    pub(super) start: u64,
    /// Position of the first sample here.
    from: u64,
    samples: Vec<f32>,
    /// All voiced stretches so far; empty with push-to-talk, where the key marks speech.
    pub(super) voice: Voice,
    /// Position behind the last voice.
    pub(super) voiced: u64,
    /// Position behind the last voice, if the speaker has paused there and the words before are to
    /// be committed.
    pub(super) pause: Option<u64>,
    /// The same of the latest pause for which that was done.
    paused: u64,
    /// True if nothing is appended any more.
    pub(super) ended: bool,
}

impl Intake {
    pub(super) fn new(start: u64) -> Self {
        Self::restored(start, start, Voice::default(), start, false)
    }

    /// An intake that goes on at `from`.
    pub(super) fn restored(start: u64, from: u64, voice: Voice, voiced: u64, ended: bool) -> Self {
        Self { start, from, samples: Vec::new(), voice, voiced, pause: None, paused: start, ended }
    }

    /// Position behind the audio so far.
    pub(super) fn end(&self) -> u64 {
        self.from + self.len()
    }

    /// Number of samples here.
    pub(super) fn len(&self) -> u64 {
        self.samples.len() as u64
    }

    /// Takes the first `room` samples of an event of voice activity, and notes where there is
    /// voice. Silence of at least [`SessionOptions::pause`] is a pause.
    pub(super) fn hear(&mut self, event: &VadEvent<'_>, room: usize, options: &SessionOptions) {
        let VadEvent::Speech { position, samples: block, voiced_until, .. } = *event else { return };
        self.samples.extend_from_slice(&block[..room]);
        self.voiced = self.voiced.max(voiced_until);
        let silence = (position + block.len() as u64).saturating_sub(self.voiced);
        let is_pause =
            options.pause.is_some_and(|pause| silence >= samples_in(pause)) && self.voiced > self.paused;
        self.pause = is_pause.then_some(self.voiced);
        if room == block.len() && options.voice_activity.is_some() {
            self.voice.push(event);
        }
    }

    /// Takes the audio out.
    pub(super) fn take(&mut self) -> Vec<f32> {
        self.from = self.end();
        mem::take(&mut self.samples)
    }

    /// Takes the pause out, if there is one: it is going to be committed.
    pub(super) fn take_pause(&mut self) -> Option<u64> {
        let pause = self.pause.take()?;
        self.paused = pause;
        Some(pause)
    }
}
