//! Guards against hallucinations.
//!
//! Whisper repeats itself when it loses the audio, and fills silence with phrases. whisper.cpp's
//! own check, the entropy of the tokens, looks only at results of more than 32 tokens. These look
//! at the times as well, since people do say "zero zero zero zero".

use std::ops::Range;

use hearken_proto::phrases;
use hearken_proto::window::{LOGPROB, NO_SPEECH};

use crate::text::essence;
use crate::{SAMPLE_RATE, Segment, Word};

/// Maximum rate of text tokens in speech [1/s]: the fastest talkers reach some 8 words, 11 tokens.
const MAX_TOKENS_PER_SECOND: u64 = 30;
/// Tokens that are always allowed: a short word's times may be off by more than its length.
const FREE_TOKENS: u64 = 15;

/// Repetitions after which a phrase is suspected.
const REPETITIONS: usize = 4;
/// Longest phrase that is looked for, in words.
const LONGEST_PHRASE: usize = 8;
/// Time a spoken word takes at least, on average, in samples: 60 ms. Words of a loop have no time
/// of their own.
const STALLED: u64 = SAMPLE_RATE as u64 * 60 / 1000;

/// A segment is a hallucination if none of its words is as likely as this and its tokens are less
/// likely than `UNSURE` on average: typical of official models on music and streets.
const LIKELY_WORD: f32 = 0.5;
const UNSURE: f32 = -0.7;

/// Voice in which there are some words, if it is speech: 3 s. Below, a shout may be all.
const LEAST_VOICE: u64 = 3 * SAMPLE_RATE as u64;
/// Voice for each word of the slowest speech: 1.25 s.
const SLOWEST_WORD: u64 = SAMPLE_RATE as u64 * 5 / 4;
/// More than any word takes \[samples\]: 5 s.
const LONGEST_WORD: u64 = 5 * SAMPLE_RATE as u64;
/// Mean probability from which words are believed despite evidence against them.
const SURE: f32 = 0.85;

/// Voice between two words of a segment that is no pause of a speaker: 2 s.
const LEAST_HOLE: u64 = 2 * SAMPLE_RATE as u64;

/// A few words without a time are found in speech, too.
const LEAST_PLACELESS: usize = 3;

/// Memory that reports of a chunk may take: about that of two windows full of tokens, and that of a
/// third of one for each second. A model that repeats itself reports a window full, some 13 KiB; a
/// guest that is out to fill memory could report
/// [`Limits::event_bytes_per_call`](crate::sandbox::Limits::event_bytes_per_call) of each chunk,
/// and a recording has hundreds, all of which are kept until its end.
const REPORT: usize = 32 << 10;
const REPORT_PER_SECOND: usize = 4 << 10;

/// Number of bytes of memory that reports of a chunk may still take: by the chunk's length,
/// independent of the guest's claims.
pub(super) struct Report(usize);

impl Report {
    /// Makes the limits of a chunk of `samples` samples.
    pub(super) fn of(samples: usize) -> Self {
        Self(REPORT + samples * REPORT_PER_SECOND / SAMPLE_RATE as usize)
    }

