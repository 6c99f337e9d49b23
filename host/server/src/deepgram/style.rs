//! Spelling of words in answers: with punctuation or without it, and with replacements.

use hearken::Word;
use hearken::text::sanitize_trimmed;

use crate::rejection::{Rejection, quote};

/// Most replacements, and the longest text of them.
const MOST: usize = 200;
const MOST_TEXT: usize = 8 << 10;

/// Spelling of words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// True for capitals and punctuation.
    pub(super) punctuate: bool,
    replacements: Vec<Replacement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Replacement {
    /// Words in small letters, without punctuation.
    find: Vec<String>,
    replace: String,
}

impl Style {
    #[cfg(test)]
    pub(super) fn with_punctuation(punctuate: bool) -> Self {
        Self { punctuate, ..Self::default() }
    }

    /// Adds a replacement, as the query has it: `find:replace`. Without the second part, matches
    /// are left out.
    pub(super) fn replace(&mut self, value: &str) -> Result<(), Rejection> {
        let (find, replace) = value.split_once(':').unwrap_or((value, ""));
        let find: Vec<String> = find.split_whitespace().map(plain).filter(|word| !word.is_empty()).collect();
        if find.is_empty() {
            return Err(Rejection::invalid(
                "replace",
                format!("{} does not say what to replace", quote(value)),
            ));
        }
        self.replacements.push(Replacement { find, replace: sanitize_trimmed(replace) });
        let text: usize = self.replacements.iter().map(Replacement::len).sum();
        if self.replacements.len() > MOST || text > MOST_TEXT {
            return Err(Rejection::invalid(
                "replace",
                format!("there are more than {MOST} replacements, or {MOST_TEXT} bytes of them; send fewer"),
            ));
        }
        Ok(())
    }

    /// The words as they are to be written.
    pub(super) fn replaced(&self, words: &[Word]) -> Vec<Word> {
        if self.replacements.is_empty() {
            return words.to_vec();
        }
        let spoken: Vec<String> = words.iter().map(|word| plain(&word.text)).collect();
        let (mut written, mut at) = (Vec::with_capacity(words.len()), 0);
        while at < words.len() {
            let found = self.replacements.iter().find(|one| spoken[at..].starts_with(&one.find));
            let Some(found) = found else {
                written.push(words[at].clone());
                at += 1;
                continue;
            };
            let place = &words[at..at + found.find.len()];
            if let ([first, ..], [.., last], false) = (place, place, found.replace.is_empty()) {
                let probability = place.iter().map(|word| word.probability).sum::<f32>() / place.len() as f32;
                // What is behind the last word stays behind it: a comma, the end of a sentence.
                let end = last.text.trim_end_matches(|c: char| !c.is_alphanumeric()).len();
                let text = format!("{}{}", found.replace, &last.text[end..]);
                written.push(Word { start: first.start, end: last.end, text, probability });
            }
            at += place.len();
        }
        written
    }
}

impl Replacement {
    fn len(&self) -> usize {
        self.find.iter().map(String::len).sum::<usize>() + self.replace.len()
    }
}

/// A word in small letters, without the punctuation around it.
pub(super) fn plain(text: &str) -> String {
    text.trim().trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_in_the_place_of_others() {
        let mut style = Style::default();
        for rule in ["Monica:Erika", "new york city:NYC", "um:", "uh"] {
            style.replace(rule).unwrap();
        }
        let said = ["Um,", "Monica", "and", "monica,", "uh", "saw", "New", "York", "City.", "New", "York"];
        let words: Vec<Word> = said
            .iter()
            .zip(0..)
            .map(|(text, at)| Word { start: at, end: at + 1, text: (*text).to_owned(), probability: 0.5 })
            .collect();
        let written = style.replaced(&words);
        let texts: Vec<&str> = written.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["Erika", "and", "Erika,", "saw", "NYC.", "New", "York"]);
        assert_eq!((written[4].start, written[4].end, written[4].probability), (6, 9, 0.5));
        assert!(style.replace(":x").is_err() && style.replace(" , :x").is_err());
        assert!((0..MOST).any(|_| style.replace("a:b").is_err()), "there is a limit");
    }
}
