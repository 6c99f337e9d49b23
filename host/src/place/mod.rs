//! Places: where the jobs of a model run, and where its sandboxes are.
//!
//! A session decodes an utterance in three steps: it submits a job, the job opens a recognizer, and
//! calls it. All three go through the model's [`Place`]. The place of a model that
//! [`Engine::load`](crate::Engine::load) returns is this process: its executor, and its sandboxes.
//! A model of [`Engine::elsewhere`](crate::Engine::elsewhere) has a place of the caller's: other
//! machines, say. The crate `hearken-cluster` is one.
//!
//! A session keeps all committed words, and all audio that is not settled. So a recognizer that is
//! lost costs time and no word: a fresh one hears again what is not committed.

mod attempts;
mod facts;
mod here;
mod metered;

use std::pin::Pin;
use std::time::{Duration, Instant};

pub use hearken_proto::{Event, Request};

pub(crate) use self::attempts::{Attempts, Fault};
pub use self::facts::ModelFacts;
pub(crate) use self::here::Here;
pub(crate) use self::metered::Counted;
use crate::Share;
use crate::error::Error;
pub use crate::executor::{Class, Ticket};

/// A result that is waited for.
pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Work that opens recognizers, calls them, and does little else.
pub type Job = Waiting<'static, ()>;

/// A place where the jobs of a model run, and its sandboxes are.
pub trait Place: Send + Sync {
    /// Has a job done for a share: jobs of an earlier class first, and within one share those with
    /// an earlier deadline. Returns at once. A job that is not to be done any more is dropped.
    fn submit(&self, share: &Share, class: Class, deadline: Instant, job: Job) -> Ticket;

    /// Opens a fresh recognizer for an utterance, or a chunk of a recording, of this share.
    fn open<'a>(&'a self, share: &'a Share) -> Waiting<'a, Result<Box<dyn Recognizer>, Error>>;

    /// Number of jobs that run at the same time, at least 1.
    fn width(&self) -> usize;
}

/// A sandbox that hears one utterance, or one chunk of a recording, and is dropped after it.
pub trait Recognizer: Send {
    /// Adds samples (16 kHz, mono, finite) to the audio that the next call decodes.
    fn write<'a>(&'a mut self, samples: &'a [f32]) -> Waiting<'a, Result<(), Error>>;

    /// Makes one request, and returns the events that it caused. The caller believes none of their
    /// numbers.
    fn call<'a>(&'a mut self, request: &'a Request) -> Waiting<'a, Result<Vec<Event>, Error>>;

    /// CPU time of the latest call, all threads together.
    fn spent(&self) -> Duration;

    /// Returns true if the sandboxes of its share hold too much memory, so that it is to be dropped
    /// instead of waiting for its next call.
    fn is_too_much(&self) -> bool {
        false
    }

    /// Notes that it makes a final text without partial ones before: the cost of such texts is what
    /// speech costs where there is no time for more.
    fn for_final(&mut self) {}
}

/// A recognizer that was opened.
pub(crate) type Opened = Box<dyn Recognizer>;

/// Why a place elsewhere did not do its part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// A worker ended, hung or cannot be reached any more. Another one hears the utterance again,
    /// up to three in all.
    #[error("the worker that recognized it was lost: {0}")]
    Lost(String),
    /// The worker ends, and hands the utterance over: another one hears it again.
    #[error("the worker that recognized it has ended, and no other one took over")]
    HandedOver,
    /// No worker took the utterance in time.
    #[error("no worker recognizes it: {0}")]
    Unavailable(String),
    /// A model cannot be what it is said to be.
    #[error("the facts of {name} are wrong: {problem}; use workers and gateways of the same version")]
    Facts {
        /// The model's name.
        name: String,
        /// The contradiction.
        problem: String,
    },
    /// The guest failed there.
    #[error("{message}")]
    Guest {
        /// True if every utterance would fail as this one did: the machine is at fault, or the
        /// module.
        fatal: bool,
        /// Why, as [`SandboxError`](crate::sandbox::SandboxError) says it.
        message: String,
    },
}