    /// Counts a segment. Returns false if it is too much.
    pub(super) fn has_room_for(&mut self, segment: &hearken_proto::Segment) -> bool {
        let words = segment.words.iter().map(|word| size_of::<Word>() + word.text.len());
        let tokens = size_of_val(segment.tokens.as_slice());
        let size = size_of::<Segment>() + segment.text.len() + tokens + words.sum::<usize>();
        let left = self.0.checked_sub(size);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Returns true if a model is not sure of any word of a segment.
pub(super) fn is_unsure(segment: &Segment) -> bool {
    segment.avg_logprob.is_some_and(|mean| mean < UNSURE)
        && segment.words.iter().all(|word| word.probability < LIKELY_WORD)
}

/// Returns true if half of the words of a segment have no time of their own: the decoder attended
/// to one place, or two, for all of them. It does so where it hallucinates a phrase in a sound that
/// is not speech. (OpenAI's `hallucination_silence_threshold` looks for the same in the durations
/// of words, beside silence.)
pub(super) fn has_no_places(words: &[hearken_proto::Word]) -> bool {
    let placeless = words.iter().filter(|word| word.end <= word.start).count();
    placeless >= LEAST_PLACELESS && 2 * placeless >= words.len()
}

/// Returns true if there are far fewer words than there is voice, and the model is not sure of
/// them: typical hallucinations on tones and machines. `voice` is in samples.
pub(super) fn is_sparse(segments: &[Segment], voice: u64) -> bool {
    let count = segments.iter().map(|segment| segment.words.len() as u64).sum::<u64>();
    voice >= LEAST_VOICE && count * SLOWEST_WORD < voice && !is_sure(segments)
}

/// Returns true if two seconds of voice lie between two words of a segment, in which no words were
/// found when they were decoded again, and the model is not sure of it: a phrase that was spread
/// over a sound. `missed` has the voice without words [samples].
pub(super) fn has_hole(segment: &Segment, missed: &[Range<u64>]) -> bool {
    let (Some(first), Some(last)) = (segment.words.first(), segment.words.last()) else { return false };
    let inside = |hole: &&Range<u64>| first.end <= hole.start && hole.end <= last.start;
    let is_long = |hole: &Range<u64>| hole.end - hole.start >= LEAST_HOLE;
    missed.iter().filter(inside).any(is_long) && !is_sure(std::slice::from_ref(segment))
}

/// Drops phrases that Whisper is known for where nobody speaks, if the model is not sure of them,
/// or a segment spreads one over more time than anybody takes for it. Also drops segments of words
/// that all last longer than anybody says a word, and of words that all have no time, if these are
/// more than a few.
pub(super) fn drop_phrases(segments: &mut Vec<Segment>) {
    let has_none = |segment: &Segment| {
        !segment.words.is_empty() && segment.words.iter().all(|word| word.end <= word.start)
    };
    let placeless = segments.iter().filter(|segment| has_none(segment)).map(|segment| segment.words.len());
    let are_many = placeless.sum::<usize>() >= LEAST_PLACELESS;
    segments.retain(|segment| {
        !(is_unspoken_phrase(segment) || is_endless(segment) || are_many && has_none(segment))
    });
}

fn is_endless(segment: &Segment) -> bool {
    let lasts = |word: &Word| word.end.saturating_sub(word.start) > LONGEST_WORD;
    !segment.words.is_empty() && segment.words.iter().all(lasts)
}

fn is_unspoken_phrase(segment: &Segment) -> bool {
    let (Some(first), Some(last)) = (segment.words.first(), segment.words.last()) else { return false };
    let count = segment.words.len();
    let is_spread = last.end - first.start > count as u64 * SLOWEST_WORD + LEAST_HOLE;
    let mean = segment.words.iter().map(|word| word.probability.max(f32::MIN_POSITIVE).ln()).sum::<f32>();
    let is_likely = mean >= count as f32 * phrases::LIKELY.ln();
    let words: Vec<String> = segment.words.iter().map(|word| essence(&word.text)).collect();
    (is_spread || !is_likely) && phrases::is_one(words.iter().map(String::as_str))
}

/// Returns true if words are likely on average.
pub(super) fn is_sure(segments: &[Segment]) -> bool {
    let words = || segments.iter().flat_map(|segment| &segment.words);
    words().map(|word| word.probability).sum::<f32>() >= SURE * words().count() as f32
}

/// Returns true if the window of a text was silent, or the text has more tokens than its time can
/// hold. `duration` is in samples, from the beginning of its first word to the end of its last.
pub(crate) fn is_unspoken(duration: u64, tokens: u32, no_speech: f32, avg_logprob: f32) -> bool {
    let silent = no_speech > NO_SPEECH && avg_logprob < LOGPROB;
    let room = duration * MAX_TOKENS_PER_SECOND / u64::from(SAMPLE_RATE);
    silent || u64::from(tokens) > FREE_TOKENS + room
}

/// Cuts the repetitions of a loop: the first occurrence of the phrase stays.
pub(super) fn cut_loop(segment: &mut Segment) {
    let Some(keep) = find_loop(&segment.words) else { return };
    segment.words.truncate(keep);
    segment.end = segment.words.last().map_or(segment.start, |word| word.end);
    // The text has its own spacing, or none: it is cut behind the last word that stays.
    let mut cut = 0;
    for word in &segment.words {
        if let Some(at) = segment.text[cut..].find(&word.text) {
            cut += at + word.text.len();
        }
    }
    segment.text.truncate(cut);
}

/// The number of words up to the end of the first occurrence of a phrase that is repeated without
/// time passing.
fn find_loop(words: &[Word]) -> Option<usize> {
    for phrase in 1..=LONGEST_PHRASE {
        let mut start = 0;
        while start + phrase * REPETITIONS <= words.len() {
            let same = |at: usize| {
                words[start..start + phrase]
                    .iter()
                    .zip(&words[at..at + phrase])
                    .all(|(one, other)| one.text.eq_ignore_ascii_case(&other.text))
            };
            let mut end = start + phrase;
            while end + phrase <= words.len() && same(end) {
                end += phrase;
            }
            let repeated = &words[start + phrase..end];
            if end - start >= phrase * REPETITIONS {
                let time = words[end - 1].end - words[start + phrase - 1].end;
                if time < STALLED * repeated.len() as u64 {
                    return Some(start + phrase);
                }
            }
            start += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of `step` samples each.
    fn segment(text: &str, step: u64) -> Segment {
        let words: Vec<Word> = text
            .split(' ')
            .zip(0..)
            .map(|(text, index)| Word {
                start: index * step,
                end: (index + 1) * step,
                text: text.to_owned(),
                probability: 0.9,
            })
            .collect();
        let end = words.len() as u64 * step;
        Segment { start: 0, end, text: text.to_owned(), words, ..Segment::default() }
    }

    fn guarded(text: &str, step: u64) -> String {
        let mut segment = segment(text, step);
        cut_loop(&mut segment);
        segment.text
    }

    #[test]
    fn few_doubtful_words_in_much_voice_are_not_believed() {
        let said = |probability| {
            let mut segment = segment("a b c d", 16_000);
            segment.words.iter_mut().for_each(|word| word.probability = probability);
            [segment]
        };
        assert!(is_sparse(&said(0.7), 6 * 16_000));
        assert!(!is_sparse(&said(0.7), 5 * 16_000), "slow");
        assert!(!is_sparse(&said(0.9), 30 * 16_000), "sure");
        assert!(!is_sparse(&[], 30 * 16_000));
    }

    #[test]
    fn a_doubtful_phrase_around_voice_without_words_is_not_believed() {
        let said = |probability| {
            let mut segment = segment("and that's all for now", 8_000);
            for (index, word) in segment.words.iter_mut().enumerate() {
                let later = if index < 2 { 0 } else { 60_000 };
                (word.start, word.end) = (word.start + later, word.end + later);
                word.probability = probability;
            }
            segment
        };
        let is_one = |probability, hole: Range<u64>| has_hole(&said(probability), &[hole]);
        assert!(is_one(0.75, 19_200..72_800));
        assert!(!is_one(0.9, 19_200..72_800), "sure");
        assert!(!is_one(0.75, 19_200..51_000), "as long as a pause");
        assert!(!is_one(0.75, 110_000..200_000), "behind it");
    }

    #[test]
    fn a_known_phrase_is_believed_where_it_is_said() {
        // By base on ten minutes of drums, and by tiny.en on chords.
        let said = |text: &str, places: &[(u64, u64)], probability: f32| {
            let mut segment = segment(text, 8_000);
            for (word, (start, end)) in segment.words.iter_mut().zip(places) {
                (word.start, word.end, word.probability) = (*start, *end, probability);
            }
            segment
        };
        let near = [(0, 8_000), (8_000, 16_000), (16_000, 24_000)];
        let spread = [(1_143_601, 1_149_521), (1_431_601, 1_437_521), (1_437_521, 1_439_281)];
        let long = [(9_271_636, 9_599_636), (9_599_636, 9_599_956)];
        let left = |segments: &[Segment]| {
            let mut segments = segments.to_vec();
            drop_phrases(&mut segments);
            segments.len()
        };
        assert_eq!(left(&[said("Thanks for watching!", &spread, 0.9)]), 0);
        assert_eq!(left(&[said("Thank you.", &long, 0.99)]), 0);
        assert_eq!(left(&[said("Thanks for watching!", &near, 0.7)]), 0, "unlikely");
        assert_eq!(left(&[said("Thanks for watching!", &near, 0.9)]), 1);
        assert_eq!(left(&[said("Thanks for coming!", &spread, 0.9)]), 1, "no known phrase");
        // By base on ten minutes of brown noise, with a probability of 0.997.
        assert_eq!(left(&[said("nd", &[(2_615_664, 2_938_864)], 0.997)]), 0);
        assert_eq!(left(&[said("Yes", &[(0, 32_000)], 0.9)]), 1);
        let nowhere = said("next video.", &[(9, 9), (9, 9)], 0.9);
        assert_eq!(left(&[nowhere.clone(), nowhere.clone()]), 0);
        assert_eq!(left(&[nowhere]), 1, "a few words without a time are found in speech");
    }

    #[test]
    fn words_without_places_are_distinguished_from_short_ones() {
        let words = |ends: &[u32]| -> Vec<hearken_proto::Word> {
            let starts = [0].into_iter().chain(ends.iter().copied());
            let word =
                |(start, end)| hearken_proto::Word { start, end, text: "a".to_owned(), probability: 0.9 };
            starts.zip(ends.iter().copied()).map(word).collect()
        };
        assert!(has_no_places(&words(&[0, 100, 100, 100, 100, 100, 200])));
        assert!(!has_no_places(&words(&[100, 200, 200, 200, 300, 400, 500])));
        assert!(!has_no_places(&words(&[0, 0])));
        assert!(!has_no_places(&[]));
    }

    #[test]
    fn spoken_repetitions_stay() {
        let spoken = u64::from(SAMPLE_RATE) / 5;
        for text in
            ["zero zero zero zero zero zero", "no no no no no", "ha ha ha ha ha ha ha ha", "one two three"]
        {
            assert_eq!(guarded(text, spoken), text);
        }
    }

    #[test]
    fn a_loop_without_time_is_cut_to_its_first_occurrence() {
        assert_eq!(guarded("thank you thank you thank you thank you thank you", 100), "thank you");
        assert_eq!(guarded("so we go go go go go go", 0), "so we go");
        assert_eq!(guarded("go go go", 0), "go go go", "three may be chance");
    }

    #[test]
    fn languages_without_spaces_keep_none() {
        let mut segment = segment("你 好 好 好 好 好", 0);
        segment.text = "你好好好好好".to_owned();
        cut_loop(&mut segment);
        assert_eq!(segment.text, "你好");
    }

    #[test]
    fn more_tokens_than_time_is_no_speech() {
        let second = u64::from(SAMPLE_RATE);
        assert!(!is_unspoken(second, 45, 0.0, 0.0));
        assert!(is_unspoken(second, 46, 0.0, 0.0));
    }

    #[test]
    fn silence_is_believed_only_with_doubtful_words() {
        assert!(is_unspoken(16_000, 1, 0.9, -1.5));
        assert!(!is_unspoken(16_000, 1, 0.9, -0.2));
    }
}
