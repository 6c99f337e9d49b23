//! Alignment of a hypothesis with the words of the one before.

use hearken_proto::Word;

use super::Spoken;

/// Part of a word that counts when hypotheses are compared: without case and surrounding
/// punctuation.
pub(super) fn essence(word: &Word) -> String {
    let core = word.text.trim_matches(|c: char| !c.is_alphanumeric());
    // A word that is only punctuation is compared as it is.
    if core.is_empty() { word.text.clone() } else { core.to_lowercase() }
}

fn same(one: &Word, other: &Word) -> bool {
    essence(one) == essence(other)
}

/// Index in `words` at which the words behind `anchored` begin.
///
/// A new hypothesis repeats the committed words of the window, perhaps in another form; they were
/// delivered already, so they are skipped. The best place is where the fewest edits turn the
/// anchored words into the words before it; among equals, the one nearest in time to the end of the
/// anchored words.
pub(super) fn continuation(anchored: &[Spoken], words: &[Spoken]) -> usize {
    let (Some(first), Some(last)) = (anchored.first(), anchored.last()) else { return 0 };
    let (first, last) = (&first.word, &last.word);
    // Levenshtein distance of all anchored words to each prefix of the new ones.
    let mut row: Vec<usize> = (0..=words.len()).collect();
    for anchor in anchored {
        let mut diagonal = row[0];
        row[0] += 1;
        for (index, word) in words.iter().enumerate() {
            let above = row[index + 1];
            row[index + 1] =
                (diagonal + usize::from(!same(&anchor.word, &word.word))).min(above + 1).min(row[index] + 1);
            diagonal = above;
        }
    }
    let distance = |prefix: usize| {
        let end = prefix.checked_sub(1).map_or(first.start, |index| words[index].word.end);
        (row[prefix], end.abs_diff(last.end))
    };
    (0..=words.len()).min_by_key(|&prefix| distance(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of 10 samples each, from `first` on.
    fn words(text: &str, first: u32) -> Vec<Spoken> {
        let place = |(text, index): (&str, u32)| {
            let (start, end) = (first + index * 10, first + index * 10 + 10);
            let word = Word { start, end, text: text.to_owned(), probability: 1.0 };
            Spoken { word, ..Spoken::default() }
        };
        text.split_whitespace().zip(0u32..).map(place).collect()
    }

    #[test]
    fn committed_words_are_skipped_in_whatever_form() {
        for (anchored, hypothesis, rest) in [
            ("", "a b", "a b"),
            ("a b", "a b c d", "c d"),
            ("a b", "A, b. c d", "c d"),
            ("a b", "a x c d", "c d"), // one word became another
            ("a b c", "a c d", "d"),   // one is missing
            ("a b c", "", ""),
        ] {
            let (anchored, hypothesis) = (words(anchored, 0), words(hypothesis, 0));
            let at = continuation(&anchored, &hypothesis);
            let tail: Vec<&str> = hypothesis[at..].iter().map(|spoken| spoken.word.text.as_str()).collect();
            assert_eq!(tail.join(" "), rest, "{anchored:?} {hypothesis:?}");
        }
    }

    #[test]
    fn a_word_that_is_not_heard_again_costs_none_of_those_behind() {
        // Late in a long utterance, where only the last committed word is left in the window.
        let anchored = words("a", 1_000);
        assert_eq!(continuation(&anchored, &words("b c", 1_012)), 0);
        assert_eq!(continuation(&anchored, &words("x b", 1_000)), 1);
    }

    #[test]
    fn spoken_repetitions_are_kept() {
        assert_eq!(continuation(&words("zero zero", 0), &words("zero zero zero zero", 0)), 2);
    }
}
