//! Selection of the next token: Whisper's rules, as whisper.cpp's `whisper_process_logits` has
//! them.

use crate::backend::log_sum_exp;

/// Milliseconds of a timestamp token's step.
pub(crate) const TIME_STEP_MS: u32 = 20;

/// The tokens that have a meaning of their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocabulary {
    /// End of text. Text tokens are those before it.
    pub(crate) eot: i32,
    /// The timestamp of 0 s. Those after it follow in steps of 20 ms, up to the end of the
    /// vocabulary.
    pub(crate) beg: i32,
    /// A space alone.
    pub(crate) blank: Option<i32>,
    /// Tokens that are always suppressed: those that begin, name languages or tasks.
    pub(crate) never: Vec<i32>,
    /// Further tokens suppressed in this window.
    pub(crate) suppressed: Vec<i32>,
    /// Text tokens that continue a word.
    pub(crate) continues: Vec<bool>,
    /// The latest timestamp that may come first, in steps.
    pub(crate) latest_first: i32,
    /// True if timestamps are decoded.
    pub(crate) timed: bool,
}

/// The selected token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Picked {
    pub(crate) token: i32,
    /// Natural logarithm of its probability among the allowed tokens.
    pub(crate) logprob: f32,
}

/// Source of randomness: a generator of uniform numbers (xorshift64*, Vigna 2016), with the same
/// sequence each time.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// From 0 to 1, without 1.
    fn draw(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u64 << 24) as f32
    }
}

impl Vocabulary {
    pub(crate) fn is_text(&self, token: i32) -> bool {
        token < self.eot
    }

    /// Steps of 20 ms of a timestamp.
    pub(crate) fn steps(&self, token: i32) -> Option<u32> {
        u32::try_from(token - self.beg).ok()
    }

    /// The latest timestamp that is not 0: decoding goes on there if no text follows.
    pub(crate) fn reached(&self, said: &[i32]) -> Option<u32> {
        said.iter().rev().find(|token| **token > self.beg).and_then(|token| self.steps(*token))
    }

    /// Forbids tokens that continue a word: the last one is complete.
    pub(crate) fn forbid_continuing(&self, logits: &mut [f32]) {
        for (logit, continues) in logits.iter_mut().zip(&self.continues) {
            if *continues {
                *logit = f32::NEG_INFINITY;
            }
        }
    }

    /// The most likely token after `said`; `logits` (one for each token) are spoiled.
    pub(crate) fn best(&self, logits: &mut [f32], said: &[i32]) -> Option<Picked> {
        let (range, total) = self.allowed(logits, said)?;
        let pairs = logits.iter().enumerate().skip(range.start).take(range.len());
        // The first of equals, as whisper.cpp takes.
        let (token, logit) =
            pairs.fold(
                (0, f32::NEG_INFINITY),
                |best, (token, logit)| {
                    if *logit > best.1 { (token, *logit) } else { best }
                },
            );
        Some(Picked { token: i32::try_from(token).ok()?, logprob: logit - total })
    }

    /// Draws a token after `said` by its probability at a temperature above 0.
    pub(crate) fn drawn(
        &self,
        logits: &mut [f32],
        said: &[i32],
        temperature: f32,
        chance: &mut Chance,
    ) -> Option<Picked> {
        logits.iter_mut().for_each(|logit| *logit /= temperature);
        let (range, total) = self.allowed(logits, said)?;
        let weight = |logit: &f32| (logit - total).exp();
        let mass: f32 = logits[range.clone()].iter().map(weight).sum();
        let mut left = chance.draw() * mass;
        let mut picked = None;
        for token in range {
            if logits[token] > f32::NEG_INFINITY {
                picked = Some(token);
                left -= weight(&logits[token]);
                if left <= 0.0 {
                    break;
                }
            }
        }
        let token = picked?;
        Some(Picked { token: i32::try_from(token).ok()?, logprob: logits[token] - total })
    }

