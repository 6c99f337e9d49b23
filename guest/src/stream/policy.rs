//! Commit policies: the rules that decide which words are certain.

use std::collections::VecDeque;

use hearken_proto::{Commit, SAMPLE_RATE};

use super::Spoken;
use super::alignment::essence;

/// Decides which of the words that are not committed yet become so.
pub(crate) trait Policy {
    /// Number of the first words of `tail` that are certain. `tail` is the part of the latest
    /// hypothesis behind the committed words; `heard` is the end of the audio, on the same clock.
    fn certain(&mut self, tail: &[Spoken], heard: u32) -> usize;

    /// Reports that the first `words` words of the latest tail were committed: the next tail begins
    /// behind them.
    fn committed(&mut self, words: usize);
}

/// The policy that a task asks for.
pub(super) fn policy(commit: Commit) -> Box<dyn Policy> {
    match commit {
        Commit::Agreement { hypotheses, doubtful, likely, early, margin } => {
            let attention = (margin > 0).then_some(Attention { margin });
            Box::new(Agreement::new(hypotheses, doubtful, likely, early, attention))
        }
        Commit::Attention { margin } => Box::new(Attention { margin }),
    }
}

/// Length of the early part of an utterance, whose hypotheses have heard little, and err together:
/// 3 s.
const EARLY: u32 = 3 * SAMPLE_RATE;

/// Number of earlier hypotheses kept for each that must agree: early ones may be nearer to each
/// other than the audio required between them.
const KEPT: usize = 4;

/// LocalAgreement-n: words that n hypotheses in a row begin with (Liu, Spanakis and Niehues 2020;
/// Macháček, Dabre and Bojar 2023). A word with an unlikely token needs more of them: of the words
/// that two hypotheses in a row get wrong, most are unlikely, and few of those that they get right.
/// Early in an utterance hypotheses are made more often, and those that agree must lie apart
/// (docs/streaming.md).
struct Agreement {
    /// Hypotheses that must agree on a likely word, the latest one included.
    likely: usize,
    /// Number of hypotheses for a doubtful word.
    doubtful: usize,
    /// A word is doubtful if a token of it is less likely than this.
    threshold: f32,
    /// Audio between two hypotheses in a row early in an utterance, in samples.
    early: u32,
    /// A further condition on each word.
    attention: Option<Attention>,
    /// Earlier hypotheses, the latest first.
    earlier: VecDeque<Earlier>,
}

/// A hypothesis that was made before.
struct Earlier {
    /// The essences of its words.
    words: Vec<String>,
    /// End of its audio, in samples.
    heard: u32,
}

impl Agreement {
    fn new(hypotheses: u8, doubtful: u8, likely: u8, early: u32, attention: Option<Attention>) -> Self {
        let (likely_count, doubtful) = (hypotheses.max(1), doubtful.max(hypotheses).max(1));
        Self {
            likely: likely_count.into(),
            doubtful: doubtful.into(),
            threshold: f32::from(likely) / 100.0,
            early,
            attention,
            earlier: VecDeque::new(),
        }
    }
}

impl Policy for Agreement {
    fn certain(&mut self, tail: &[Spoken], heard: u32) -> usize {
        let latest: Vec<String> = tail.iter().map(|spoken| essence(&spoken.word)).collect();
        // For each earlier hypothesis, the number of words that it shares with the beginning of the
        // latest one, and the audio that came since.
        let agreed: Vec<(usize, u32)> = self
            .earlier
            .iter()
            .map(|Earlier { words, heard: before }| {
                let same = latest.iter().zip(words).take_while(|(one, other)| one == other).count();
                (same, heard.saturating_sub(*before))
            })
            .collect();
        let apart = if heard < EARLY { self.early } else { 0 };
        let is_certain = |(index, spoken): &(usize, &Spoken)| {
            let needed = if spoken.least < self.threshold { self.doubtful } else { self.likely } - 1;
            let agreeing = agreed.iter().take_while(|(same, _)| same > index);
            let (count, since) = agreeing.fold((0, 0), |(count, _), (_, since)| (count + 1, *since));
            count >= needed
                && u64::from(since) >= needed as u64 * u64::from(apart)
                && self.attention.as_ref().is_none_or(|attention| attention.is_certain(spoken, heard))
        };
        let certain = tail.iter().enumerate().take_while(is_certain).count();
        self.earlier.push_front(Earlier { words: latest, heard });
        self.earlier.truncate(self.doubtful.max(self.likely) * KEPT);
        certain
    }

    fn committed(&mut self, words: usize) {
        for earlier in &mut self.earlier {
            earlier.words.drain(..words.min(earlier.words.len()));
        }
    }
}

/// AlignAtt: words are certain as far as the decoder did not look at the end of the audio to say
/// them, where more may come (Papi, Turchi and Negri 2023, arXiv 2305.11408; with Whisper: Wang et
/// al. 2024, arXiv 2406.10052).
struct Attention {
    /// Samples at the end of the audio.
    margin: u32,
}

