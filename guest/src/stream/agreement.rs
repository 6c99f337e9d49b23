//! Where hypotheses agree.

use hearken_proto::Word;

/// What of a word counts when hypotheses are compared: not its case, nor the punctuation around it.
fn essence(word: &Word) -> String {
    let core = word.text.trim_matches(|c: char| !c.is_alphanumeric());
    // A word that is only punctuation is compared as it is.
    if core.is_empty() { word.text.clone() } else { core.to_lowercase() }
}

fn same(one: &Word, other: &Word) -> bool {
    essence(one) == essence(other)
}

/// How many words two hypotheses of the same stretch have in common from the start.
pub(super) fn agreed(one: &[Word], other: &[Word]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| same(one, other)).count()
}

/// Where in `words` what follows `anchored` begins.
///
/// A new hypothesis says the committed words of the window again, perhaps not in the same way; they were said
/// already, so they are skipped. The best place is where the fewest edits turn the anchored words into the words
/// before it; among equals, the one nearest in time to where the anchored words end.
pub(super) fn continuation(anchored: &[Word], words: &[Word]) -> usize {
    let (Some(first), Some(last)) = (anchored.first(), anchored.last()) else { return 0 };
    // Levenshtein distance of all anchored words to each prefix of the new ones.
    let mut row: Vec<usize> = (0..=words.len()).collect();
    for anchor in anchored {
        let mut diagonal = row[0];
        row[0] += 1;
        for (index, word) in words.iter().enumerate() {
            let above = row[index + 1];
            row[index + 1] = (diagonal + usize::from(!same(anchor, word))).min(above + 1).min(row[index] + 1);
            diagonal = above;
        }
    }
    let distance = |prefix: usize| {
        let end = prefix.checked_sub(1).map_or(first.start, |index| words[index].end);
        (row[prefix], end.abs_diff(last.end))
    };
    (0..=words.len()).min_by_key(|&prefix| distance(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word> {
        text.split_whitespace()
            .zip(0u32..)
            .map(|(text, index)| Word {
                start: index * 10,
                end: index * 10 + 10,
                text: text.to_owned(),
                probability: 1.0,
            })
            .collect()
    }

    #[test]
    fn case_and_punctuation_do_not_disagree() {
        assert_eq!(agreed(&words("Hello, world"), &words("hello World. again")), 2);
        assert_eq!(agreed(&words("one two three"), &words("one too three")), 1);
        assert_eq!(agreed(&[], &words("one")), 0);
    }

    #[test]
    fn what_was_said_already_is_skipped_however_it_is_said_again() {
        for (anchored, hypothesis, rest) in [
            ("", "a b", "a b"),
            ("a b", "a b c d", "c d"),
            ("a b", "a x c d", "c d"), // one word became another
            ("a b c", "a c d", "d"),   // one is missing
            ("a b c", "", ""),
        ] {
            let (anchored, hypothesis) = (words(anchored), words(hypothesis));
            let at = continuation(&anchored, &hypothesis);
            let tail: Vec<&str> = hypothesis[at..].iter().map(|word| word.text.as_str()).collect();
            assert_eq!(tail.join(" "), rest, "{anchored:?} {hypothesis:?}");
        }
    }

    #[test]
    fn a_word_that_is_not_heard_again_costs_none_of_those_behind() {
        // Late in a long utterance, where only the last committed word is left in the window.
        let later = |words: Vec<Word>, by: u32| -> Vec<Word> {
            words
                .into_iter()
                .map(|word| Word { start: word.start + by, end: word.end + by, ..word })
                .collect()
        };
        let anchored = later(words("a"), 1_000);
        assert_eq!(continuation(&anchored, &later(words("b c"), 1_012)), 0);
        assert_eq!(continuation(&anchored, &later(words("x b"), 1_000)), 1);
    }

    #[test]
    fn spoken_repetitions_are_kept() {
        let (anchored, hypothesis) = (words("zero zero"), words("zero zero zero zero"));
        assert_eq!(continuation(&anchored, &hypothesis), 2);
    }
}
