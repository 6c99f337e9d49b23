//! Word and character error rates.

use super::alignment::{Move, align};

/// Edits that turn a reference into a hypothesis, as few as possible (Levenshtein distance), over
/// words or characters. Normalize both sides [first](super::normalize).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Errors {
    /// Words, or characters, of the reference.
    pub reference: u64,
    /// Words that became others.
    pub substitutions: u64,
    /// Words that are missing.
    pub deletions: u64,
    /// Words that are not in the reference.
    pub insertions: u64,
}

impl Errors {
    /// Compares element by element. Memory grows with the length of the hypothesis only.
    pub fn between<T: PartialEq>(
        reference: impl IntoIterator<Item = T>,
        hypothesis: impl IntoIterator<Item = T>,
    ) -> Self {
        let hypothesis: Vec<T> = hypothesis.into_iter().collect();
        align(reference, &hypothesis, |_| {})
    }

    /// Compares the characters (Unicode scalar values) of two texts, spaces between words included.
    pub fn of_characters(reference: &str, hypothesis: &str) -> Self {
        Self::between(reference.chars(), hypothesis.chars())
    }

    /// Number of all edits.
    pub fn edits(&self) -> u64 {
        self.substitutions + self.deletions + self.insertions
    }

    /// Error rate: edits for each element of the reference, so it may pass 1; `None` for an empty
    /// reference.
    pub fn rate(&self) -> Option<f64> {
        (self.reference > 0).then(|| self.edits() as f64 / self.reference as f64)
    }

    pub(super) fn after(self, step: Move) -> Self {
        let Self { mut reference, mut substitutions, mut deletions, mut insertions } = self;
        match step {
            Move::Match => reference += 1,
            Move::Substitution => (reference, substitutions) = (reference + 1, substitutions + 1),
            Move::Deletion => (reference, deletions) = (reference + 1, deletions + 1),
            Move::Insertion => insertions += 1,
        }
        Self { reference, substitutions, deletions, insertions }
    }
}

impl std::ops::AddAssign for Errors {
    /// Adds the counts of another utterance: rates over many are micro-averaged.
    fn add_assign(&mut self, other: Self) {
        self.reference += other.reference;
        self.substitutions += other.substitutions;
        self.deletions += other.deletions;
        self.insertions += other.insertions;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(reference: &str, hypothesis: &str) -> (u64, u64, u64, u64) {
        let errors = Errors::between(reference.split_whitespace(), hypothesis.split_whitespace());
        (errors.reference, errors.substitutions, errors.deletions, errors.insertions)
    }

    #[test]
    fn edits_are_counted_by_kind() {
        assert_eq!(errors("a b c", "a b c"), (3, 0, 0, 0));
        assert_eq!(errors("a b c", "a x c"), (3, 1, 0, 0));
        assert_eq!(errors("a b c", "a c"), (3, 0, 1, 0));
        assert_eq!(errors("a c", "a b c"), (2, 0, 0, 1));
        assert_eq!(errors("", "a b"), (0, 0, 0, 2));
        assert_eq!(errors("a b", ""), (2, 0, 2, 0));
        assert_eq!(errors("one two three", "two three four"), (3, 0, 1, 1));
    }

    #[test]
    fn characters_count_with_their_spaces() {
        let errors = Errors::of_characters("go left", "goleft");
        assert_eq!((errors.reference, errors.deletions, errors.edits()), (7, 1, 1));
    }

    #[test]
    fn an_empty_reference_has_no_rate() {
        assert_eq!(Errors::between([], ["a"]).rate(), None);
        assert_eq!(Errors::between(["a"], ["b", "c"]).rate(), Some(2.0));
    }
}
