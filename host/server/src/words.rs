//! Recognized words as a text.

use hearken::Word;
use hearken::text::sanitize_trimmed;

/// Joins words with spaces between them.
pub(super) fn joined<'a>(words: impl IntoIterator<Item = &'a Word>) -> String {
    words.into_iter().map(|word| sanitize_trimmed(&word.text)).collect::<Vec<_>>().join(" ")
}

/// Mean probability of words; 0 where there are none.
pub(super) fn confidence<'a>(words: impl IntoIterator<Item = &'a Word>) -> f32 {
    let (mut sum, mut count) = (0.0, 0u32);
    for word in words {
        (sum, count) = (sum + word.probability, count + 1);
    }
    if count == 0 { 0.0 } else { sum / count as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined_and_their_confidence_is_the_mean() {
        let word = |text: &str, probability| Word { start: 0, end: 1, text: text.to_owned(), probability };
        let words = [word(" go", 0.5), word("left ", 1.0)];
        assert_eq!((joined(&words).as_str(), confidence(&words)), ("go left", 0.75));
        assert_eq!((joined(&[]).as_str(), confidence(&[])), ("", 0.0));
    }
}
