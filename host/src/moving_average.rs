//! Exponential moving averages: older values count less and less, by a time constant.

use std::time::{Duration, Instant};

/// Factor kept of what is older by `age`, in time constants.
fn kept(age: f64) -> f64 {
    (-age).exp()
}

/// Average over time.
#[derive(Debug)]
pub(crate) struct MovingAverage {
    /// Time constant [s].
    constant: f64,
    value: f64,
    /// Time until which it is known; `None` before the first value.
    when: Option<Instant>,
}

impl MovingAverage {
    /// Makes an average of 0.
    pub(crate) const fn new(constant: Duration) -> Self {
        Self { constant: constant.as_secs_f64(), value: 0.0, when: None }
    }

    /// Adds 1 for the last `took` until now: for threads, a thread that was used so long.
    pub(crate) fn add(&mut self, now: Instant, took: Duration) {
        // Its beginning is longer ago than its end.
        let fresh = 1.0 - kept(took.as_secs_f64() / self.constant);
        self.value = self.at(now, 0.0) + fresh;
        self.when = Some(now);
    }

    /// Records that what is averaged has been `level` since the last call.
    #[cfg(feature = "service")]
    pub(crate) fn hold(&mut self, now: Instant, level: f64) {
        self.value = self.at(now, level);
        self.when = Some(self.when.map_or(now, |when| when.max(now)));
    }

    /// The average if what is averaged has been `level` since the last value.
    pub(crate) fn at(&self, now: Instant, level: f64) -> f64 {
        let Some(when) = self.when else { return level };
        let age = now.saturating_duration_since(when).as_secs_f64() / self.constant;
        level + (self.value - level) * kept(age)
    }
}

/// Quotient of two sums in which older values count less.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct MovingRatio {
    numerator: f64,
    denominator: f64,
}

impl MovingRatio {
    /// Adds to both sums. What they hold is older by `age` now, in time constants.
    pub(crate) fn add(&mut self, age: f64, numerator: f64, denominator: f64) {
        let kept = kept(age);
        self.numerator = self.numerator * kept + numerator;
        self.denominator = self.denominator * kept + denominator;
    }

    /// The quotient; `None` before there was anything to divide by.
    pub(crate) fn value(&self) -> Option<f64> {
        (self.denominator > 0.0).then(|| self.numerator / self.denominator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_mean_number_of_threads() {
        let start = Instant::now();
        let mut recent = MovingAverage::new(Duration::from_secs(1));
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(recent.at(start, 0.0), 0.0);
        // One thread a quarter of the time, two threads half of it.
        for ms in (0..20_000).step_by(100) {
            recent.add(at(ms), Duration::from_millis(25));
        }
        assert!((0.22..0.28).contains(&recent.at(at(19_950), 0.0)), "{recent:?}");
        for ms in (20_000..40_000).step_by(100) {
            recent.add(at(ms), Duration::from_millis(50));
            recent.add(at(ms), Duration::from_millis(50));
        }
        assert!((0.9..1.1).contains(&recent.at(at(39_950), 0.0)), "{recent:?}");
        assert!(recent.at(at(60_000), 0.0) < 0.001);
        recent.add(at(60_000), Duration::from_secs(3600));
        assert!((0.99..=1.01).contains(&recent.at(at(60_000), 0.0)), "{recent:?}");
    }

    #[cfg(feature = "service")]
    #[test]
    fn a_level_is_approached_by_the_time_constant() {
        let start = Instant::now();
        let mut mean = MovingAverage::new(Duration::from_secs(10));
        mean.hold(start, 0.0);
        mean.hold(start + Duration::from_secs(10), 1.0);
        assert!((mean.at(start + Duration::from_secs(10), 0.0) - (1.0 - (-1f64).exp())).abs() < 1e-9);
        // A moment that has passed changes nothing.
        let before = mean.value;
        mean.hold(start, 100.0);
        assert!((mean.value - before).abs() < 1e-9 && mean.when == Some(start + Duration::from_secs(10)));
    }

    #[test]
    fn a_ratio_follows_the_latest_values() {
        let mut ratio = MovingRatio::default();
        assert_eq!(ratio.value(), None);
        ratio.add(1.0, 9.0, 3.0);
        assert_eq!(ratio.value(), Some(3.0));
        for _ in 0..50 {
            ratio.add(1.0, 1.0, 2.0);
        }
        assert!((ratio.value().unwrap() - 0.5).abs() < 1e-9);
    }
}
