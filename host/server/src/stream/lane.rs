//! The session of one channel, or of all of them averaged, and its events on the stream's clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use hearken::Model;
use hearken::service::ActiveStream;
use hearken::session::{Checkpoint, Session, SessionOptions};
use tokio::sync::Notify;

use crate::rejection::Rejection;

/// A session, and what its events have said so far.
pub(super) struct Lane {
    pub(super) session: Session,
    /// End of each utterance whose final text has not come.
    pub(super) ended: VecDeque<Instant>,
    /// Utterances that began, and those that are complete.
    pub(super) started: u64,
    pub(super) completed: u64,
    /// Set while it is active.
    pub(super) speaking: Option<ActiveStream>,
    /// Its audio is all accounted for.
    pub(super) finished: bool,
    /// Its last event was given out.
    pub(super) over: bool,
    /// Frames to come that it has taken in already: another channel lacks them.
    ahead: u64,
}

impl Lane {
    /// Opens a session that notifies `wake` of its progress, and goes on where a checkpoint ends if
    /// there is one.
    pub(super) fn open(
        model: &Model,
        options: SessionOptions,
        wake: &Arc<Notify>,
        kept: Option<Checkpoint>,
    ) -> Result<Self, Rejection> {
        let utterances = kept.as_ref().map_or(0, Checkpoint::utterances);
        let speaks = kept.as_ref().is_some_and(Checkpoint::is_speaking);
        let mut session = match kept {
            None => Session::new(model, options)?,
            Some(kept) => Session::restore(model, options, kept)?,
        };
        let waker = Arc::clone(wake);
        // Leaves a permit when nobody waits, so that nothing is missed.
        session.on_progress(move || waker.notify_one());
        Ok(Self {
            session,
            ended: std::iter::repeat_n(Instant::now(), utterances - usize::from(speaks)).collect(),
            started: utterances as u64,
            completed: 0,
            speaking: None,
            finished: false,
            over: false,
            ahead: 0,
        })
    }

    /// Takes in audio of its channel.
    pub(super) fn push(&mut self, samples: &[f32]) -> Result<(), Rejection> {
        let heard = samples.len().min(usize::try_from(self.ahead).unwrap_or(usize::MAX));
        self.ahead -= heard as u64;
        let samples = &samples[heard..];
        if let Some(speaking) = &mut self.speaking {
            speaking.hear();
        }
        self.session.push(samples).map(drop).map_err(|_| Rejection::Internal)
    }

    /// Forgets frames that are not settled. What is pushed next is the audio behind `frames`, of
    /// which the session may have more.
    pub(super) fn rewind(&mut self, frames: u64) {
        self.ahead = self.session.rewind().saturating_sub(frames);
    }
}
