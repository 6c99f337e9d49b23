//! Number of active streams.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Meter;
use crate::moving_average::MovingAverage;

/// Time constant of the exponential moving average.
const MEMORY: Duration = Duration::from_secs(10);

/// Time after which a stream without audio is no longer active, also in the middle of a word:
/// clients mute.
const MUTE: Duration = Duration::from_millis(1_500);

/// Period at which the arrival of audio is noted.
const NOTE: Duration = Duration::from_millis(250);

/// Number of active streams: now, and on average lately.
///
/// People pause, and do not pause together, so the number at one moment goes up and down. Admission
/// at a moment at which it is low would lead to overload at the next.
#[derive(Debug)]
pub(super) struct ActiveStreams {
    /// Latest arrival of audio in each active stream.
    heard: HashMap<u64, Instant>,
    mean: MovingAverage,
    /// The name of the next one.
    next: u64,
}

impl ActiveStreams {
    /// Brings the mean up to that moment, before something changes.
    fn advance(&mut self, at: Instant) {
        let mut muted: Vec<(Instant, u64)> = self
            .heard
            .iter()
            .map(|(name, heard)| (*heard + MUTE, *name))
            .filter(|(since, _)| *since <= at)
            .collect();
        muted.sort_unstable();
        for (since, name) in muted {
            self.hold(since);
            self.heard.remove(&name);
        }
        self.hold(at);
    }

    fn hold(&mut self, until: Instant) {
        self.mean.hold(until, self.heard.len() as f64);
    }

    /// Counts one more; its name.
    fn begin(&mut self, at: Instant) -> u64 {
        self.advance(at);
        self.next += 1;
        self.heard.insert(self.next, at);
        self.next
    }

    /// Records that its audio comes; it counts again if it had stopped.
    fn hear(&mut self, name: u64, at: Instant) {
        // Of most streams more audio comes in time, and then nothing is to be counted.
        match self.heard.get_mut(&name) {
            Some(heard) if *heard + MUTE > at => *heard = at,
            _ => {
                self.advance(at);
                self.heard.insert(name, at);
            }
        }
    }

    fn end(&mut self, name: u64, at: Instant) {
        self.advance(at);
        self.heard.remove(&name);
    }

    pub(super) fn now(&mut self, at: Instant) -> u64 {
        self.advance(at);
        self.heard.len() as u64
    }

    /// The mean over time until that moment.
    pub(super) fn mean(&mut self, at: Instant) -> f64 {
        self.advance(at);
        self.mean.at(at, self.heard.len() as f64)
    }
}

impl Default for ActiveStreams {
    fn default() -> Self {
        Self { heard: HashMap::new(), mean: MovingAverage::new(MEMORY), next: 0 }
    }
}

/// Counts a stream as active, in the meters of its model and of its share, as long as its audio
/// comes, until it is dropped.
#[derive(Debug)]
pub struct ActiveStream {
    /// Each meter, and the name of the stream there.
    meters: [(Arc<Meter>, u64); 2],
    noted: Instant,
}

impl ActiveStream {
    pub(crate) fn new(meters: [Arc<Meter>; 2]) -> Self {
        let noted = Instant::now();
        let meters = meters.map(|meter| {
            let name = meter.active_streams.lock().begin(noted);
            (meter, name)
        });
        Self { meters, noted }
    }

    /// More of its audio has come.
    pub fn hear(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.noted) >= NOTE {
            self.noted = now;
            for (meter, name) in &self.meters {
                meter.active_streams.lock().hear(*name, now);
            }
        }
    }
}

impl Drop for ActiveStream {
    fn drop(&mut self) {
        let now = Instant::now();
        for (meter, name) in &self.meters {
            meter.active_streams.lock().end(*name, now);
        }
    }
}

impl Meter {
    /// Number of active streams now.
    pub(crate) fn speaking(&self) -> u64 {
        self.active_streams.lock().now(Instant::now())
    }

    /// Number of active streams, averaged over the last ten seconds or so.
    pub(crate) fn speaking_lately(&self) -> f64 {
        self.active_streams.lock().mean(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_follows_and_does_not_jump() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut speakers = ActiveStreams::default();
        assert_eq!((speakers.now(start), speakers.mean(start)), (0, 0.0));
        // Ten that speak for one second of two.
        let mut names = Vec::new();
        for second in 0..100 {
            if second % 2 == 0 {
                names = (0..10).map(|_| speakers.begin(at(f64::from(second)))).collect();
            } else {
                names.drain(..).for_each(|name| speakers.end(name, at(f64::from(second))));
            }
        }
        assert_eq!(speakers.now(at(100.0)), 0);
        assert!((4.0..6.0).contains(&speakers.mean(at(100.0))), "{}", speakers.mean(at(100.0)));
        // Nobody has spoken for a minute.
        assert!(speakers.mean(at(160.0)) < 0.02, "{}", speakers.mean(at(160.0)));
    }

    #[test]
    fn whose_audio_stops_does_not_speak_until_it_comes_again() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let (mut asked, mut once) = (ActiveStreams::default(), ActiveStreams::default());
        let [name, other] = [&mut asked, &mut once].map(|speakers| speakers.begin(at(0.0)));
        assert_eq!(asked.now(at(1.4)), 1);
        asked.hear(name, at(1.4));
        once.hear(other, at(1.4));
        assert_eq!((asked.now(at(2.8)), asked.now(at(3.0))), (1, 0));
        // The time of the query does not matter.
        assert!((asked.mean(at(9.0)) - once.mean(at(9.0))).abs() < 1e-9);
        asked.hear(name, at(9.0));
        assert_eq!(asked.now(at(9.1)), 1);
        asked.end(name, at(9.2));
        assert_eq!(asked.now(at(9.2)), 0);
    }
}
