//! Admission control: room for one more stream, by the measured cost of speech on this machine.
//!
//! Final texts cannot wait; partial ones can, and become rarer by themselves. So the load is the
//! demand of final texts on the recognizer's threads: for each model, the cost of a second of
//! speech without partial texts, which is measured with each such utterance and once when the model
//! is loaded, times the number of active streams. Silent streams are no load.
//!
//! Others' excess takes no tenant's part: a tenant whose own demand is below its guaranteed part of
//! the limit, by the weights of the tenants with active streams, is admitted on a full machine too.
//! The recognizer's threads are shared by the same weights, so the tenants above their part become
//! late, and it does not.
//!
//! Whether a new stream will ever carry speech is unknown. So admission is checked twice: when a
//! stream opens, and at its first speech. Any number of silent streams is admitted at once, and of
//! a crowd of speakers those for whom there is room.
//!
//! Other programs on the same cores show in the utilization of the recognizer's threads; errors of
//! the estimate show as final texts that wait for a thread.

use std::time::Duration;

use hearken::service::{ActiveStream, Stats};
use hearken::{Engine, Model, Share};
use parking_lot::Mutex;

use super::Elsewhere;
use super::config::Admission;
use super::rejection::Rejection;
use super::tenants::Tenants;

/// Value of `Retry-After`: utterances end within seconds.
const RETRY: Duration = Duration::from_secs(4);

/// Demand of the streams on the recognizer.
pub(super) struct Capacity {
    config: Admission,
    /// The recognizer, and how many of its threads can run at once.
    engine: Engine,
    threads: f64,
    /// Recognition on other machines, if that is where it is.
    elsewhere: Option<Elsewhere>,
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
    /// All tenants.
    pub(super) tenants: &'a Tenants,
}

impl Capacity {
    pub(super) fn new(config: Admission, engine: Engine, elsewhere: Option<Elsewhere>) -> Self {
        let threads = engine.threads();
        // More threads than cores do not recognize more.
        let cores = std::thread::available_parallelism().map_or(threads, usize::from);
        Self { config, engine, threads: threads.min(cores) as f64, elsewhere, turn: Mutex::default() }
    }

    /// Thread time that final texts need, as a fraction of the available time.
    pub(super) fn load(&self, models: &[Model]) -> f64 {
        // Without a worker there is no time at all.
        self.demand(models).threads / self.capable().max(f64::MIN_POSITIVE)
    }

    /// Demand on the recognizer: of this server's streams and, where other machines recognize, of
    /// all that these have.
    fn demand(&self, models: &[Model]) -> Demand {
        let own = Demand::of(models);
        let (threads, speaking) = self.elsewhere.as_ref().map_or((0.0, 0), |there| (there.demand)());
        Demand { speaking: own.speaking.saturating_add(speaking), threads: own.threads + threads }
    }

    /// Threads' time that there is.
    fn capable(&self) -> f64 {
        match &self.elsewhere {
            Some(elsewhere) => (elsewhere.capacity)(),
            None => self.threads * self.engine.pace(),
        }
    }

    /// Number of machines that recognize; `None` if this one does.
    pub(super) fn workers(&self) -> Option<usize> {
        self.elsewhere.as_ref().map(|elsewhere| (elsewhere.workers)())
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
        let cost = model.stats().cost_of_speech.unwrap_or_default();
        let limit = self.config.load * self.capable();
        if !self.demand(asking.models).leaves_room(cost, limit) && !asking.is_below_its_part(cost, limit) {
            return Err(Rejection::Busy { retry: RETRY });
        }
        self.in_time(asking)
    }

    /// Admits a stream's first speech and counts it as active, if there is room.
    pub(super) fn speak(&self, model: &Model, asking: &Asking<'_>) -> Result<ActiveStream, Rejection> {
        let _turn = self.turn.lock();
        self.room(model, asking)?;
        Ok(model.count_stream(asking.own))
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
        match asking.own.final_wait() {
            Some(wait) if wait > limit => Err(Rejection::Busy { retry: RETRY }),
            _ => Ok(()),
        }
    }
}

