//! Conversion of decoded tokens to words with times.

use hearken_proto::SAMPLE_RATE;

use super::alignment::{attended, beginnings};
use super::rules::{TIME_STEP_MS, Vocabulary};
use crate::backend::Watched;
use crate::stream::Spoken;
use crate::words::{self, Span, Token, group_places};

/// Samples of an encoder frame, and of a timestamp's step: 20 ms.
pub(crate) const SAMPLES_PER_FRAME: u32 = SAMPLE_RATE / 1000 * TIME_STEP_MS;

/// Repetitions after which a phrase is suspected to be a loop; people say "zero zero zero zero",
/// but it takes them time.
const REPETITIONS: usize = 4;
/// Longest phrase that is looked for, in tokens.
const LONGEST_PHRASE: usize = 12;
/// Frames that a spoken token takes at least, on average: 40 ms.
const LEAST_FRAMES: usize = 2;

/// A token, and how sure the decoder was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Said {
    pub(crate) token: i32,
    /// Log-probability; 0 for a forced token.
    pub(crate) logprob: f32,
}

/// Position of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// End, in units of 10 ms.
    pub(crate) end: i64,
    /// The last sample that the decoder looked at to say it.
    pub(crate) attended: Option<u32>,
}

/// All tokens decoded from a window.
pub(crate) struct Transcript<'a> {
    pub(crate) vocabulary: &'a Vocabulary,
    pub(crate) said: &'a [Said],
    /// Number of forced tokens, which come first.
    pub(crate) forced: usize,
    /// Decoder position of the first one.
    pub(crate) position: usize,
    pub(crate) watched: &'a Watched,
    /// Length of the window in samples.
    pub(crate) len: usize,
    /// True if the language has spaces between words.
    pub(crate) spaced: bool,
}

