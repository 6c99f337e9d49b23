//! Retries of an utterance, or of a chunk.

use crate::error::Error;

/// Number of fresh sandboxes that replace failed ones.
const RETRIES: u32 = 1;

/// Number of workers that one utterance may cost. It could be the utterance that ends them.
const WORKERS: u32 = 3;

/// Number of times that an utterance may be handed over. No rollout needs more.
const MOVES: u32 = 100;

/// The cause of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The guest: a fresh one may well succeed.
    Guest,
    /// The worker on another machine: another one may well succeed.
    Worker,
    /// Nobody: a worker that ends has handed the utterance over.
    Nobody,
    /// The module or the machine: each utterance would fail.
    Machine,
    /// Something else, which another attempt does not change.
    Other,
}

/// Failures of one utterance, or of one chunk, so far.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    guests: u32,
    workers: u32,
    moves: u32,
}

impl Attempts {
    /// Counts a failure. Returns true if a fresh sandbox is to try again.
    pub(crate) fn again(&mut self, error: &Error) -> bool {
        match error.fault() {
            Fault::Guest => {
                self.guests += 1;
                self.guests <= RETRIES
            }
            Fault::Worker => {
                self.workers += 1;
                self.workers < WORKERS
            }
            Fault::Nobody => {
                self.moves += 1;
                self.moves < MOVES
            }
            Fault::Machine | Fault::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::PlaceError;
    use crate::sandbox::SandboxError;

    #[test]
    fn a_guest_is_replaced_once_and_a_worker_twice() {
        let guest = || Error::Sandbox(SandboxError::Misbehaved("it lies".to_owned()));
        let lost = || Error::Place(PlaceError::Lost("it hung".to_owned()));
        let mut attempts = Attempts::default();
        let again: Vec<bool> =
            [lost(), guest(), lost(), lost(), guest()].iter().map(|error| attempts.again(error)).collect();
        assert_eq!(again, [true, true, true, false, false]);
    }

    #[test]
    fn a_rollout_of_many_workers_costs_no_attempt() {
        let mut attempts = Attempts::default();
        let moved = Error::Place(PlaceError::HandedOver);
        assert!((0..50).all(|_| attempts.again(&moved)));
        assert!(attempts.again(&Error::Place(PlaceError::Lost("it hung".to_owned()))));
        assert!((0..1000).any(|_| !attempts.again(&moved)), "nobody moves for ever");
    }

    #[test]
    fn a_defect_of_the_machine_is_not_retried() {
        let guest = |fatal| Error::Place(PlaceError::Guest { fatal, message: String::new() });
        assert!(Attempts::default().again(&guest(false)));
        for error in [
            guest(true),
            Error::Place(PlaceError::Unavailable("none is there".to_owned())),
            Error::Sandbox(SandboxError::Engine("no memory".to_owned())),
            Error::Panicked,
        ] {
            assert!(!Attempts::default().again(&error), "{error}");
        }
    }
}
