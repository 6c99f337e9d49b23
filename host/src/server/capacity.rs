//! Whether there is room for one more stream, by what speech costs on this machine.
//!
//! Final texts cannot wait; partial ones can, and become rarer by themselves. So the load is what final texts need of the
//! recogniser's threads: for each model, what a second of speech costs, which is measured with each final text and once
//! when the model is loaded, times the streams in which somebody speaks at this moment. Silent streams are no load.
//!
//! Streams that have just come are counted as so many speakers as there are among the others, so that a crowd of listeners that
//! comes back after a restart is let in, twice as many each time, and a crowd of speakers only as far as there is room.
//! Other programs on the same cores show in how much of a core the recogniser's threads get; what the estimate does not know
//! shows as final texts that wait for a thread.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::config::Admission;
use super::refusal::Refusal;
use crate::{Engine, Model, Share};

/// How long it takes until a stream that came is known to speak or not: speech begins, and is detected.
const NEW: Duration = Duration::from_secs(2);

/// What the streams need of the recogniser.
pub(super) struct Capacity {
    config: Admission,
    /// The recogniser, and how many of its threads can run at once.
    engine: Engine,
    threads: f64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Streams that are open.
    open: usize,
    /// When each stream came that came lately, and what its speech costs.
    new: VecDeque<(Instant, f64)>,
}

/// Counts a stream as open until it is dropped.
pub(super) struct Seat(Arc<Capacity>);

/// What is known of the moment at which somebody wants to come in.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Moment {
    /// Streams in which somebody speaks, and what that needs, in threads.
    speaking: u64,
    needed: f64,
    /// Streams that came lately, what they need if all of them speak, and all others.
    new: usize,
    new_needed: f64,
    settled: usize,
}

