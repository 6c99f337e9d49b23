//! Voiced stretches of an utterance.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::VadEvent;
use crate::SAMPLE_RATE;

/// A word whose place is mostly a tone is none unless there is this much voice around it [samples]:
/// 120 ms.
const SPOKEN: u64 = SAMPLE_RATE as u64 * 120 / 1000;

/// Distance from a word at which voice counts for it, in samples: 200 ms. Times of words are
/// estimates.
const AROUND: u64 = SAMPLE_RATE as u64 / 5;

/// Stretches of voice in order, in samples of the stream. Frames that touch are one stretch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Voice {
    /// Stretches that the detector takes for voice.
    voiced: Vec<Range<u64>>,
    /// Steady tones in them.
    tones: Vec<Tone>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Tone {
    range: Range<u64>,
    /// Position behind the samples with which it was found.
    known: u64,
}

impl Voice {
    /// Takes in the next event of the stream.
    pub(crate) fn push(&mut self, event: &VadEvent<'_>) {
        let VadEvent::Speech { position, samples, voiced_until, tone } = *event else { return };
        let end = position + samples.len() as u64;
        if let Some((from, to)) = tone {
            self.tones.push(Tone { range: from..to, known: end });
        }
        if voiced_until < end {
            return;
        }
        match self.voiced.last_mut() {
            Some(last) if last.end >= position => last.end = end,
            _ => self.voiced.push(position..end),
        }
    }

    /// Stretches of voice, tones among them.
    pub(crate) fn with_tones(&self) -> &[Range<u64>] {
        &self.voiced
    }

    /// Stretches of voice without tones.
    pub(crate) fn stretches(&self) -> Vec<Range<u64>> {
        let mut stretches = Vec::new();
        let mut tones = self.tones.iter().map(|tone| &tone.range).peekable();
        for Range { mut start, end } in self.voiced.iter().cloned() {
            while tones.next_if(|tone| tone.end <= start).is_some() {}
            while let Some(tone) = tones.peek().filter(|tone| tone.start < end) {
                if start < tone.start {
                    stretches.push(start..tone.start);
                }
                start = start.max(tone.end);
                if start >= end {
                    break;
                }
                tones.next();
            }
            if start < end {
                stretches.push(start..end);
            }
        }
        stretches
    }

    /// Length of all stretches without tones [samples].
    pub(crate) fn len(&self) -> u64 {
        self.stretches().iter().map(|stretch| stretch.end - stretch.start).sum()
    }

    /// Returns true if there are tones.
    pub(crate) fn has_tones(&self) -> bool {
        !self.tones.is_empty()
    }

    /// Returns true if a word at this place is a hallucination of a tone: most of it lies in one,
    /// and there is hardly any voice around.
    pub(crate) fn is_tone(&self, word: &Range<u64>) -> bool {
        // A word has a length, if only of a sample.
        let word = word.start..word.end.max(word.start + 1);
        let around = self.within(&(word.start.saturating_sub(AROUND)..word.end + AROUND));
        let inside =
            |tone: &Tone| tone.range.end.min(word.end).saturating_sub(tone.range.start.max(word.start));
        let tone: u64 = around.tones.iter().map(inside).sum();
        2 * tone >= word.end - word.start && around.len() < SPOKEN
    }

    /// Stretches without tones that are this far apart, in samples: those that are nearer count as
    /// one.
    pub(crate) fn separated(&self, pause: u64) -> Vec<Range<u64>> {
        let mut separated: Vec<Range<u64>> = Vec::new();
        for stretch in self.stretches() {
            match separated.last_mut() {
                Some(last) if stretch.start - last.end < pause => last.end = stretch.end,
                _ => separated.push(stretch),
            }
        }
        separated
    }

