//! How many streams somebody speaks in.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Meter;

/// What was so long ago weighs e times less in the mean.
const MEMORY: Duration = Duration::from_secs(10);

/// Streams in which somebody speaks: now, and on average lately.
///
/// People pause, and do not pause together, so the number at one moment goes up and down. Whoever counts on a moment at which it is
/// low finds more to do in the next.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    now: u64,
    mean: f64,
    /// Until when the mean goes.
    at: Option<Instant>,
}

impl Speakers {
    fn change(&mut self, at: Instant, change: impl FnOnce(u64) -> u64) {
        self.mean = self.mean(at);
        self.at = Some(at);
        self.now = change(self.now);
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// The mean over time until that moment.
    pub(super) fn mean(&self, at: Instant) -> f64 {
        let since = self.at.map_or(Duration::MAX, |last| at.saturating_duration_since(last));
        let now = self.now as f64;
        now + (self.mean - now) * (-since.as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

/// Counts a stream as one in which somebody speaks, until it is dropped.
#[derive(Debug)]
pub(crate) struct Speaking(Arc<Meter>);

impl Speaking {
    pub(crate) fn new(meter: Arc<Meter>) -> Self {
        meter.lock_speakers().change(Instant::now(), |now| now + 1);
        Self(meter)
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        self.0.lock_speakers().change(Instant::now(), |now| now.saturating_sub(1));
    }
}

impl Meter {
    /// Streams in which somebody speaks now.
    pub(crate) fn speaking(&self) -> u64 {
        self.lock_speakers().now()
    }

    /// The same on average over the last ten seconds or so.
    pub(crate) fn speaking_lately(&self) -> f64 {
        self.lock_speakers().mean(Instant::now())
    }

    fn lock_speakers(&self) -> MutexGuard<'_, Speakers> {
        self.speakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_follows_and_does_not_jump() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut speakers = Speakers::default();
        assert_eq!((speakers.now(), speakers.mean(start)), (0, 0.0));
        // Ten that speak for one second of two.
        for second in 0..100 {
            let count = if second % 2 == 0 { 10 } else { 0 };
            speakers.change(at(f64::from(second)), |_| count);
        }
        assert_eq!(speakers.now(), 0);
        assert!((4.0..6.0).contains(&speakers.mean(at(100.0))), "{}", speakers.mean(at(100.0)));
        // Nobody has spoken for a minute.
        assert!(speakers.mean(at(160.0)) < 0.02, "{}", speakers.mean(at(160.0)));
        // It does not matter when it is asked for.
        speakers.change(at(160.0), |_| 8);
        let once = speakers.mean(at(170.0));
        speakers.change(at(165.0), |now| now);
        assert!((speakers.mean(at(170.0)) - once).abs() < 1e-9);
    }
}
