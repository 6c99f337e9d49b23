//! The session of one channel, or of all of them averaged, and its events on the stream's clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use hearken::Model;
use hearken::service::ActiveStream;
use hearken::session::{Session, SessionOptions};
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
}

impl Lane {
    /// Opens a session that notifies `wake` of its progress.
    pub(super) fn open(
        model: &Model,
        options: SessionOptions,
        wake: &Arc<Notify>,
    ) -> Result<Self, Rejection> {
        let mut session = Session::new(model, options)?;
        let waker = Arc::clone(wake);
        // Leaves a permit when nobody waits, so that nothing is missed.
        session.on_progress(move || waker.notify_one());
        Ok(Self {
            session,
            ended: VecDeque::new(),
            started: 0,
            completed: 0,
            speaking: None,
            finished: false,
            over: false,
        })
    }

    /// Takes in audio of its channel.
    pub(super) fn push(&mut self, samples: &[f32]) -> Result<(), Rejection> {
        if let Some(speaking) = &mut self.speaking {
            speaking.hear();
        }
        self.session.push(samples).map(drop).map_err(|_| Rejection::Internal)
    }
}