    /// The part of it in a range.
    pub(crate) fn within(&self, range: &Range<u64>) -> Self {
        let part = |one: &Range<u64>| one.start.max(range.start)..one.end.min(range.end);
        let first = self.voiced.partition_point(|stretch| stretch.end <= range.start);
        let voiced = self.voiced[first..].iter().take_while(|stretch| stretch.start < range.end);
        let first = self.tones.partition_point(|tone| tone.range.end <= range.start);
        let tones = self.tones[first..].iter().take_while(|tone| tone.range.start < range.end);
        Self {
            voiced: voiced.map(part).collect(),
            tones: tones.map(|tone| Tone { range: part(&tone.range), known: tone.known }).collect(),
        }
    }

    /// As much of it as was known when the stream had come to a position.
    pub(crate) fn known_at(&self, position: u64) -> Self {
        let mut known = self.within(&(0..position));
        known.tones.retain(|tone| tone.known <= position);
        known
    }

    /// Appends the stretches of a later one.
    pub(crate) fn extend(&mut self, later: Self) {
        for stretch in later.voiced {
            match self.voiced.last_mut() {
                Some(last) if last.end >= stretch.start => last.end = last.end.max(stretch.end),
                _ => self.voiced.push(stretch),
            }
        }
        self.tones.extend(later.tones);
    }

    /// Drops stretches before a position.
    pub(crate) fn forget(&mut self, position: u64) {
        self.voiced.retain(|stretch| stretch.end > position);
        self.tones.retain(|tone| tone.range.end > position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(frames: &[(u64, bool)]) -> Voice {
        let mut voice = Voice::default();
        for &(position, voiced) in frames {
            let voiced_until = if voiced { position + 10 } else { position };
            voice.push(&VadEvent::Speech { position, samples: &[0.0; 10], voiced_until, tone: None });
        }
        voice
    }

    /// Voice of three seconds, and tones that are found a second after their end, in tenths of a
    /// second.
    fn toned(tones: &[(u64, u64)]) -> Voice {
        let mut voice = Voice::default();
        let tenth = u64::from(SAMPLE_RATE) / 10;
        for position in (0..40).map(|at| at * tenth) {
            let due = |(_, end): &&(u64, u64)| (end + 10) * tenth == position + tenth;
            let tone = tones.iter().find(due).map(|(start, end)| (start * tenth, end * tenth));
            let voiced_until = (position + tenth).min(30 * tenth);
            let samples = &vec![0.0; tenth as usize];
            voice.push(&VadEvent::Speech { position, samples, voiced_until, tone });
        }
        voice
    }

    fn tenths(range: Range<u64>) -> Range<u64> {
        range.start * u64::from(SAMPLE_RATE) / 10..range.end * u64::from(SAMPLE_RATE) / 10
    }

    #[test]
    fn tones_are_no_voice() {
        let voice = toned(&[(2, 8), (8, 12), (20, 25)]);
        assert_eq!(voice.with_tones(), [tenths(0..30)]);
        assert_eq!(voice.stretches(), [0..2, 12..20, 25..30].map(tenths));
        assert_eq!(voice.len(), tenths(0..15).end);
        assert_eq!(voice.within(&tenths(10..22)).stretches(), [tenths(12..20)]);
        assert_eq!(voice.separated(tenths(0..6).end), [0..2, 12..30].map(tenths));
        assert_eq!(toned(&[(0, 30)]).stretches(), []);
        assert!(!toned(&[]).has_tones());
    }

    #[test]
    fn a_tone_is_known_some_time_after_it() {
        let voice = toned(&[(2, 8)]);
        assert_eq!(voice.known_at(tenths(0..17).end).stretches(), [tenths(0..17)]);
        assert_eq!(voice.known_at(tenths(0..18).end).stretches(), [0..2, 8..18].map(tenths));
    }

    #[test]
    fn a_word_in_a_tone_without_voice_around_is_none() {
        let voice = toned(&[(5, 20)]);
        for (word, is_tone) in [(10..12, true), (7..7, true), (1..4, false), (2..7, false), (21..24, false)] {
            assert_eq!(voice.is_tone(&tenths(word.clone())), is_tone, "{word:?}");
        }
        // Voice nearby may be its own.
        assert!(!voice.is_tone(&tenths(5..8)));
        assert!(!toned(&[]).is_tone(&tenths(35..38)), "silence is for other guards");
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
