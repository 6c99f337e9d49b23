//! Phrases that Whisper hallucinates where nobody speaks.
//!
//! Of the texts that it has for sounds without speech a few phrases are most: ends of videos, which
//! stood over music and applause in its training data. M. Barański, J. Jasiński, J. Bartolewska,
//! S. Kacprzak, M. Witkowski and K. Kowalczyk, *Investigation of Whisper ASR Hallucinations Induced
//! by Non-Speech Audio*, ICASSP 2025 (arXiv 2501.11378), list them. People say them, too, but then
//! the model is sure.

/// The phrases, in lower case without punctuation.
const PHRASES: [&str; 9] = [
    "you",
    "thank you",
    "thank you very much",
    "thank you for watching",
    "thanks for watching",
    "for watching",
    "bye bye",
    "please subscribe",
    "subtitles by the amara.org community",
];

/// Minimum mean probability of the words of such a phrase (geometric mean). "Thank you", said on a
/// telephone line, has 0.88 with tiny.en and base.
pub const LIKELY: f32 = 0.8;

/// Returns true if these words, in lower case and without punctuation, are such a phrase, or the
/// beginning of one.
pub fn is_one<'a>(words: impl Iterator<Item = &'a str> + Clone) -> bool {
    let begins = |phrase: &str| {
        let mut rest = phrase.split(' ');
        words.clone().all(|word| rest.next() == Some(word))
    };
    words.clone().next().is_some() && PHRASES.iter().any(|phrase| begins(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> bool {
        is_one(text.split_whitespace())
    }

    #[test]
    fn a_phrase_and_its_beginning_are_one_and_a_sentence_is_none() {
        assert!(said("thank you") && said("thank") && said("for watching") && said("you"));
        assert!(!said("") && !said("thank you for calling") && !said("you are") && !said("goodbye"));
    }
}
