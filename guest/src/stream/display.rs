//! Tentative words that are shown, and how they are written.
//!
//! The last word of a hypothesis is often a guess at half a word, and changes with the next one: a
//! fifth of all words flickered when everything was shown. So a word is shown once two hypotheses
//! in a row have it, or when another one follows it and it is likely. Half of the rest were
//! capitals and punctuation, which depend on the words behind: a word that was shown keeps its own
//! (docs/streaming.md has the figures).

use hearken_proto::Word;

use super::Spoken;
use super::alignment::essence;

/// Minimum probability of all tokens of a word that is shown at once, if another word was
/// recognized behind it.
const LIKELY: f32 = 0.8;
/// Minimum probability for the first words of an utterance, which nothing precedes: an early sign
/// of recognition matters more.
const LIKELY_FIRST: f32 = 0.4;

/// The tentative words of the hypothesis before.
#[derive(Debug, Default)]
pub(super) struct Display {
    /// All words of the hypothesis.
    heard: Vec<Word>,
    /// Shown words, in the spelling in which they were shown.
    shown: Vec<Word>,
}

impl Display {
    /// Returns how many of the first `tentative` words are steady enough to be shown. `has_begun`:
    /// words of the utterance are committed.
    pub(super) fn steady(&self, tentative: &[Spoken], has_begun: bool) -> usize {
        let is_first = !has_begun && self.shown.is_empty();
        let likely = if is_first { LIKELY_FIRST } else { LIKELY };
        let is_steady = |(at, spoken): &(usize, &Spoken)| {
            let before = self.heard.get(*at);
            if at + 1 == tentative.len() {
                before.is_some_and(|before| before.text == spoken.word.text)
            } else {
                spoken.least >= likely
                    || before.is_some_and(|before| essence(before) == essence(&spoken.word))
            }
        };
        tentative.iter().enumerate().take_while(is_steady).count()
    }

    /// Gives `words`, which are shown now, the spelling in which they were shown before.
    /// `tentative` are all words of the hypothesis.
    pub(super) fn show(&mut self, words: &mut [Word], tentative: &[Spoken]) {
        for (word, before) in words.iter_mut().zip(&self.shown) {
            keep(word, before);
        }
        self.shown = words.to_vec();
        self.heard = tentative.iter().map(|spoken| spoken.word.clone()).collect();
    }

    /// Lets the last of the first `words` take its latest spelling.
    pub(super) fn release_last(&mut self, words: usize) {
        self.shown.truncate(words.saturating_sub(1));
    }

    /// The first words are committed: they are written as they were shown.
    pub(super) fn committed(&mut self, words: &mut [Word]) {
        for (word, before) in words.iter_mut().zip(&self.shown) {
            keep(word, before);
        }
        self.shown.drain(..words.len().min(self.shown.len()));
        self.heard.drain(..words.len().min(self.heard.len()));
    }
}

/// Writes a word as before, if it is the same.
fn keep(word: &mut Word, before: &Word) {
    if essence(word) == essence(before) {
        word.text.clone_from(&before.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str, least: f32) -> Vec<Spoken> {
        let spoken = |text: &str| Spoken {
            word: Word { text: text.to_owned(), ..Word::default() },
            least,
            ..Spoken::default()
        };
        text.split_whitespace().map(spoken).collect()
    }

    /// Shows the steady part of a hypothesis of which nothing is committed.
    fn shown(display: &mut Display, text: &str, least: f32) -> String {
        let tentative = heard(text, least);
        let count = display.steady(&tentative, true);
        let mut words: Vec<Word> = tentative[..count].iter().map(|spoken| spoken.word.clone()).collect();
        display.show(&mut words, &tentative);
        words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_guess_at_half_a_word_is_not_shown() {
        let mut display = Display::default();
        assert_eq!(shown(&mut display, "pop", 0.9), "");
        assert_eq!(shown(&mut display, "popular", 0.9), "");
        assert_eq!(shown(&mut display, "popular con", 0.9), "popular");
        assert_eq!(shown(&mut display, "popular controller", 0.5), "popular");
        assert_eq!(shown(&mut display, "popular contrivance", 0.5), "popular");
        assert_eq!(shown(&mut display, "popular contrivance", 0.5), "popular contrivance");
    }

    #[test]
    fn the_first_words_are_shown_sooner() {
        let display = Display::default();
        assert_eq!(display.steady(&heard("and so", 0.5), false), 1);
        assert_eq!(display.steady(&heard("and so", 0.5), true), 0);
    }

    #[test]
    fn a_word_that_was_shown_keeps_its_capitals_and_punctuation_but_for_the_last() {
        let mut display = Display::default();
        shown(&mut display, "Easy for the government", 0.9);
        assert_eq!(shown(&mut display, "easy, for the government", 0.9), "Easy for the government");
        let mut words: Vec<Word> =
            heard("easy, for the government.", 0.9).into_iter().map(|spoken| spoken.word).collect();
        display.release_last(words.len());
        display.committed(&mut words);
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["Easy", "for", "the", "government."]);
    }
}
