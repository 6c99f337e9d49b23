//! Voiced stretches of an utterance.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::VadEvent;

/// Stretches of voice in order, in samples of the stream. Frames that touch are one stretch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Voice(Vec<Range<u64>>);

impl Voice {
    /// Takes in the next event of the stream.
    pub(crate) fn push(&mut self, event: &VadEvent<'_>) {
        let VadEvent::Speech { position, samples, voiced_until } = *event else { return };
        let end = position + samples.len() as u64;
        if voiced_until < end {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.end >= position => last.end = end,
            _ => self.0.push(position..end),
        }
    }

    /// The stretches.
    pub(crate) fn stretches(&self) -> &[Range<u64>] {
        &self.0
    }

    /// Stretches that are this far apart, in samples: those that are nearer count as one.
    pub(crate) fn separated(&self, pause: u64) -> Vec<Range<u64>> {
        let mut separated: Vec<Range<u64>> = Vec::new();
        for stretch in &self.0 {
            match separated.last_mut() {
                Some(last) if stretch.start - last.end < pause => last.end = stretch.end,
                _ => separated.push(stretch.clone()),
            }
        }
        separated
    }

    /// The part of it in a range.
    pub(crate) fn within(&self, range: &Range<u64>) -> Self {
        let first = self.0.partition_point(|stretch| stretch.end <= range.start);
        let inside = self.0[first..].iter().take_while(|stretch| stretch.start < range.end);
        Self(inside.map(|stretch| stretch.start.max(range.start)..stretch.end.min(range.end)).collect())
    }

    /// Appends the stretches of a later one.
    pub(crate) fn extend(&mut self, later: Self) {
        for stretch in later.0 {
            match self.0.last_mut() {
                Some(last) if last.end >= stretch.start => last.end = last.end.max(stretch.end),
                _ => self.0.push(stretch),
            }
        }
    }

    /// Drops stretches before a position.
    pub(crate) fn forget(&mut self, position: u64) {
        self.0.retain(|stretch| stretch.end > position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(frames: &[(u64, bool)]) -> Voice {
        let mut voice = Voice::default();
        for &(position, voiced) in frames {
            let voiced_until = if voiced { position + 10 } else { position };
            voice.push(&VadEvent::Speech { position, samples: &[0.0; 10], voiced_until });
        }
        voice
    }

    #[test]
    fn frames_that_touch_are_one_stretch() {
        let voice = heard(&[(0, false), (10, true), (20, true), (30, false), (40, true)]);
        assert_eq!(voice.stretches(), [10..30, 40..50]);
        assert_eq!(voice.within(&(20..45)).stretches(), [20..30, 40..45]);
        assert_eq!(voice.within(&(30..40)).stretches(), []);
        assert_eq!(voice.separated(10), [10..30, 40..50]);
        assert_eq!(voice.separated(11).first(), Some(&(10..50)), "together");
    }
}
