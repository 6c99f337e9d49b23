//! When words are certain.

use std::collections::VecDeque;

use hearken_proto::Commit;

use super::Spoken;
use super::agreement::essence;

/// Decides which of the words that are not committed yet become so.
pub(crate) trait Policy {
    /// How many of the first words of `tail` are certain. `tail` is all that was heard behind what is committed, in the
    /// latest hypothesis; `heard` is where the audio ends, on the same clock.
    fn certain(&mut self, tail: &[Spoken], heard: u32) -> usize;

    /// The first so many words of the latest tail are committed: the next one begins behind them.
    fn committed(&mut self, words: usize);
}

/// The policy that a task asks for.
pub(super) fn policy(commit: Commit) -> Box<dyn Policy> {
    match commit {
        Commit::Agreement { hypotheses, doubtful, likely } => {
            Box::new(Agreement::new(hypotheses, doubtful, likely))
        }
        Commit::Attention { margin } => Box::new(Attention { margin }),
    }
}

/// LocalAgreement-n: words that n hypotheses in a row begin with (Liu, Spanakis and Niehues 2020; Macháček, Dabre and Bojar
/// 2023). A word with an unlikely token needs more of them: of the words that two hypotheses in a row get wrong, most are
/// unlikely, and few of those that they get right (docs/streaming.md).
struct Agreement {
    /// Hypotheses that must agree on a likely word, the latest one included.
    likely: usize,
    /// The same for a doubtful word.
    doubtful: usize,
    /// A word is doubtful if a token of it is less likely than this.
    threshold: f32,
    /// The essences of the words of earlier hypotheses, the latest first.
    earlier: VecDeque<Vec<String>>,
}

impl Agreement {
    fn new(hypotheses: u8, doubtful: u8, likely: u8) -> Self {
        let (likely_count, doubtful) = (hypotheses.max(1), doubtful.max(hypotheses).max(1));
        Self {
            likely: likely_count.into(),
            doubtful: doubtful.into(),
            threshold: f32::from(likely) / 100.0,
            earlier: VecDeque::new(),
        }
    }
}

impl Policy for Agreement {
    fn certain(&mut self, tail: &[Spoken], _: u32) -> usize {
        let latest: Vec<String> = tail.iter().map(|spoken| essence(&spoken.word)).collect();
        // For each earlier hypothesis, the words that it begins with as the latest one does.
        let agreed: Vec<usize> = self
            .earlier
            .iter()
            .map(|other| latest.iter().zip(other).take_while(|(one, other)| one == other).count())
            .collect();
        let is_certain = |(index, spoken): &(usize, &Spoken)| {
            let needed = if spoken.least < self.threshold { self.doubtful } else { self.likely };
            agreed.iter().take_while(|agreed| **agreed > *index).count() + 1 >= needed
        };
        let certain = tail.iter().enumerate().take_while(is_certain).count();
        self.earlier.push_front(latest);
        self.earlier.truncate(self.doubtful.max(self.likely) - 1);
        certain
    }

    fn committed(&mut self, words: usize) {
        for earlier in &mut self.earlier {
            earlier.drain(..words.min(earlier.len()));
        }
    }
}

/// AlignAtt: words are certain as far as the decoder did not look at the end of the audio to say them, where more may come
/// (Papi, Turchi and Negri 2023, arXiv 2305.11408; with Whisper: Wang et al. 2024, arXiv 2406.10052).
struct Attention {
    /// Samples at the end of the audio.
    margin: u32,
}

impl Policy for Attention {
    fn certain(&mut self, tail: &[Spoken], heard: u32) -> usize {
        let limit = heard.saturating_sub(self.margin);
        // Where nothing is known of attention, the word's end has to do.
        tail.iter().take_while(|spoken| spoken.attended.unwrap_or(spoken.word.end) <= limit).count()
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
        let mut policy = policy(Commit::Agreement { hypotheses: 2, doubtful: 2, likely: 0 });
        assert_eq!(policy.certain(&tail("Hello, world"), 0), 0);
        assert_eq!(policy.certain(&tail("hello World. again"), 0), 2);
        // Compared with what is left of the one before.
        policy.committed(2);
        assert_eq!(policy.certain(&tail("again and"), 0), 1);
        policy.committed(1);
        assert_eq!(policy.certain(&tail("an end"), 0), 0);
        // One word more than it thinks certain.
        policy.committed(1);
        assert_eq!(policy.certain(&tail("end is near"), 0), 1);
    }

    #[test]
    fn more_hypotheses_take_longer_to_agree() {
        let mut policy = policy(Commit::Agreement { hypotheses: 3, doubtful: 3, likely: 0 });
        let certain = ["a", "a b", "a b c", "b c d", "c x"].map(|text| {
            let certain = policy.certain(&tail(text), 0);
            policy.committed(certain);
            certain
        });
        assert_eq!(certain, [0, 0, 1, 1, 1]);
        let mut at_once = super::policy(Commit::Agreement { hypotheses: 1, doubtful: 1, likely: 0 });
        assert_eq!(at_once.certain(&tail("a b"), 0), 2);
    }

    #[test]
    fn doubtful_words_wait_longer_and_what_comes_behind_them_waits_too() {
        let mut policy = policy(Commit::Agreement { hypotheses: 2, doubtful: 4, likely: 80 });
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
