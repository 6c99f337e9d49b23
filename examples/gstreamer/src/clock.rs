//! Between a pipeline's time and a session's samples.

use gst::ClockTime;

/// Timestamps wander by as much without anything being lost: two frames of a codec, or a device's
/// own clock.
const TOLERANCE: ClockTime = ClockTime::from_mseconds(40);

/// Longest gap that a session is fed as silence: a longer one starts another recording.
const LONGEST_GAP: ClockTime = ClockTime::from_seconds(600);

/// Relation of a buffer's timestamp to the end of the buffer before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It begins at the end of the buffer before.
    Next,
    /// Follows a gap of this many frames.
    After(u64),
    /// It is unrelated to the buffer before: another recording, or a jump.
    Elsewhere,
}

/// The timestamps of a session's audio.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    /// Timestamp of the first frame.
    base: ClockTime,
    rate: u32,
    /// Frames that came or are missing, since then.
    frames: u64,
}

impl Clock {
    pub(crate) fn new(base: ClockTime, rate: u32) -> Self {
        Self { base, rate, frames: 0 }
    }

    /// Compares the timestamp with the expected one.
    pub(crate) fn arrival(&self, pts: Option<ClockTime>) -> Arrival {
        // Without a timestamp it follows.
        let Some(pts) = pts else { return Arrival::Next };
        let expected = self.now();
        match pts.checked_sub(expected) {
            Some(gap) if gap <= TOLERANCE => Arrival::Next,
            Some(gap) if gap <= LONGEST_GAP => Arrival::After(frames(gap, self.rate)),
            Some(_) => Arrival::Elsewhere,
            None if expected - pts <= TOLERANCE => Arrival::Next,
            None => Arrival::Elsewhere,
        }
    }

    /// Counts frames that came, or never will.
    pub(crate) fn advance(&mut self, frames: u64) {
        self.frames += frames;
    }

    /// The timestamp behind the last frame.
    pub(crate) fn now(&self) -> ClockTime {
        self.base + time(self.frames, self.rate)
    }

    /// Position [samples at 16 kHz] of a session that received all frames so far.
    pub(crate) fn position(&self) -> u64 {
        self.frames * u64::from(hearken::SAMPLE_RATE) / u64::from(self.rate.max(1))
    }

    /// Timestamp of a session's position, which is in samples at 16 kHz.
    pub(crate) fn at(&self, position: u64) -> ClockTime {
        self.base + time(position, hearken::SAMPLE_RATE)
    }
}

/// Converts frames to a duration.
fn time(frames: u64, rate: u32) -> ClockTime {
    let nanoseconds = u128::from(frames) * 1_000_000_000 / u128::from(rate.max(1));
    ClockTime::from_nseconds(nanoseconds.min(u128::from(u64::MAX / 4)) as u64)
}

/// Converts a duration to frames, rounded.
pub(crate) fn frames(time: ClockTime, rate: u32) -> u64 {
    ((u128::from(time.nseconds()) * u128::from(rate) + 500_000_000) / 1_000_000_000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_found_and_jitter_is_not_one() {
        let mut clock = Clock::new(ClockTime::SECOND, 48_000);
        clock.advance(48_000);
        let arrival = |ms| clock.arrival(Some(ClockTime::from_mseconds(ms)));
        assert_eq!(arrival(2_000), Arrival::Next);
        assert_eq!((arrival(1_961), arrival(2_039)), (Arrival::Next, Arrival::Next));
        assert_eq!(arrival(2_100), Arrival::After(4_800));
        assert_eq!((arrival(500), arrival(5_000_000)), (Arrival::Elsewhere, Arrival::Elsewhere));
        assert_eq!(clock.arrival(None), Arrival::Next);
        assert_eq!(clock.at(8_000), ClockTime::from_mseconds(1_500));
    }

    #[test]
    fn an_hour_of_odd_blocks_does_not_drift() {
        let mut clock = Clock::new(ClockTime::ZERO, 44_100);
        for _ in 0..3_600 * 100 {
            clock.advance(441);
        }
        assert_eq!(clock.now(), ClockTime::from_seconds(3_600));
    }
}
