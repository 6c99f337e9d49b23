//! How far a transcript is from what was said.

/// Edits that turn a reference into a hypothesis, as few as possible (Levenshtein distance over words).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WordErrors {
    /// Words of the reference.
    pub words: u64,
    /// Words that became others.
    pub substitutions: u64,
    /// Words that are missing.
    pub deletions: u64,
    /// Words that nobody said.
    pub insertions: u64,
}

impl WordErrors {
    /// Compares word by word, exactly: normalise both sides first.
    pub fn between<'a>(
        reference: impl IntoIterator<Item = &'a str>,
        hypothesis: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let hypothesis: Vec<&str> = hypothesis.into_iter().collect();
        // row[j]: the fewest edits from the reference so far to the first j words of the hypothesis.
        let mut row: Vec<Self> =
            (0..=hypothesis.len() as u64).map(|insertions| Self { insertions, ..Self::default() }).collect();
        for word in reference {
            let mut diagonal = row[0];
            row[0].deletions += 1;
            row[0].words += 1;
            for (j, heard) in hypothesis.iter().enumerate() {
                let above = row[j + 1];
                let matched = u64::from(word != *heard);
                let candidates = [
                    Self {
                        substitutions: diagonal.substitutions + matched,
                        words: diagonal.words + 1,
                        ..diagonal
                    },
                    Self { deletions: above.deletions + 1, words: above.words + 1, ..above },
                    Self { insertions: row[j].insertions + 1, ..row[j] },
                ];
                row[j + 1] = candidates.into_iter().min_by_key(Self::edits).unwrap_or_default();
                diagonal = above;
            }
        }
        row.last().copied().unwrap_or_default()
    }

    /// All edits.
    pub fn edits(&self) -> u64 {
        self.substitutions + self.deletions + self.insertions
    }

    /// Word error rate: edits for each word of the reference, so it may pass 1; `None` for an empty reference.
    pub fn rate(&self) -> Option<f64> {
        (self.words > 0).then(|| self.edits() as f64 / self.words as f64)
    }
}

impl std::ops::AddAssign for WordErrors {
    /// Adds the counts of another utterance: rates over many are micro-averaged.
    fn add_assign(&mut self, other: Self) {
        self.words += other.words;
        self.substitutions += other.substitutions;
        self.deletions += other.deletions;
        self.insertions += other.insertions;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(reference: &str, hypothesis: &str) -> (u64, u64, u64, u64) {
        let errors = WordErrors::between(reference.split_whitespace(), hypothesis.split_whitespace());
        (errors.words, errors.substitutions, errors.deletions, errors.insertions)
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
    fn an_empty_reference_has_no_rate() {
        assert_eq!(WordErrors::between([], ["a"]).rate(), None);
        assert_eq!(WordErrors::between(["a"], ["b", "c"]).rate(), Some(2.0));
    }
}
