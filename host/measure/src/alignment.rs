//! Alignment of reference and hypothesis words.

use super::Errors;

/// A step from a reference to a hypothesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    Match,
    Substitution,
    Deletion,
    Insertion,
}

/// Finds the fewest edits (Levenshtein distance). `chosen` is called with the best last step to
/// each cell of the table of (elements of the reference, elements of the hypothesis), row by row,
/// from (1, 1) on. At equal cost a pair goes before a deletion, and that before an insertion.
pub(super) fn align<T: PartialEq>(
    reference: impl IntoIterator<Item = T>,
    hypothesis: &[T],
    mut chosen: impl FnMut(Move),
) -> Errors {
    // row[j]: the fewest edits from the reference so far to the first j elements of the hypothesis.
    let mut row = vec![Errors::default()];
    for j in 0..hypothesis.len() {
        row.push(row[j].after(Move::Insertion));
    }
    for said in reference {
        let mut diagonal = row[0];
        row[0] = row[0].after(Move::Deletion);
        for (j, heard) in hypothesis.iter().enumerate() {
            let above = row[j + 1];
            let pair = if said == *heard { Move::Match } else { Move::Substitution };
            let mut best = (diagonal.after(pair), pair);
            for (from, step) in [(above, Move::Deletion), (row[j], Move::Insertion)] {
                let other = from.after(step);
                if other.edits() < best.0.edits() {
                    best = (other, step);
                }
            }
            row[j + 1] = best.0;
            chosen(best.1);
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// The words that are right, as pairs of their indices (in the reference, in the hypothesis), in
/// order: those that the alignment with the fewest edits pairs and that are equal. Takes a byte for
/// each pair of words there could be.
pub fn correct_words<T: PartialEq>(reference: &[T], hypothesis: &[T]) -> Vec<(usize, usize)> {
    let mut steps = Vec::with_capacity(reference.len() * hypothesis.len());
    align(reference.iter(), &hypothesis.iter().collect::<Vec<_>>(), |step| steps.push(step));
    let (mut said, mut heard) = (reference.len(), hypothesis.len());
    let mut pairs = Vec::new();
    while said > 0 && heard > 0 {
        match steps[(said - 1) * hypothesis.len() + heard - 1] {
            Move::Deletion => said -= 1,
            Move::Insertion => heard -= 1,
            step => {
                (said, heard) = (said - 1, heard - 1);
                if step == Move::Match {
                    pairs.push((said, heard));
                }
            }
        }
    }
    pairs.reverse();
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn correct(reference: &str, hypothesis: &str) -> Vec<(usize, usize)> {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        correct_words(&words(reference), &words(hypothesis))
    }

    #[test]
    fn right_words_are_paired_around_wrong_ones() {
        assert_eq!(correct("a b c", "a b c"), [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(correct("a b c", "x b c"), [(1, 1), (2, 2)]);
        assert_eq!(correct("a b c", "b c d"), [(1, 0), (2, 1)]);
        assert_eq!(correct("a b", "a x y b"), [(0, 0), (1, 3)]);
        assert_eq!(correct("", "a"), []);
        assert_eq!(correct("a", ""), []);
    }

    proptest! {
        #[test]
        fn pairs_are_in_order_and_account_for_the_errors(one in "[ab ]{0,12}", other in "[ab ]{0,12}") {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let (one, other) = (words(&one), words(&other));
            let errors = Errors::between(&one, &other);
            let pairs = correct_words(&one, &other);
            prop_assert_eq!(pairs.len() as u64, errors.reference - errors.substitutions - errors.deletions);
            prop_assert!(pairs.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
            prop_assert!(pairs.iter().all(|&(said, heard)| one[said] == other[heard]));
            let length = errors.reference - errors.deletions + errors.insertions;
            prop_assert_eq!(length, other.len() as u64);
        }
    }
}
