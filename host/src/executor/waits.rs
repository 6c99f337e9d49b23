//! Recent waits of jobs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Time for which a wait is remembered.
const WINDOW: Duration = Duration::from_secs(10);
/// Waits that are remembered at most.
const MOST: usize = 512;

/// The waits of the last ten seconds, oldest first.
#[derive(Debug, Default)]
pub(super) struct Waits(VecDeque<(Instant, Duration)>);

impl Waits {
    pub(super) fn add(&mut self, now: Instant, wait: Duration) {
        self.forget(now);
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((now, wait));
    }

    /// The 95th percentile (nearest rank); `None` without any.
    pub(super) fn percentile(&mut self, now: Instant) -> Option<Duration> {
        self.forget(now);
        let mut waits: Vec<Duration> = self.0.iter().map(|(_, wait)| *wait).collect();
        waits.sort_unstable();
        waits.get((waits.len() * 95).div_ceil(100).max(1) - 1).copied()
    }

    /// Waits that are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_waits_are_forgotten() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut waits = Waits::default();
        assert_eq!(waits.percentile(start), None);
        for ms in 1..=100 {
            waits.add(at(ms), Duration::from_millis(ms));
        }
        assert_eq!(waits.percentile(at(100)), Some(Duration::from_millis(95)));
        // The first fifty are older than the window.
        assert_eq!(waits.percentile(at(10_050)), Some(Duration::from_millis(98)));
        assert_eq!(waits.percentile(at(60_000)), None);
    }

    #[test]
    fn the_latest_are_kept() {
        let start = Instant::now();
        let mut waits = Waits::default();
        for _ in 0..MOST {
            waits.add(start, Duration::from_secs(1));
        }
        for _ in 0..MOST {
            waits.add(start, Duration::ZERO);
        }
        assert_eq!((waits.percentile(start), waits.len()), (Some(Duration::ZERO), MOST));
    }
}
