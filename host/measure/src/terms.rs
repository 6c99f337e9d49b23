//! Recall of listed words and phrases.

use std::collections::HashMap;

use super::correct_words;
use super::normalize::Normalizer;

/// Occurrences of listed phrases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TermCounts {
    /// In the reference.
    pub said: u64,
    /// Of those, in the hypothesis, at their place.
    pub recognized: u64,
    /// In the hypothesis, where the reference has something else.
    pub wrong: u64,
}

impl TermCounts {
    /// Share of what was said that was recognized; `None` if nothing was said.
    pub fn recall(&self) -> Option<f64> {
        (self.said > 0).then(|| self.recognized as f64 / self.said as f64)
    }
}

impl std::ops::AddAssign for TermCounts {
    fn add_assign(&mut self, other: Self) {
        self.said += other.said;
        self.recognized += other.recognized;
        self.wrong += other.wrong;
    }
}

/// Phrases, as they are compared.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// The words of the phrases, by their first one.
    by_first: HashMap<String, Vec<Vec<String>>>,
}

impl Terms {
    /// Normalizes phrases. Those that are the same then count once.
    pub fn new<'a>(normalizer: Normalizer, phrases: impl IntoIterator<Item = &'a str>) -> Self {
        let mut by_first: HashMap<String, Vec<Vec<String>>> = HashMap::new();
        for phrase in phrases {
            let words: Vec<String> = normalizer.words(&[phrase]).into_iter().map(|word| word.text).collect();
            let Some(first) = words.first() else { continue };
            let same = by_first.entry(first.clone()).or_default();
            if !same.contains(&words) {
                same.push(words);
            }
        }
        Self { by_first }
    }

    /// Counts phrases in a reference and a hypothesis, of words as the normalizer leaves them. One
    /// is recognized if the alignment with the fewest edits pairs its words, and they are in one
    /// piece.
    pub fn count(&self, reference: &[&str], hypothesis: &[&str]) -> TermCounts {
        let (said, heard) = (self.places(reference), self.places(hypothesis));
        if said.is_empty() && heard.is_empty() {
            return TermCounts::default();
        }
        let pairs: HashMap<usize, usize> = correct_words(reference, hypothesis).into_iter().collect();
        let is_recognized = |&(at, len): &(usize, usize)| {
            let first = pairs.get(&at);
            first.is_some_and(|first| (0..len).all(|word| pairs.get(&(at + word)) == Some(&(first + word))))
        };
        let recognized = said.iter().filter(|place| is_recognized(place)).count() as u64;
        TermCounts {
            said: said.len() as u64,
            recognized,
            wrong: (heard.len() as u64).saturating_sub(recognized),
        }
    }

    /// Index and number of words of each phrase in a text.
    fn places(&self, text: &[&str]) -> Vec<(usize, usize)> {
        let at = |start: usize| {
            let phrases = self.by_first.get(text[start]).into_iter().flatten();
            let is_there = move |phrase: &&Vec<String>| {
                text.get(start..start + phrase.len()).is_some_and(|words| words == phrase.as_slice())
            };
            phrases.filter(is_there).map(move |phrase| (start, phrase.len()))
        };
        (0..text.len()).flat_map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(phrases: &[&str], reference: &str, hypothesis: &str) -> (u64, u64, u64) {
        let terms = Terms::new(Normalizer::English, phrases.iter().copied());
        let words = |text: &'static str| text.split_whitespace().collect::<Vec<_>>();
        let leaked = |text: &str| words(text.to_owned().leak());
        let counts = terms.count(&leaked(reference), &leaked(hypothesis));
        (counts.said, counts.recognized, counts.wrong)
    }

    #[test]
    fn phrases_are_recognized_at_their_place() {
        let phrases = ["Hester", "New York", "hester,"];
        assert_eq!(count(&phrases, "hester saw new york", "hester saw new york"), (2, 2, 0));
        assert_eq!(count(&phrases, "hester saw new york", "esther saw new work"), (2, 0, 0));
        assert_eq!(count(&phrases, "a hester b c", "a b c hester"), (1, 0, 1), "elsewhere");
        assert_eq!(count(&phrases, "new york", "new old york"), (1, 0, 0), "not in one piece");
        assert_eq!(count(&phrases, "one two", "hester two new york"), (0, 0, 2));
        assert_eq!(count(&[], "one", "one"), (0, 0, 0));
        assert_eq!(count(&["new", "new york"], "new york", "new york"), (2, 2, 0));
    }

    #[test]
    fn recall_is_of_what_was_said() {
        let mut all = TermCounts { said: 3, recognized: 2, wrong: 1 };
        all += TermCounts { said: 1, recognized: 1, wrong: 0 };
        assert_eq!((all.recall(), all.wrong), (Some(0.75), 1));
        assert_eq!(TermCounts::default().recall(), None);
    }
}
