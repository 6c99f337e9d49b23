//! Significance of the difference of two error rates.

use hearken::testing::SplitMix64;

use super::Errors;

/// The difference of two error rates on the same recordings, in percent points, and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// Rate of the second less rate of the first.
    pub points: f64,
    /// Interval that contains the difference in 95 of 100 samples of the recordings.
    pub interval: (f64, f64),
}

impl Difference {
    /// Compares two systems by the paired bootstrap over recordings (Bisani and Ney, "Bootstrap
    /// estimates for confidence intervals in ASR performance evaluation", ICASSP 2004). `samples`
    /// is the number of draws, each as many recordings as there are, with replacement; the same
    /// numbers give the same answer. `None` without a word in the references.
    pub fn between(pairs: &[(Errors, Errors)], samples: usize) -> Option<Self> {
        let points = |indices: &mut dyn Iterator<Item = usize>| {
            let (mut words, mut edits) = (0u64, 0i64);
            for index in indices {
                let (first, second) = &pairs[index];
                words += first.reference;
                edits += second.edits() as i64 - first.edits() as i64;
            }
            (words > 0).then(|| 100.0 * edits as f64 / words as f64)
        };
        let whole = points(&mut (0..pairs.len()))?;
        let mut random = SplitMix64::new(0);
        let mut draw = || (random.next_u64() % pairs.len() as u64) as usize;
        let mut all: Vec<f64> = (0..samples)
            .filter_map(|_| points(&mut std::iter::repeat_with(&mut draw).take(pairs.len())))
            .collect();
        all.sort_by(f64::total_cmp);
        let quantile = |share: f64| all[((all.len() - 1) as f64 * share).round() as usize];
        let interval = if all.is_empty() { (whole, whole) } else { (quantile(0.025), quantile(0.975)) };
        Some(Self { points: whole, interval })
    }

    /// Returns true if the interval contains zero: chance alone may have made the difference.
    pub fn may_be_chance(&self) -> bool {
        self.interval.0 <= 0.0 && 0.0 <= self.interval.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(words: u64, edits: u64) -> Errors {
        Errors { reference: words, substitutions: edits, ..Errors::default() }
    }

    #[test]
    fn equal_systems_do_not_differ() {
        let pairs: Vec<_> = (0..50).map(|n| (errors(10, n % 3), errors(10, n % 3))).collect();
        let difference = Difference::between(&pairs, 1000).unwrap();
        assert_eq!((difference.points, difference.interval), (0.0, (0.0, 0.0)));
        assert!(difference.may_be_chance());
    }

    #[test]
    fn a_system_that_is_always_worse_is_found_out() {
        // One word in ten more, in each recording or in every second one.
        let always: Vec<_> = (0..50).map(|_| (errors(10, 1), errors(10, 2))).collect();
        let difference = Difference::between(&always, 1000).unwrap();
        assert_eq!(difference.interval, (10.0, 10.0));
        assert!(!difference.may_be_chance());
        let often: Vec<_> = (0..100).map(|n| (errors(10, 1), errors(10, 1 + n % 2))).collect();
        let difference = Difference::between(&often, 2000).unwrap();
        assert!((difference.points - 5.0).abs() < 1e-9);
        // The share of 100 coins: a deviation of 0.05, of which each counts 10 points.
        let (low, high) = difference.interval;
        assert!((3.5..4.5).contains(&low) && (5.5..6.5).contains(&high), "{low} to {high}");
    }

    #[test]
    fn as_many_losses_as_gains_may_be_chance() {
        let pairs: Vec<_> = (0..100).map(|n| (errors(10, n % 2), errors(10, 1 - n % 2))).collect();
        assert!(Difference::between(&pairs, 1000).unwrap().may_be_chance());
    }

    #[test]
    fn nothing_said_is_nothing_to_compare() {
        assert_eq!(Difference::between(&[], 100), None);
        assert_eq!(Difference::between(&[(errors(0, 1), errors(0, 2))], 100), None);
    }
}
