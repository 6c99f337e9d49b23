//! Words that the decoder was not sure of.
//!
//! A decoder may hallucinate where nobody speaks: unlikely words, and often others when it decodes
//! the place again. So an unlikely word counts only when two hypotheses have it at one place, and
//! an isolated word that is not likely enough is believed only beside a word that is.

use hearken_proto::{SAMPLE_RATE, Word};

use super::Spoken;
use super::alignment::essence;

/// A word that is this likely counts at once.
const LIKELY: f32 = 0.75;
/// Maximum distance at which two hearings count as the same place: 100 ms.
const SLACK: u32 = SAMPLE_RATE / 10;
/// Maximum distance at which a word counts as a neighbor of another: 2 s.
const BESIDE: u32 = 2 * SAMPLE_RATE;

/// Words of the hypothesis before, for comparison.
#[derive(Default)]
pub(super) struct Confidence {
    /// Essence, start and end of each word.
    earlier: Vec<(String, u32, u32)>,
}

impl Confidence {
    /// Marks the sure words: likely, or also in the hypothesis before at their place. These words
    /// are the hypothesis before from now on.
    pub(super) fn judge(&mut self, words: &mut [Spoken]) {
        let mut heard = Vec::with_capacity(words.len());
        for Spoken { word, sure, .. } in words {
            let text = essence(word);
            let (first, last) = (word.start.saturating_sub(SLACK), word.end.saturating_add(SLACK));
            let is_it =
                |(other, start, end): &(String, u32, u32)| first <= *end && *start <= last && *other == text;
            *sure |= word.probability >= LIKELY || self.earlier.iter().any(is_it);
            heard.push((text, word.start, word.end));
        }
        self.earlier = heard;
    }
}

/// Returns true if an isolated word is believed: it is sure, and at least as likely as an isolated
/// word must be.
pub(super) fn stands(spoken: &Spoken, alone: f32) -> bool {
    spoken.sure && spoken.word.probability >= alone
}

/// The logarithm of a word's probability; of an impossible one a small number, so that it does not
/// outweigh all others.
pub(super) fn log(word: &Word) -> f32 {
    word.probability.max(1e-3).ln()
}

/// The geometric mean of the probabilities of words, and of earlier ones of which the sum of
/// logarithms and the number are known. 1 without any.
pub(super) fn likelihood(words: &[Spoken], (sum, count): (f32, u32)) -> f32 {
    let sum = words.iter().map(|spoken| log(&spoken.word)).fold(sum, |sum, log| sum + log);
    let count = count as usize + words.len();
    if count == 0 { 1.0 } else { (sum / count as f32).exp() }
}

/// Marks the words that stand alone, or are beside one that does; the last that did before them
/// ended at `before`.
pub(super) fn believed(words: &[Spoken], before: Option<u32>, alone: f32) -> Vec<bool> {
    let standing = words.iter().filter(|spoken| stands(spoken, alone));
    let places = standing.map(|Spoken { word, .. }| (word.start, word.end));
    let places: Vec<(u32, u32)> = before.map(|end| (end, end)).into_iter().chain(places).collect();
    let is_beside = |Word { start, end, .. }: &Word| {
        places
            .iter()
            .any(|(from, to)| *start <= to.saturating_add(BESIDE) && *from <= end.saturating_add(BESIDE))
    };
    words.iter().map(|spoken| is_beside(&spoken.word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(text: &str, tenths: u32, probability: f32) -> Spoken {
        let start = tenths * SAMPLE_RATE / 10;
        let word = Word { start, end: start + SAMPLE_RATE / 4, text: text.to_owned(), probability };
        Spoken { word, sure: probability >= LIKELY, ..Spoken::default() }
    }

    #[test]
    fn an_unlikely_word_is_sure_when_it_is_said_again_at_its_place() {
        let mut doubt = Confidence::default();
        let mut is_sure = |word| {
            let mut words = [word];
            doubt.judge(&mut words);
            words[0].sure
        };
        assert!(is_sure(spoken("two", 0, 0.9)));
        assert!(!is_sure(spoken("one", 10, 0.5)));
        assert!(is_sure(spoken("One,", 12, 0.5)));
        assert!(!is_sure(spoken("nine", 12, 0.5)), "another word");
        assert!(!is_sure(spoken("nine", 22, 0.5)), "another place");
    }

    #[test]
    fn a_few_likely_words_do_not_make_a_hallucination_likely() {
        let said = |probabilities: &[f32]| -> Vec<Spoken> {
            probabilities.iter().zip(0..).map(|(probability, at)| spoken("a", 3 * at, *probability)).collect()
        };
        assert!(likelihood(&said(&[0.13, 0.0, 0.59, 1.0, 0.5, 0.79, 0.4]), (0.0, 0)) < 0.37);
        assert!(likelihood(&said(&[0.28, 0.9, 0.9]), (0.0, 0)) > 0.37);
        assert!(likelihood(&said(&[0.1]), (0.0, 9)) > 0.37, "behind words that were likely");
        assert_eq!(likelihood(&[], (0.0, 0)), 1.0);
    }

    #[test]
    fn what_is_not_sure_is_believed_beside_what_is() {
        let words = [spoken("a", 0, 0.5), spoken("b", 10, 0.9), spoken("c", 25, 0.5), spoken("d", 60, 0.5)];
        assert_eq!(believed(&words, None, 0.0), [true, true, true, false]);
        assert_eq!(believed(&words, None, 0.95), [false; 4]);
        assert_eq!(believed(&words[2..3], None, 0.0), [false]);
        assert_eq!(believed(&words[3..], Some(45 * SAMPLE_RATE / 10), 1.0), [true]);
    }
}
