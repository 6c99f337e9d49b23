//! Admission control: room for one more stream, by the measured cost of speech on this machine.
//!
//! Final texts cannot wait; partial ones can, and become rarer by themselves. So the load is the
//! demand of final texts on the recognizer's threads: for each model, the cost of a second of
//! speech without partial texts, which is measured with each such utterance and once when the model
//! is loaded, times the number of active streams. Silent streams are no load.
//!
//! Whether a new stream will ever carry speech is unknown. So admission is checked twice: when a
//! stream opens, and at its first speech. Any number of silent streams is admitted at once, and of
//! a crowd of speakers those for whom there is room.
//!
//! Other programs on the same cores show in the utilization of the recognizer's threads; errors of
//! the estimate show as final texts that wait for a thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::config::Admission;
use super::rejection::Rejection;
use crate::meter::Speaking;
use crate::{Engine, Model, Share};

/// Value of `Retry-After`: utterances end within seconds.
const RETRY: Duration = Duration::from_secs(4);

/// Demand of the streams on the recognizer.
pub(super) struct Capacity {
    config: Admission,
    /// The recognizer, and how many of its threads can run at once.
    engine: Engine,
    threads: f64,
    /// Held during an admission check at the first speech, until the stream counts as active: the
    /// last place is given once.
    turn: Mutex<()>,
}

/// Requester of admission.
pub(super) struct Asking<'a> {
    /// The tenant's share of the recognizer.
    pub(super) own: &'a Share,
    /// All loaded models.
    pub(super) models: &'a [Model],
}

impl Capacity {
    pub(super) fn new(config: Admission, engine: Engine) -> Self {
        let threads = engine.threads();
        // More threads than cores do not recognize more.
        let cores = std::thread::available_parallelism().map_or(threads, usize::from);
        Self { config, engine, threads: threads.min(cores) as f64, turn: Mutex::default() }
    }

    /// Thread time that final texts need, as a fraction of the available time.
    pub(super) fn load(&self, models: &[Model]) -> f64 {
        needed(models).1 / self.capable()
    }

    /// Threads' time that there is.
    fn capable(&self) -> f64 {
        self.threads * self.engine.executor().pace()
    }

    /// The most that may be needed.
    pub(super) fn limit(&self) -> f64 {
        if self.config.enabled { self.config.load } else { f64::INFINITY }
    }

    /// Returns an error if one more stream of this model has no room.
    pub(super) fn room(&self, model: &Model, asking: &Asking<'_>) -> Result<(), Rejection> {
        if !self.config.enabled {
            return Ok(());
        }
        let (speaking, needed) = needed(asking.models);
        let cost = model.meter().cost_of_speech().unwrap_or_default();
        fits(speaking, needed, cost, self.config.load * self.capable())?;
        self.in_time(asking)
    }

    /// Admits a stream's first speech and counts it as active, if there is room.
    pub(super) fn speak(&self, model: &Model, asking: &Asking<'_>) -> Result<Speaking, Rejection> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.room(model, asking)?;
        Ok(Speaking::new(Arc::clone(model.meter())))
    }

    /// Returns an error if a recording has no room: it waits for streams, and is not to wait for
    /// ever.
    pub(super) fn room_for_recording(&self, asking: &Asking<'_>) -> Result<(), Rejection> {
        if !self.config.enabled {
            return Ok(());
        }
        if self.load(asking.models) > self.config.load {
            return Err(Rejection::Busy { retry: RETRY });
        }
        self.in_time(asking)
    }

    /// Returns an error if the tenant's own final texts begin late. A tenant that asks for more
    /// than its share waits for itself: that others are late is no reason to reject a tenant whose
    /// texts are in time, or that has none.
    fn in_time(&self, asking: &Asking<'_>) -> Result<(), Rejection> {
        let limit = Duration::from_millis(self.config.final_wait_ms);
        match asking.own.final_wait(Instant::now()) {
            Some(wait) if wait > limit => Err(Rejection::Busy { retry: RETRY }),
            _ => Ok(()),
        }
    }
}

/// Checks that one more stream of this cost fits beside those that speak now.
fn fits(speaking: u64, needed: f64, cost: f64, most: f64) -> Result<(), Rejection> {
    // Alone it gets the whole capacity of the machine.
    if speaking == 0 || needed + cost <= most { Ok(()) } else { Err(Rejection::Busy { retry: RETRY }) }
}

/// Number of active streams, and of the threads that final texts need: the current need, or the
/// average one, if that is more. A moment in which many pause is soon over.
fn needed(models: &[Model]) -> (u64, f64) {
    let each = models.iter().map(|model| {
        let (meter, speaking) = (model.meter(), model.meter().speaking());
        let speakers = meter.speaking_lately().max(speaking as f64);
        (speaking, speakers * meter.cost_of_speech().unwrap_or_default())
    });
    each.fold((0, 0.0), |(count, time), (speaking, needed)| (count + speaking, time + needed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speakers_are_let_in_up_to_the_limit() {
        // Each needs an eighth of a thread: two dozen of them need three.
        assert!(fits(23, 23.0 * 0.125, 0.125, 3.0).is_ok());
        assert!(fits(24, 24.0 * 0.125, 0.125, 3.0).is_err());
        // A model with a negligible cost has room still.
        assert!(fits(24, 24.0 * 0.1249, 0.0001, 3.0).is_ok());
    }

    #[test]
    fn the_first_active_stream_is_always_admitted() {
        assert!(fits(0, 0.0, 10.0, 3.0).is_ok());
        assert!(fits(0, 2.9, 10.0, 3.0).is_ok(), "after many that are silent now");
        assert!(fits(1, 10.0, 10.0, 3.0).is_err());
    }
}
