//! Utilization of the threads.

use std::time::Duration;

use crate::moving_average::MovingRatio;

/// Time constant of the exponential moving average [s of thread time].
const MEMORY: f64 = 3.0;
/// Minimum measured value: below it, a job may have waited for something else.
const LEAST: f64 = 0.1;

/// CPU time for each second of jobs, the later ones counting more.
#[derive(Debug, Default)]
pub(super) struct Utilization(MovingRatio);

impl Utilization {
    /// A job has run.
    pub(super) fn ran(&mut self, cpu: Duration, took: Duration) {
        let took = took.as_secs_f64();
        self.0.add(took / MEMORY, cpu.as_secs_f64(), took);
    }

    /// CPU time for each second of a job, a whole core before there was any.
    pub(super) fn of_a_core(&self) -> f64 {
        self.0.value().map_or(1.0, |share| share.clamp(LEAST, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_the_threads_get() {
        let mut pace = Utilization::default();
        assert_eq!(pace.of_a_core(), 1.0);
        let ms = Duration::from_millis;
        for _ in 0..1000 {
            pace.ran(ms(50), ms(100));
        }
        assert!((pace.of_a_core() - 0.5).abs() < 1e-9);
        // Some time later the machine is free again.
        for _ in 0..600 {
            pace.ran(ms(50), ms(50));
        }
        assert!(pace.of_a_core() > 0.95, "{}", pace.of_a_core());
        pace.ran(ms(0), ms(1_000_000));
        assert_eq!(pace.of_a_core(), LEAST);
    }
}