impl Transcript<'_> {
    /// The words behind the forced tokens. Times count from the window's start.
    pub(crate) fn words(&self, text: impl Fn(i32) -> Vec<u8>) -> Vec<Spoken> {
        let ends = self.ends();
        let mut spoken = Vec::new();
        let (mut marks, mut start) = (Vec::new(), 0u32);
        let mut place = 0;
        while place < self.said.len() {
            if !self.vocabulary.is_text(self.said[place].token) {
                if let Some(steps) = self.vocabulary.steps(self.said[place].token) {
                    start = steps.saturating_mul(SAMPLES_PER_FRAME).min(self.len as u32);
                    marks.push(start);
                }
                place += 1;
                continue;
            }
            let is_text = |said: &&Said| self.vocabulary.is_text(said.token);
            let count = self.said[place..].iter().take_while(is_text).count();
            let after = self.said.get(place + count).and_then(|said| self.vocabulary.steps(said.token));
            let end = after.map_or(self.len as u32, |steps| steps.saturating_mul(SAMPLES_PER_FRAME));
            let span = Span { start, end: end.min(self.len as u32).max(start) };
            let tokens = self.tokens(place, count, span, &ends, &text);
            for (word, range) in group_places(&tokens, span, self.spaced) {
                let (first, last) = (place + range.start, place + range.end);
                let sample = |frame: usize| (frame as u32 + 1) * SAMPLES_PER_FRAME;
                let look = |at: usize| attended(self.watched, self.position + at).map(sample);
                let is_spoken = |at: &usize| words::is_spoken(&text(self.said[*at].token));
                // A token that continues a forced one is not a word of its own.
                if first >= self.forced {
                    spoken.push(Spoken {
                        from: word.start,
                        word,
                        tokens: self.said[first..last].iter().map(|said| said.token).collect(),
                        marks: std::mem::take(&mut marks),
                        attended: (first..last).filter_map(look).max(),
                        heard_at: (first..last).filter(is_spoken).filter_map(look).max(),
                        sure: false,
                        least: self.said[first..last]
                            .iter()
                            .map(|said| said.logprob.exp())
                            .fold(1.0, f32::min),
                    });
                } else {
                    marks.clear();
                }
            }
            place += count;
        }
        spoken
    }

    /// The place of each token, if attention was watched. All of them are text.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        expect(dead_code, reason = "only the guest places tokens of whisper.cpp")
    )]
    pub(crate) fn places(&self) -> Vec<Place> {
        let place = |(at, end): (usize, Option<i64>)| {
            let attended = attended(self.watched, self.position + at);
            Some(Place { end: end?, attended: attended.map(|frame| (frame as u32 + 1) * SAMPLES_PER_FRAME) })
        };
        self.ends().into_iter().enumerate().map_while(place).collect()
    }

    /// End of each text token in units of 10 ms, by attention; empty if that was not recorded.
    fn ends(&self) -> Vec<Option<i64>> {
        let mut ends = vec![None; self.said.len()];
        let texts: Vec<usize> =
            (0..self.said.len()).filter(|at| self.vocabulary.is_text(self.said[*at].token)).collect();
        let Some(last) = texts.last() else { return ends };
        if attended(self.watched, self.position).is_none() {
            return ends;
        }
        let mut positions: Vec<usize> = texts.iter().map(|at| self.position + at).collect();
        // Attention for the text behind the last word marks its end.
        let closing = self.position + last + 1;
        if closing < self.watched.positions() {
            positions.push(closing);
        }
        let begins = beginnings(self.watched, &positions);
        for (index, at) in texts.iter().enumerate() {
            let end = begins.get(index + 1).copied().unwrap_or(self.watched.frames);
            ends[*at] = Some(end as i64 * 2);
        }
        ends
    }

    fn tokens(
        &self,
        place: usize,
        count: usize,
        span: Span,
        ends: &[Option<i64>],
        text: impl Fn(i32) -> Vec<u8>,
    ) -> Vec<Token> {
        // Where nothing was watched, each has as much time as another.
        let share = |index: usize| {
            let from_start = u64::from(span.end - span.start) * index as u64 / count as u64;
            ((u64::from(span.start) + from_start) / u64::from(hearken_proto::HOP_LENGTH)) as i64
        };
        (0..count)
            .map(|index| {
                let said = self.said[place + index];
                Token {
                    text: text(said.token),
                    special: false,
                    probability: said.logprob.exp(),
                    logprob: said.logprob,
                    start: share(index),
                    end: share(index + 1),
                    aligned: ends[place + index].unwrap_or(-1),
                }
            })
            .collect()
    }

    /// Mean log-probability of the text that was not forced; 0 if there is none.
    pub(crate) fn average_logprob(&self) -> f32 {
        let texts = self.said[self.forced..].iter().filter(|said| self.vocabulary.is_text(said.token));
        let (sum, count) = texts.fold((0.0, 0u32), |(sum, count), said| (sum + said.logprob, count + 1));
        if count == 0 { 0.0 } else { sum / count as f32 }
    }

    /// If the text ends in a phrase that is repeated while the decoder's attention does not move on
    /// (a repetition loop): the number of tokens up to the end of the phrase's first occurrence.
    pub(crate) fn stalled(&self) -> Option<usize> {
        let end = self.said.len();
        for phrase in 1..=LONGEST_PHRASE {
            let start = end.checked_sub(phrase * REPETITIONS)?;
            if start < self.forced
                || self.said[start..].iter().any(|said| !self.vocabulary.is_text(said.token))
            {
                return None;
            }
            let repeats = (start + phrase..end).all(|at| self.said[at].token == self.said[at - phrase].token);
            let frame = |at: usize| attended(self.watched, self.position + at);
            if let (true, Some(first), Some(last)) = (repeats, frame(start + phrase), frame(end - 1)) {
                let repeated = phrase * (REPETITIONS - 1);
                if last.saturating_sub(first) < LEAST_FRAMES * repeated {
                    return Some(start + phrase);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EOT: i32 = 100;
    const BEG: i32 = 110;

    fn vocabulary() -> Vocabulary {
        Vocabulary { eot: EOT, beg: BEG, timed: true, ..Vocabulary::default() }
    }

    /// Text tokens are letters; odd ones begin words.
    fn text(token: i32) -> Vec<u8> {
        let letter = b'a' + token as u8;
        if token % 2 == 1 { vec![b' ', letter] } else { vec![letter] }
    }

    /// Makes attention to frame `at[n]` for the nth token, and to the last one for the tokens
    /// behind.
    fn looking(at: &[usize], frames: usize) -> Watched {
        let weights = at.iter().flat_map(|place| {
            (0..frames).map(move |frame| if frame.abs_diff(*place) <= 2 { 0.2 } else { 0.0001 })
        });
        Watched { heads: 1, frames, weights: weights.collect() }
    }

    fn said(tokens: &[i32]) -> Vec<Said> {
        tokens.iter().map(|token| Said { token: *token, logprob: -0.5 }).collect()
    }

    fn transcript<'a>(
        vocabulary: &'a Vocabulary,
        said: &'a [Said],
        forced: usize,
        watched: &'a Watched,
    ) -> Transcript<'a> {
        Transcript { vocabulary, said, forced, position: 0, watched, len: 100 * 320, spaced: true }
    }

    #[test]
    fn words_are_where_the_decoder_looked_and_know_their_tokens() {
        let (vocabulary, said) = (vocabulary(), said(&[BEG, 1, 2, 3, BEG + 70, BEG + 75, 5]));
        let watched = looking(&[0, 10, 20, 60, 70, 75, 85, 95], 100);
        let words = transcript(&vocabulary, &said, 0, &watched).words(text);
        let texts: Vec<&str> = words.iter().map(|spoken| spoken.word.text.as_str()).collect();
        assert_eq!(texts, ["bc", "d", "f"]);
        assert_eq!((&words[0].tokens[..], &words[0].marks[..]), (&[1, 2][..], &[0][..]));
        assert_eq!(words[2].marks, [70 * 320, 75 * 320]);
        // Between where it looked for this word, and where for the next one.
        let end = words[0].word.end / 320;
        assert!((22..60).contains(&end), "{end}");
        assert!((61..=70).contains(&(words[1].word.end / 320)));
        assert!(words[0].attended.is_some_and(|at| (19..=24).contains(&(at / 320))));
        assert!(words[2].word.start >= 75 * 320 && words[2].word.end <= 100 * 320);
    }

    #[test]
    fn forced_tokens_are_not_returned_as_words() {
        let (vocabulary, said) = (vocabulary(), said(&[BEG, 1, 3, 4, 5]));
        let watched = looking(&[0, 10, 30, 40, 60, 80], 100);
        let words = transcript(&vocabulary, &said, 3, &watched).words(text);
        // "de" continues a forced word; "f" is new.
        let texts: Vec<&str> = words.iter().map(|spoken| spoken.word.text.as_str()).collect();
        assert_eq!(texts, ["f"]);
        assert!(words[0].marks.is_empty());
        assert_eq!(transcript(&vocabulary, &said, 5, &watched).words(text), []);
        assert_eq!(transcript(&vocabulary, &said, 5, &watched).average_logprob(), 0.0);
    }

    #[test]
    fn without_attention_words_share_the_time() {
        let (vocabulary, said) = (vocabulary(), said(&[BEG + 10, 1, 3, BEG + 50]));
        let words = transcript(&vocabulary, &said, 0, &Watched::default()).words(text);
        let times: Vec<(u32, u32)> =
            words.iter().map(|spoken| (spoken.word.start / 320, spoken.word.end / 320)).collect();
        assert_eq!(times, [(10, 30), (30, 50)]);
        assert_eq!(words[0].attended, None);
    }

    #[test]
    fn a_loop_stands_still_and_speech_does_not() {
        let vocabulary = vocabulary();
        let said = said(&[BEG, 1, 3, 5, 5, 5, 5]);
        let still = looking(&[0, 10, 20, 50, 51, 51, 52, 52], 100);
        assert_eq!(transcript(&vocabulary, &said, 0, &still).stalled(), Some(4));
        let moving = looking(&[0, 10, 20, 30, 40, 55, 70, 80], 100);
        assert_eq!(transcript(&vocabulary, &said, 0, &moving).stalled(), None);
        assert_eq!(transcript(&vocabulary, &said, 5, &still).stalled(), None, "forced, not said");
        assert_eq!(transcript(&vocabulary, &said[..5], 0, &still).stalled(), None);
        let pairs = self::said(&[BEG, 5, 7, 5, 7, 5, 7, 5, 7]);
        let still = looking(&[0, 50, 50, 51, 51, 51, 52, 52, 52], 100);
        assert_eq!(transcript(&vocabulary, &pairs, 0, &still).stalled(), Some(3));
    }
}
