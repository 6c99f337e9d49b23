//! Exponential moving average of recent use.

use std::time::{Duration, Instant};

/// Time constant of the exponential moving average [s].
const MEMORY: f64 = 1.0;

/// Seconds of threads, the later ones counting more: the mean number of threads over the last
/// second or so.
#[derive(Debug)]
pub(super) struct MovingAverage {
    seconds: f64,
    when: Instant,
}

impl MovingAverage {
    /// Makes an average of 0.
    pub(super) fn new(now: Instant) -> Self {
        Self { seconds: 0.0, when: now }
    }

    /// Adds the use of a thread for `took` until now.
    pub(super) fn add(&mut self, now: Instant, took: Duration) {
        let took = took.as_secs_f64();
        // Its beginning is longer ago than its end.
        let fresh = MEMORY * (1.0 - (-took / MEMORY).exp());
        *self = Self { seconds: self.at(now) + fresh, when: now };
    }

    /// Returns the remaining value.
    pub(super) fn at(&self, now: Instant) -> f64 {
        self.seconds * (-now.saturating_duration_since(self.when).as_secs_f64() / MEMORY).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_mean_number_of_threads() {
        let start = Instant::now();
        let mut recent = MovingAverage::new(start);
        let at = |ms| start + Duration::from_millis(ms);
        // One thread a quarter of the time, two threads half of it.
        for ms in (0..20_000).step_by(100) {
            recent.add(at(ms), Duration::from_millis(25));
        }
        assert!((0.22..0.28).contains(&recent.at(at(19_950))), "{recent:?}");
        for ms in (20_000..40_000).step_by(100) {
            recent.add(at(ms), Duration::from_millis(50));
            recent.add(at(ms), Duration::from_millis(50));
        }
        assert!((0.9..1.1).contains(&recent.at(at(39_950))), "{recent:?}");
        assert!(recent.at(at(60_000)) < 0.001);
        recent.add(at(60_000), Duration::from_secs(3600));
        assert!((0.99..=1.01).contains(&recent.at(at(60_000))), "{recent:?}");
    }
}
