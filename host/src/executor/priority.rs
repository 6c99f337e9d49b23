//! Priority of a job: its class, and its deadline.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Class of a job. Earlier variants go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The text of an utterance that has ended: a person waits for it.
    Final,
    /// A text that will be replaced.
    Partial,
    /// A recording: no person waits for this word in particular.
    Batch,
}

/// A job that was submitted. A clone is the same job.
#[derive(Clone)]
pub struct Ticket(Arc<Urgency>);

struct Urgency {
    class: Class,
    since: Instant,
    hurried: OnceLock<Instant>,
    on_hurry: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Ticket {
    /// A job of this class.
    pub fn new(class: Class) -> Self {
        Self::with(class, None)
    }

    /// A job of this class. `on_hurry` is called once if it becomes as urgent as a final text; it
    /// must return at once.
    pub fn hurried_by(class: Class, on_hurry: impl Fn() + Send + Sync + 'static) -> Self {
        Self::with(class, Some(Box::new(on_hurry)))
    }

    fn with(class: Class, on_hurry: Option<Box<dyn Fn() + Send + Sync>>) -> Self {
        Self(Arc::new(Urgency { class, since: Instant::now(), hurried: OnceLock::new(), on_hurry }))
    }

    /// Raises it to a final text, running or not: a final text waits for its end.
    pub fn hurry(&self) {
        if self.0.hurried.set(Instant::now()).is_ok()
            && let Some(on_hurry) = &self.0.on_hurry
        {
            on_hurry();
        }
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
