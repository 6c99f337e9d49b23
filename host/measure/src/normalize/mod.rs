//! Text normalizers, so that "Mr. Quilter's 2 colours" and "MISTER QUILTER IS TWO COLORS" are the
//! same words.
//!
//! Both normalize as OpenAI's Whisper does (`whisper.normalizers` of the PyPI package
//! `openai-whisper`, version 20250625; [Radford et al. 2022](https://arxiv.org/abs/2212.04356),
//! appendix C), character by character, oddities included: word error rates can be compared only
//! when all sides normalize in the same way. Digits outside ASCII are the exception: they stay as
//! they are.

mod english;
mod numbers;
mod text;

use hearken_proto::is_spaced;
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use self::text::{Text, Token, is_symbol};

/// Text normalization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Normalizer {
    /// Lower case; no punctuation, hesitations, asides in brackets; numbers in digits; American
    /// spellings; contractions and titles written out.
    English,
    /// Lower case; no punctuation, no asides in brackets.
    Basic,
    /// As [`Basic`](Self::Basic), with a space between any two characters (grapheme clusters): for
    /// languages that put none between words, so that words are characters.
    BasicCharacters,
}

/// A word of normalized text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NormalWord {
    /// The word.
    pub text: String,
    /// Index of the last of the original words that it comes from: "twenty", "one" become "21",
    /// which comes from both.
    pub last: usize,
}

impl Normalizer {
    /// The one that Whisper's authors used for a language (ISO 639-1).
    pub fn for_language(code: &str) -> Self {
        match code {
            "en" => Self::English,
            _ if is_spaced(code) => Self::Basic,
            _ => Self::BasicCharacters,
        }
    }

    /// The normalized text. As with the reference there may be a space before and behind it.
    pub fn text(self, text: &str) -> String {
        match self {
            Self::English => self.read(&[text]).to_string(),
            Self::Basic | Self::BasicCharacters => basic(text, self == Self::BasicCharacters),
        }
    }

    /// The words of the normalized text, and where each comes from.
    pub fn words<S: AsRef<str>>(self, words: &[S]) -> Vec<NormalWord> {
        let tokens = self.read(words).tokens();
        tokens.into_iter().map(|Token { text, word }| NormalWord { text, last: word }).collect()
    }

    fn read<S: AsRef<str>>(self, words: &[S]) -> Text {
        if self == Self::English {
            let mut text = Text::lower_case(words);
            english::normalize(&mut text);
            return text;
        }
        // Brackets may span words; nothing else does.
        let mut text = Text::lower_case(words);
        text.remove_enclosed();
        let mut result = Text::default();
        for token in text.tokens() {
            result.append(basic(&token.text, self == Self::BasicCharacters).trim(), token.word);
        }
        result
    }
}

fn basic(text: &str, split: bool) -> String {
    let mut text = Text::lower_case(&[text]);
    text.remove_enclosed();
    let composed = text.to_string().nfkc().map(|c| if is_symbol(c) { ' ' } else { c }).collect::<String>();
    let composed = composed.to_lowercase();
    let mut text = if split {
        Text::of_tokens(
            &composed
                .graphemes(true)
                .map(|text| Token { text: text.to_owned(), word: 0 })
                .collect::<Vec<_>>(),
        )
    } else {
        Text::of_tokens(&[Token { text: composed, word: 0 }])
    };
    text.collapse_spaces();
    text.to_string()
}

#[cfg(test)]
mod tests;
