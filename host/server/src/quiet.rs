//! Rate limit of log lines that strangers cause: a rejection costs a line, and a disk has an end.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lines that are written at once, and in each period.
const LINES: u32 = 50;
const PERIOD: Duration = Duration::from_secs(1);

/// Counts lines.
#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    since: Option<Instant>,
    written: u32,
    left_out: u64,
}

/// The fate of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Write it, and before it how many were left out, if any were.
    Write(u64),
    /// Leave it out: it is counted.
    LeaveOut,
}

impl Quiet {
    pub(super) fn next(&self, now: Instant) -> Line {
        let mut counts = self.0.lock();
        if counts.since.is_none_or(|since| now.saturating_duration_since(since) >= PERIOD) {
            (counts.since, counts.written) = (Some(now), 0);
        }
        if counts.written >= LINES {
            counts.left_out += 1;
            return Line::LeaveOut;
        }
        counts.written += 1;
        Line::Write(std::mem::take(&mut counts.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suppressed_lines_are_counted() {
        let (quiet, start) = (Quiet::default(), Instant::now());
        for _ in 0..LINES {
            assert_eq!(quiet.next(start), Line::Write(0));
        }
        for _ in 0..1000 {
            assert_eq!(quiet.next(start + PERIOD / 2), Line::LeaveOut);
        }
        assert_eq!(quiet.next(start + PERIOD), Line::Write(1000));
        assert_eq!(quiet.next(start + PERIOD), Line::Write(0));
    }
}
