//! Messages between gateways and workers, as postcard bytes. All of them are hostile until they
//! were checked.

use std::time::Duration;

use hearken::Error;
use hearken::place::{Event, PlaceError, Request};
use hearken_proto::abi::MAX_REQUEST;
use serde::{Deserialize, Serialize};

use crate::id::Id;

/// Bytes of a message beside its audio.
const OVERHEAD: usize = 1024;

/// Longest message of a failure, in characters.
const MOST_REASON: usize = 500;

/// Longest name of a tenant, in bytes.
const MOST_NAME: usize = 1024;

/// Asks for a sandbox, once: the message of the work queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The sandbox.
    pub(crate) id: Id,
    /// The gateway that wants it.
    pub(crate) gateway: Id,
    /// The tenant.
    pub(crate) share: ShareOf,
}

/// A share of an engine, as workers are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ShareOf {
    pub(crate) name: String,
    pub(crate) weight: u32,
    /// Memory that its sandboxes may write on one worker, in bytes.
    pub(crate) memory_bytes: Option<u64>,
}

/// A message of a gateway about a sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ToWorker {
    pub(crate) id: Id,
    pub(crate) body: Ask,
}

/// A request about a sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Audio before a call that does not fit into its message.
    Audio(Audio),
    /// One request, with the audio before it.
    Call {
        /// Number of the call, from 1.
        number: u32,
        audio: Audio,
        /// Time within which the answer is wanted \[ms\].
        within: u32,
        request: Request,
    },
    /// The call that runs has become as urgent as a final text.
    Hurry,
    /// The answer to this call did not come: it is sent again if it is there.
    Again { number: u32 },
    /// The sandbox is not wanted any more.
    Close,
}

/// Samples, and their position among all of the sandbox.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Audio {
    pub(crate) at: u64,
    pub(crate) samples: Vec<f32>,
}

/// A message of a worker about a sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ToGateway {
    pub(crate) id: Id,
    pub(crate) worker: Id,
    pub(crate) body: Tell,
}

/// An answer about a sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Tell {
    /// The worker has room for it. `attempt` counts how often its order was given out.
    Offer { attempt: u32 },
    /// A call has ended.
    Answer(Answer),
    /// The worker ends: the sandbox is dropped, and is to be made elsewhere.
    Leaving,
    /// The sandbox is not there, or is not what the gateway believes.
    Gone { reason: String },
}

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) number: u32,
    /// CPU time \[µs\].
    pub(crate) spent: u64,
    /// Wait for a thread \[µs\].
    pub(crate) waited: u64,
    /// The tenant's sandboxes hold too much memory, and this one was dropped.
    pub(crate) is_too_much: bool,
    pub(crate) outcome: Result<Vec<Event>, Failure>,
}

/// A failure of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// True if each utterance would fail.
    pub(crate) fatal: bool,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        let fatal = match error {
            Error::Sandbox(error) => !error.ends_one_utterance(),
            _ => false,
        };
        Self { fatal, message: shortened(&error.to_string()) }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let message = shortened(&hearken::text::sanitize(&failure.message));
        PlaceError::Guest { fatal: failure.fatal, message }.into()
    }
}

/// Reads a message; `None` for what is none.
pub(crate) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    hearken_proto::decode(bytes).ok()
}

impl ShareOf {
    /// Returns true for what a gateway may send.
    pub(crate) fn is_sound(&self) -> bool {
        self.name.len() <= MOST_NAME && self.weight >= 1
    }
}

/// The most samples in one message, where NATS takes `max_payload` bytes.
pub(crate) fn most_samples(max_payload: usize) -> usize {
    (max_payload.saturating_sub(MAX_REQUEST as usize + OVERHEAD) / size_of::<f32>()).max(1)
}

/// The beginning of a message for people.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(MOST_REASON).collect()
}

/// Microseconds, as many as fit.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use hearken_proto::encode;

    use super::*;

    #[test]
    fn messages_survive_and_cut_ones_are_none() {
        let call = ToWorker {
            id: Id::new(),
            body: Ask::Call {
                number: 3,
                audio: Audio { at: 7, samples: vec![0.25, -1.0, f32::MIN_POSITIVE] },
                within: 300,
                request: Request::Drain,
            },
        };
        let bytes = encode(&call);
        assert_eq!(read(&bytes), Some(call));
        for cut in 0..bytes.len() {
            assert_eq!(read::<ToWorker>(&bytes[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn lengths_that_lie_take_no_memory() {
        // An order of magnitude beyond what any machine has, as a length of a name.
        let mut bytes = encode(&(Id::new(), Id::new()));
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
        assert_eq!(read::<Order>(&bytes), None);
    }

    #[test]
    fn a_message_with_as_many_samples_as_it_may_have_fits() {
        for max in [256 << 10, 1 << 20, 8 << 20] {
            let samples = vec![1.0; most_samples(max)];
            let request = Request::Score { language: None, tokens: vec![1; MAX_REQUEST as usize / 2] };
            let body = Ask::Call { number: 1, audio: Audio { at: u64::MAX, samples }, within: 1, request };
            let len = encode(&ToWorker { id: Id::new(), body }).len();
            assert!(len <= max, "{len} of {max}");
        }
    }
}
