//! Voiced stretches, and the part of them that words explain.

use alloc::vec::Vec;
use core::ops::Range;

use crate::SAMPLE_RATE;

/// Voice that no word explains is missed speech, and not a cough or a drawn-out word, from this
/// length on, in samples: 1 s.
pub const MISSED: u64 = SAMPLE_RATE as u64;

/// Words explain voice this far around them, in samples: their times are estimates. 200 ms.
const SLACK: u64 = SAMPLE_RATE as u64 / 5;

/// Stretches of at least [`MISSED`] samples of voice in `range` that no word explains, in order.
/// `voice` and `words` are in order; each stretch begins and ends with voice, between two words or
/// at an end of the range.
pub fn missed(
    voice: &[Range<u64>],
    words: impl IntoIterator<Item = Range<u64>>,
    range: Range<u64>,
) -> Vec<Range<u64>> {
    let mut missed = Vec::new();
    let mut from = range.start;
    let ends = words.into_iter().chain(core::iter::once(range.end.saturating_add(SLACK)..u64::MAX));
    for word in ends {
        let gap = from..word.start.saturating_sub(SLACK).min(range.end);
        let inside = |stretch: &Range<u64>| {
            let (start, end) = (stretch.start.max(gap.start), stretch.end.min(gap.end));
            (start < end).then_some(start..end)
        };
        let mut heard = voice.iter().filter_map(inside).peekable();
        if let Some(first) = heard.peek().cloned() {
            let (end, sum) = heard
                .fold((first.end, 0), |(_, sum), stretch| (stretch.end, sum + stretch.end - stretch.start));
            if sum >= MISSED {
                missed.push(first.start..end);
            }
        }
        from = from.max(word.end.saturating_add(SLACK));
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tenths of a second.
    fn tenths(ranges: &[(u64, u64)]) -> Vec<Range<u64>> {
        ranges.iter().map(|(start, end)| start * MISSED / 10..end * MISSED / 10).collect()
    }

    fn found(voice: &[(u64, u64)], words: &[(u64, u64)], end: u64) -> Vec<Range<u64>> {
        missed(&tenths(voice), tenths(words), 0..end * MISSED / 10)
    }

    #[test]
    fn voice_between_words_is_missed_when_it_is_long() {
        let voice = [(0, 100)];
        assert_eq!(found(&voice, &[(0, 40), (53, 100)], 100), []);
        assert_eq!(found(&voice, &[(0, 40), (55, 100)], 100), tenths(&[(42, 53)]));
        assert_eq!(found(&voice, &[(20, 40)], 100), tenths(&[(0, 18), (42, 100)]));
        assert_eq!(found(&voice, &[], 100), tenths(&[(0, 100)]));
        assert_eq!(found(&[], &[], 100), []);
    }

    #[test]
    fn pauses_do_not_count_and_a_stretch_begins_and_ends_with_voice() {
        let voice = [(0, 10), (30, 36), (50, 56), (80, 90)];
        assert_eq!(found(&voice, &[(0, 10), (80, 90)], 100), tenths(&[(30, 56)]));
        assert_eq!(found(&voice, &[(0, 10), (40, 42), (80, 90)], 100), [], "six tenths on either side");
    }

    #[test]
    fn only_the_range_counts() {
        let voice = tenths(&[(0, 100)]);
        assert_eq!(missed(&voice, [], MISSED..3 * MISSED), tenths(&[(10, 30)]));
        assert_eq!(missed(&voice, [], 0..MISSED / 2), []);
    }
}
