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
        Commit::Agreement { hypotheses } => Box::new(Agreement::new(hypotheses)),
        Commit::Attention { margin } => Box::new(Attention { margin }),
    }
}

/// LocalAgreement-n: words that n hypotheses in a row begin with (Liu, Spanakis and Niehues 2020; Macháček, Dabre and Bojar
/// 2023).
struct Agreement {
    /// How many hypotheses must agree with the latest one.
    others: usize,
    /// The essences of their words, the oldest first.
    earlier: VecDeque<Vec<String>>,
}

impl Agreement {
    fn new(hypotheses: u8) -> Self {
        Self { others: usize::from(hypotheses.max(1)) - 1, earlier: VecDeque::new() }
    }
}

impl Policy for Agreement {
    fn certain(&mut self, tail: &[Spoken], _: u32) -> usize {
        let latest: Vec<String> = tail.iter().map(|spoken| essence(&spoken.word)).collect();
        let agreed = |other: &Vec<String>| latest.iter().zip(other).take_while(|(a, b)| a == b).count();
        let certain = if self.earlier.len() < self.others {
            0
        } else {
            self.earlier.iter().map(agreed).min().unwrap_or(latest.len())
        };
        self.earlier.push_back(latest);
        if self.earlier.len() > self.others {
            self.earlier.pop_front();
        }
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
                ..Spoken::default()
            })
            .collect()
    }

    #[test]
    fn what_hypotheses_agree_on_is_certain_whatever_its_case_and_punctuation() {
        let mut policy = policy(Commit::Agreement { hypotheses: 2 });
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
        let mut policy = policy(Commit::Agreement { hypotheses: 3 });
        let certain = ["a", "a b", "a b c", "b c d", "c x"].map(|text| {
            let certain = policy.certain(&tail(text), 0);
            policy.committed(certain);
            certain
        });
        assert_eq!(certain, [0, 0, 1, 1, 1]);
        let mut at_once = super::policy(Commit::Agreement { hypotheses: 1 });
        assert_eq!(at_once.certain(&tail("a b"), 0), 2);
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