impl Asking<'_> {
    /// Returns true if one more stream of this cost keeps the tenant within its guaranteed part of
    /// `limit`.
    fn is_below_its_part(&self, cost: f64, limit: f64) -> bool {
        let used = self.own.stats();
        let own = Demand::new(&used, cost);
        let others = self
            .tenants
            .all()
            .into_iter()
            .map(|tenant| tenant.share.clone())
            .filter(|share| !share.is(self.own) && share.stats().speaking > 0);
        own.is_below_part(cost, limit, self.own.weight(), others.map(|share| share.weight()))
    }
}

/// Demand of active streams on the recognizer.
#[derive(Debug, Clone, Copy, Default)]
struct Demand {
    /// Number of active streams.
    speaking: u64,
    /// Number of threads that their final texts need.
    threads: f64,
}

impl Demand {
    /// Demand of all streams of these models.
    fn of(models: &[Model]) -> Self {
        let each = models.iter().map(|model| Self::new(&model.stats(), 0.0));
        each.fold(Self::default(), |all, one| Self {
            speaking: all.speaking + one.speaking,
            threads: all.threads + one.threads,
        })
    }

    /// Current demand of the streams that are counted, or the average one, if that is more: a
    /// moment in which many pause is soon over. `cost` stands for a cost of speech that is not
    /// known.
    fn new(used: &Stats, cost: f64) -> Self {
        Self { speaking: used.speaking, threads: used.demand(cost) }
    }

    /// Returns true if one more stream of this cost fits below `limit`.
    fn leaves_room(self, cost: f64, limit: f64) -> bool {
        // Alone it gets the whole capacity of the machine.
        self.speaking == 0 || self.threads + cost <= limit
    }

    /// Returns true if one more stream of this cost keeps this demand, a tenant's, below the part
    /// of `limit` that its weight guarantees beside the weights of the others with active streams.
    fn is_below_part(self, cost: f64, limit: f64, weight: u32, others: impl Iterator<Item = u32>) -> bool {
        let (own, all) = (f64::from(weight), f64::from(weight) + others.map(f64::from).sum::<f64>());
        self.threads + cost <= limit * own / all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(speaking: u64, threads: f64) -> Demand {
        Demand { speaking, threads }
    }

    #[test]
    fn speakers_are_let_in_up_to_the_limit() {
        // Each needs an eighth of a thread: two dozen of them need three.
        assert!(demand(23, 23.0 * 0.125).leaves_room(0.125, 3.0));
        assert!(!demand(24, 24.0 * 0.125).leaves_room(0.125, 3.0));
        // A model with a negligible cost has room still.
        assert!(demand(24, 24.0 * 0.1249).leaves_room(0.0001, 3.0));
    }

    #[test]
    fn the_first_active_stream_is_always_admitted() {
        assert!(demand(0, 0.0).leaves_room(10.0, 3.0));
        assert!(demand(0, 2.9).leaves_room(10.0, 3.0), "after many that are silent now");
        assert!(!demand(1, 10.0).leaves_room(10.0, 3.0));
    }

    #[test]
    fn a_tenants_part_goes_by_its_weight_among_those_with_active_streams() {
        let own = |threads, weight, others: &[u32]| {
            demand(1, threads).is_below_part(0.125, 3.0, weight, others.iter().copied())
        };
        assert!(own(2.875, 1, &[]), "nobody else speaks");
        assert!(!own(2.876, 1, &[]));
        assert!(own(1.375, 1, &[1]), "half beside one other");
        assert!(!own(1.376, 1, &[1]));
        assert!(own(1.875, 2, &[1]), "two thirds at twice the weight");
        assert!(!own(0.3, 1, &[1; 9]), "a tenth is less than what it would need");
    }
}