    /// Forbids tokens that may not follow; returns the range of tokens to choose from, and the
    /// logarithm of the sum of their powers.
    fn allowed(&self, logits: &mut [f32], said: &[i32]) -> Option<(std::ops::Range<usize>, f32)> {
        let all = logits.len();
        let (eot, beg) = (usize::try_from(self.eot).ok()?, usize::try_from(self.beg).ok()?.min(all));
        let mut forbid = |range: std::ops::Range<usize>| {
            logits[range.start.min(all)..range.end.min(all)].fill(f32::NEG_INFINITY);
        };
        let one = |token: i32| token.max(0) as usize..token.max(0) as usize + 1;
        self.never.iter().chain(&self.suppressed).for_each(|token| forbid(one(*token)));
        if !self.timed {
            forbid(beg..all);
        }
        let is_time = |token: &i32| *token >= self.beg;
        match said {
            [] => {
                // Not nothing at all, nor a space.
                forbid(one(self.eot));
                self.blank.into_iter().for_each(|blank| forbid(one(blank)));
                forbid(beg + self.latest_first.max(0) as usize + 1..all);
            }
            // Timestamps come in pairs, but before the end: two are followed by text, one by
            // another.
            [.., last] if is_time(last) => {
                if said.len() < 2 || is_time(&said[said.len() - 2]) {
                    forbid(beg..all);
                } else {
                    forbid(0..eot);
                }
            }
            _ => {}
        }
        if let Some(reached) = self.reached(said) {
            // Time does not go back.
            forbid(beg..beg + reached as usize);
        }
        let total = log_sum_exp(logits);
        let times = log_sum_exp(&logits[beg..]);
        let most = logits[..beg].iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // All timestamps together are likelier than any text: the next token is a timestamp.
        let from = if times > most { beg } else { 0 };
        (total > f32::NEG_INFINITY).then_some((from..all, total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EOT: i32 = 10;
    const BEG: i32 = 13;

    /// Text 0–9, of which 4 is a space; eot 10; two that are always suppressed; timestamps of 0 to
    /// 200 ms.
    fn vocabulary() -> Vocabulary {
        Vocabulary {
            eot: EOT,
            beg: BEG,
            blank: Some(4),
            never: vec![11, 12],
            continues: vec![false, false, true],
            latest_first: 2,
            timed: true,
            ..Vocabulary::default()
        }
    }

    fn logits(likely: &[(i32, f32)]) -> Vec<f32> {
        let mut logits = vec![-5.0; 24];
        likely.iter().for_each(|(token, logit)| logits[*token as usize] = *logit);
        logits
    }

    fn best(vocabulary: &Vocabulary, likely: &[(i32, f32)], said: &[i32]) -> i32 {
        vocabulary.best(&mut logits(likely), said).expect("a token").token
    }

    #[test]
    fn what_begins_is_neither_the_end_nor_a_space_nor_a_late_timestamp() {
        let vocabulary = vocabulary();
        let likely = [(EOT, 9.0), (4, 8.0), (BEG + 3, 7.0), (11, 6.0), (BEG + 2, 5.0), (1, 1.0)];
        assert_eq!(best(&vocabulary, &likely, &[]), BEG + 2);
        assert_eq!(best(&Vocabulary { timed: false, ..vocabulary }, &likely, &[]), 1);
    }

    #[test]
    fn timestamps_come_in_pairs_and_do_not_run_back() {
        let vocabulary = vocabulary();
        let likely = [(BEG + 3, 9.0), (BEG + 6, 8.0), (1, 5.0), (EOT, 6.0)];
        assert_eq!(best(&vocabulary, &likely, &[BEG]), EOT, "after one at the start");
        assert_eq!(best(&vocabulary, &likely, &[BEG, 1]), BEG + 3);
        assert_eq!(best(&vocabulary, &likely, &[BEG, 1, BEG + 5]), BEG + 6, "not before it");
        assert_eq!(best(&vocabulary, &[(1, 9.0), (EOT, 1.0)], &[BEG, 1, BEG + 5]), EOT, "no text after one");
        assert_eq!(best(&vocabulary, &likely, &[BEG, 1, BEG + 5, BEG + 5]), EOT);
        assert_eq!(vocabulary.reached(&[BEG, 1, BEG + 5, BEG + 6, 2]), Some(6));
        assert_eq!(vocabulary.reached(&[BEG, 1]), None);
    }

    #[test]
    fn many_unlikely_timestamps_outweigh_one_text() {
        let vocabulary = vocabulary();
        let mut even: Vec<(i32, f32)> = (0..11).map(|step| (BEG + step, 0.0)).collect();
        even.push((1, 1.0));
        assert_eq!(best(&vocabulary, &even, &[BEG, 2]), BEG);
        even.push((1, 4.0));
        assert_eq!(best(&vocabulary, &even, &[BEG, 2]), 1);
    }

    #[test]
    fn probabilities_are_among_what_is_allowed() {
        let vocabulary = vocabulary();
        let mut only = vec![f32::NEG_INFINITY; 24];
        (only[1], only[2], only[11]) = (0.0, 0.0, 30.0);
        let picked = vocabulary.best(&mut only.clone(), &[BEG, 3]).expect("a token");
        assert!((picked.logprob - 0.5f32.ln()).abs() < 1e-5, "{picked:?}");
        vocabulary.forbid_continuing(&mut only);
        assert_eq!(only[..3], [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY]);
        only[2] = 0.0;
        let nothing = &mut [f32::NEG_INFINITY; 24];
        assert_eq!(vocabulary.best(nothing, &[BEG, 3]), None);
        let mut chance = Chance::new(7);
        let mut ones = 0;
        for _ in 0..1000 {
            let drawn = vocabulary.drawn(&mut only.clone(), &[BEG, 3], 0.6, &mut chance).expect("a token");
            ones += usize::from(drawn.token == 1);
            assert!(drawn.token == 1 || drawn.token == 2);
        }
        assert!((400..600).contains(&ones), "{ones}");
    }
}