impl Capacity {
    pub(super) fn new(config: Admission, engine: Engine) -> Arc<Self> {
        let threads = engine.threads();
        // More threads than cores do not recognise more.
        let cores = std::thread::available_parallelism().map_or(threads, usize::from);
        Arc::new(Self { config, engine, threads: threads.min(cores) as f64, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Threads' time that final texts need now, as a part of what there is.
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

    /// A place for one more stream of this model, if there is one. `models` are all that are loaded, `shares` all tenants';
    /// `own` is that of the one who asks.
    pub(super) fn admit(
        self: &Arc<Self>,
        model: &Model,
        models: &[Model],
        own: &Share,
        shares: &[Share],
    ) -> Result<Seat, Refusal> {
        let now = Instant::now();
        let cost = model.meter().cost_of_speech().unwrap_or_default();
        let mut state = self.lock();
        while state.new.front().is_some_and(|(came, _)| now.saturating_duration_since(*came) > NEW) {
            state.new.pop_front();
        }
        if self.config.enabled {
            let (speaking, needed) = needed(models);
            let moment = Moment {
                speaking,
                needed,
                new: state.new.len(),
                new_needed: state.new.iter().map(|(_, cost)| cost).sum(),
                settled: state.open.saturating_sub(state.new.len()),
            };
            fits(moment, cost, self.config.load * self.capable())?;
            self.in_time(own, shares, now)?;
        }
        state.open += 1;
        state.new.push_back((now, cost));
        Ok(Seat(Arc::clone(self)))
    }

    /// Whether a recording may be taken: it waits for streams, and is not to wait for ever.
    pub(super) fn admit_recording(
        &self,
        own: &Share,
        shares: &[Share],
        models: &[Model],
    ) -> Result<(), Refusal> {
        if !self.config.enabled {
            return Ok(());
        }
        if self.load(models) > self.config.load {
            return Err(Refusal::Busy { retry: NEW * 2 });
        }
        self.in_time(own, shares, Instant::now())
    }

    /// Whether final texts begin in time: those of the tenant itself, and those of most others. One that asks for more than
    /// its share waits for itself, and is no reason to refuse others.
    fn in_time(&self, own: &Share, shares: &[Share], now: Instant) -> Result<(), Refusal> {
        let limit = Duration::from_millis(self.config.final_wait_ms);
        let late = |share: &Share| share.final_wait(now).map(|wait| wait > limit);
        let all: Vec<bool> = shares.iter().filter_map(late).collect();
        let most = all.iter().filter(|late| **late).count() * 2 > all.len();
        if most || late(own) == Some(true) { Err(Refusal::Busy { retry: NEW * 2 }) } else { Ok(()) }
    }
}

/// Whether there is time for one more whose speech costs so much, where there are so many threads for all.
fn fits(moment: Moment, cost: f64, most: f64) -> Result<(), Refusal> {
    let Moment { speaking, needed, new, new_needed, settled } = moment;
    if speaking == 0 && new == 0 {
        // Alone it gets what the machine can do, whatever that is.
        return Ok(());
    }
    // Laplace's rule: before anything is known, all of them speak.
    let speakers = ((speaking + 1) as f64 / (settled + 1) as f64).min(1.0);
    if needed + speakers * new_needed + cost <= most {
        return Ok(());
    }
    let soon = needed + cost <= most;
    Err(Refusal::Busy { retry: if soon { NEW } else { NEW * 2 } })
}

/// Streams in which somebody speaks, and the threads that their final texts need.
fn needed(models: &[Model]) -> (u64, f64) {
    let each = models.iter().map(|model| {
        let (meter, speaking) = (model.meter(), model.meter().speaking());
        (speaking, speaking as f64 * meter.cost_of_speech().unwrap_or_default())
    });
    each.fold((0, 0.0), |(count, time), (speaking, needed)| (count + speaking, time + needed))
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.open = state.open.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speakers(speaking: u64, cost: f64) -> Moment {
        Moment { speaking, needed: speaking as f64 * cost, settled: speaking as usize, ..Moment::default() }
    }

    #[test]
    fn speakers_are_let_in_up_to_the_limit() {
        // Each needs an eighth of a thread: two dozen of them need three.
        assert!(fits(speakers(23, 0.125), 0.125, 3.0).is_ok());
        assert!(fits(speakers(24, 0.125), 0.125, 3.0).is_err());
        // A model that costs nothing that matters has room still.
        assert!(fits(speakers(24, 0.1249), 0.0001, 3.0).is_ok());
    }

    #[test]
    fn whoever_comes_alone_is_let_in() {
        assert!(fits(Moment::default(), 10.0, 3.0).is_ok());
        assert!(fits(Moment { settled: 5, ..Moment::default() }, 10.0, 3.0).is_ok(), "beside silent ones");
        assert!(fits(speakers(1, 10.0), 10.0, 3.0).is_err());
    }

    /// How many of a crowd that comes at once are let in, with so many settled streams of which some speak.
    fn crowd(moment: Moment, cost: f64) -> usize {
        let more = |new: usize| Moment { new, new_needed: new as f64 * cost, ..moment };
        (0..100_000).find(|&new| fits(more(new), cost, 3.0).is_err()).expect("an end")
    }

    #[test]
    fn a_crowd_counts_as_speakers_as_far_as_the_others_speak() {
        let settled = |settled, speaking| Moment { settled, ..speakers(speaking, 0.125) };
        // Nothing is known: as if all spoke.
        assert_eq!(crowd(settled(0, 0), 0.125), 24);
        // Nobody speaks of those that are there: a crowd of listeners comes back.
        assert_eq!(crowd(settled(24, 0), 0.125), 24 * 24);
        // Half of them do.
        assert_eq!(crowd(settled(20, 10), 0.125), 25);
    }

    #[test]
    fn it_says_when_to_try_again() {
        let Err(Refusal::Busy { retry }) = fits(speakers(30, 0.125), 0.125, 3.0) else { panic!("full") };
        assert_eq!(retry, NEW * 2);
        let crowded = Moment { new: 100, new_needed: 10.0, ..Moment::default() };
        let Err(Refusal::Busy { retry }) = fits(crowded, 0.1, 3.0) else { panic!("crowded") };
        assert_eq!(retry, NEW, "it will be known whether they speak");
    }
}