impl Attention {
    fn is_certain(&self, spoken: &Spoken, heard: u32) -> bool {
        // Where nothing is known of attention, the word's end has to do.
        spoken.attended.unwrap_or(spoken.word.end) <= heard.saturating_sub(self.margin)
    }
}

impl Policy for Attention {
    fn certain(&mut self, tail: &[Spoken], heard: u32) -> usize {
        tail.iter().take_while(|spoken| self.is_certain(spoken, heard)).count()
    }

    fn committed(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use hearken_proto::Word;

    use super::*;

    fn tail(text: &str) -> Vec<Spoken> {
        text.split_whitespace()
            .zip(0u32..)
            .map(|(text, index)| Spoken {
                word: Word {
                    start: index * 100,
                    end: index * 100 + 100,
                    text: text.to_owned(),
                    probability: 1.0,
                },
                attended: Some(index * 100 + 50),
                least: 0.9,
                ..Spoken::default()
            })
            .collect()
    }

    #[test]
    fn what_hypotheses_agree_on_is_certain_whatever_its_case_and_punctuation() {
        let mut policy =
            policy(Commit::Agreement { hypotheses: 2, doubtful: 2, likely: 0, early: 0, margin: 0 });
        assert_eq!(policy.certain(&tail("Hello, world"), 0), 0);
        assert_eq!(policy.certain(&tail("hello World. again"), 0), 2);
        // Compared with the rest of the one before.
        policy.committed(2);
        assert_eq!(policy.certain(&tail("again and"), 0), 1);
        policy.committed(1);
        assert_eq!(policy.certain(&tail("an end"), 0), 0);
        // The caller commits one word more than the policy thinks certain.
        policy.committed(1);
        assert_eq!(policy.certain(&tail("end is near"), 0), 1);
    }

    #[test]
    fn more_hypotheses_take_longer_to_agree() {
        let mut policy =
            policy(Commit::Agreement { hypotheses: 3, doubtful: 3, likely: 0, early: 0, margin: 0 });
        let certain = ["a", "a b", "a b c", "b c d", "c x"].map(|text| {
            let certain = policy.certain(&tail(text), 0);
            policy.committed(certain);
            certain
        });
        assert_eq!(certain, [0, 0, 1, 1, 1]);
        let mut at_once =
            super::policy(Commit::Agreement { hypotheses: 1, doubtful: 1, likely: 0, early: 0, margin: 0 });
        assert_eq!(at_once.certain(&tail("a b"), 0), 2);
    }

    #[test]
    fn early_hypotheses_count_with_the_audio_between_them() {
        let tenth = SAMPLE_RATE / 10;
        let commit =
            Commit::Agreement { hypotheses: 2, doubtful: 3, likely: 80, early: 4 * tenth, margin: 0 };
        let certain = |first: u32, text: &[Spoken]| {
            let mut policy = policy(commit);
            (0..6).position(|step| policy.certain(text, first + 2 * step * tenth) > 0)
        };
        let mut doubted = tail("a");
        doubted[0].least = 0.5;
        assert_eq!(certain(10 * tenth, &tail("a")), Some(2), "0.4 s after the first");
        assert_eq!(certain(10 * tenth, &doubted), Some(4), "0.8 s after it");
        assert_eq!(certain(EARLY, &tail("a")), Some(1), "as soon as there are two");
        assert_eq!(certain(EARLY, &doubted), Some(2));
    }

    #[test]
    fn hypotheses_may_agree_on_what_is_said_looking_at_the_end() {
        let mut policy =
            policy(Commit::Agreement { hypotheses: 2, doubtful: 2, likely: 0, early: 0, margin: 120 });
        let certain: Vec<usize> =
            [300, 300, 369, 370].map(|heard| policy.certain(&tail("a b c"), heard)).to_vec();
        assert_eq!(certain, [0, 2, 2, 3]);
    }

    #[test]
    fn doubtful_words_wait_longer_and_what_comes_behind_them_waits_too() {
        let mut policy =
            policy(Commit::Agreement { hypotheses: 2, doubtful: 4, likely: 80, early: 0, margin: 0 });
        let mut doubted = tail("a b c");
        doubted[1].least = 0.79;
        let certain: Vec<usize> = (0..5)
            .map(|_| {
                let certain = policy.certain(&doubted, 0);
                policy.committed(certain);
                doubted.drain(..certain);
                certain
            })
            .collect();
        assert_eq!(certain, [0, 1, 0, 2, 0]);
    }

    #[test]
    fn words_that_were_said_looking_at_the_end_are_not_certain() {
        let mut policy = policy(Commit::Attention { margin: 120 });
        assert_eq!(policy.certain(&tail("a b c"), 300), 2, "c was seen at 250");
        assert_eq!(policy.certain(&tail("a b c"), 370), 3);
        assert_eq!(policy.certain(&tail("a b c"), 0), 0);
        let mut unknown = tail("a b");
        unknown.iter_mut().for_each(|spoken| spoken.attended = None);
        assert_eq!(policy.certain(&unknown, 300), 1, "b ends at 200");
    }
}
