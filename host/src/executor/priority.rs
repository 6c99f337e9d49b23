//! Priority of a job: its class, and its deadline.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Class of a job. Earlier variants go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The text of an utterance that has ended: a person waits for it.
    Final,
    /// A text that will be replaced.
    Partial,
    /// A recording: no person waits for this word in particular.
    Batch,
}

/// A job that was submitted.
#[derive(Debug, Clone)]
pub(crate) struct Ticket(Arc<Urgency>);

#[derive(Debug)]
struct Urgency {
    class: Class,
    since: Instant,
    hurried: OnceLock<Instant>,
}

impl Ticket {
    pub(super) fn new(class: Class) -> Self {
        Self(Arc::new(Urgency { class, since: Instant::now(), hurried: OnceLock::new() }))
    }

    /// Raises it to a final text, running or not: a final text waits for its end.
    pub(crate) fn hurry(&self) {
        let _ = self.0.hurried.set(Instant::now());
    }

    /// Current class.
    pub(super) fn class(&self) -> Class {
        if self.0.hurried.get().is_some() { Class::Final } else { self.0.class }
    }

    /// Time since when a person waits for it, if one does.
    pub(super) fn waited_for(&self) -> Option<Instant> {
        match self.0.class {
            Class::Final => Some(self.0.since),
            Class::Partial | Class::Batch => self.0.hurried.get().copied(),
        }
    }
}
