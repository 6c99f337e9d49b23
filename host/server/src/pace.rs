//! Pacing: limits how fast a stream's audio is accepted. Clients may send a recording faster than
//! real time, but not as fast as they can.

use std::time::{Duration, Instant};

use hearken::audio::Format;

/// Times as fast as real time.
const TIMES: f64 = 4.0;
/// Samples of all channels in a second of the richest format that is taken in as fast as that: 48
/// kHz, two channels. Richer ones, of which a second costs up to sixteen times as much, are taken
/// in as many samples a second, and at least at [`LEAST`].
const RICH: f64 = 2.0 * 48_000.0;
/// Times as fast as real time that any format is taken in: a client that was late catches up.
const LEAST: f64 = 1.25;
/// Samples that are taken in at once: five minutes at 24 kHz, which is the longest turn that is
/// committed at once, and some more. It is a fifth of a second of a core's time.
const BURST: f64 = 8e6;

/// A token bucket of samples.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(format: Format, now: Instant) -> Self {
        let real_time = f64::from(format.sample_rate) * f64::from(format.channels);
        let per_second = (TIMES * real_time.min(RICH)).max(LEAST * real_time);
        Self { per_second, left: BURST, at: now }
    }

    fn left(&self, now: Instant) -> f64 {
        let more = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        (self.left + more).min(BURST)
    }

    /// Counts accepted samples of all channels.
    pub(super) fn take(&mut self, samples: usize, now: Instant) {
        (self.left, self.at) = (self.left(now) - samples as f64, now);
    }

    /// Returns the time to wait before more is taken in; `None` if there is none.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        let left = self.left(now);
        (left < 0.0).then(|| Duration::from_secs_f64(-left / self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the seconds of audio of this format that are accepted within `seconds` seconds from
    /// a client that sends as fast as it can.
    fn taken(sample_rate: u32, channels: u16, seconds: u64) -> f64 {
        let start = Instant::now();
        let mut pace = Pace::new(Format { sample_rate, channels }, start);
        let (mut now, mut samples) = (start, 0);
        loop {
            now += pace.pause(now).unwrap_or_default();
            if now >= start + Duration::from_secs(seconds) {
                return samples as f64 / f64::from(sample_rate) / f64::from(channels);
            }
            pace.take(48_000, now);
            samples += 48_000;
        }
    }

    #[test]
    fn speech_is_taken_four_times_as_fast_as_it_is_spoken() {
        let at_once = BURST / 16_000.0;
        let taken = taken(16_000, 1, 100);
        assert!((at_once + 400.0..at_once + 410.0).contains(&taken), "{taken}");
    }

    #[test]
    fn rich_formats_cost_no_more_than_their_real_time_asks_for() {
        let at_once = BURST / (8.0 * 192_000.0);
        let taken = taken(192_000, 8, 100);
        assert!((at_once + 125.0..at_once + 126.0).contains(&taken), "{taken}");
    }

    #[test]
    fn a_pause_saves_up_no_more_than_the_burst() {
        let start = Instant::now();
        let mut pace = Pace::new(Format { sample_rate: 16_000, channels: 1 }, start);
        let later = start + Duration::from_secs(100_000);
        pace.take(8_000_000, later);
        assert_eq!(pace.pause(later), None);
        pace.take(16_000, later);
        assert_eq!(pace.pause(later), Some(Duration::from_millis(250)));
    }
}
