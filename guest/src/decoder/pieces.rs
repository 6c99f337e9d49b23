//! The vocabulary's text, and how text is split into its tokens.
//!
//! Whisper's tokenizer is GPT-2's: text is cut into words, numbers and punctuation, each with the
//! space before it, and in each the two neighbors that make the token with the lowest number are
//! joined until none make one (byte pair encoding; numbers follow the order in which pairs were
//! learned). whisper.cpp's own tokenizer takes the longest token each time instead, which is not
//! what the decoder says.

/// All text tokens, found by their bytes.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// The bytes of all tokens, one behind the other.
    bytes: Vec<u8>,
    /// Start of each, and the end of the last.
    starts: Vec<u32>,
    /// Tokens in the order of their bytes, and of their numbers where those are the same.
    sorted: Vec<i32>,
}

/// Kind of characters; a piece has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letters,
    Digits,
    Others,
}

impl Kind {
    fn of(c: char) -> Self {
        if c.is_alphabetic() {
            Self::Letters
        } else if c.is_numeric() {
            Self::Digits
        } else {
            Self::Others
        }
    }
}

impl Pieces {
    /// Takes the vocabulary's `count` text tokens.
    pub(crate) fn new<'a>(count: i32, text: impl Fn(i32) -> Option<&'a [u8]>) -> Self {
        let (mut bytes, mut starts) = (Vec::new(), vec![0]);
        for token in 0..count {
            bytes.extend_from_slice(text(token).unwrap_or_default());
            starts.push(bytes.len() as u32);
        }
        let mut pieces = Self { bytes, starts, sorted: Vec::new() };
        let mut sorted: Vec<i32> = (0..count).filter(|token| !pieces.text(*token).is_empty()).collect();
        sorted.sort_by_key(|token| (pieces.text(*token), *token));
        pieces.sorted = sorted;
        pieces
    }

    /// The bytes of a token; none if it is no text.
    pub(crate) fn text(&self, token: i32) -> &[u8] {
        let at = |index: usize| self.starts.get(index).map(|start| *start as usize);
        let place = usize::try_from(token).ok().and_then(|token| Some(at(token)?..at(token + 1)?));
        place.and_then(|place| self.bytes.get(place)).unwrap_or_default()
    }

    /// Returns true if a token goes on with the letters or digits of the word before it.
    pub(crate) fn joins(&self, token: i32) -> bool {
        let text = self.text(token);
        match std::str::from_utf8(text) {
            Ok(text) => text.chars().next().is_some_and(char::is_alphanumeric),
            // A part of a character is taken for one of a letter's.
            Err(_) => !text.starts_with(b" "),
        }
    }

    /// Returns true if a word may go on behind a token: it ends in a letter or a digit.
    pub(crate) fn is_open(&self, token: i32) -> bool {
        let text = self.text(token);
        match std::str::from_utf8(text) {
            Ok(text) => text.chars().next_back().is_some_and(char::is_alphanumeric),
            Err(_) => !text.is_empty(),
        }
    }

    /// Splits text into tokens. `None` if the vocabulary has none for a part of it.
    pub(crate) fn split(&self, text: &str) -> Option<Vec<i32>> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(first_piece(rest));
            self.merge(piece.as_bytes(), &mut tokens)?;
            rest = behind;
        }
        Some(tokens)
    }

    fn find(&self, piece: &[u8]) -> Option<i32> {
        let place = self.sorted.partition_point(|token| self.text(*token) < piece);
        self.sorted.get(place).copied().filter(|token| self.text(*token) == piece)
    }

    /// Byte pair encoding of one piece. Looks a pair up only when one of its sides is new.
    fn merge(&self, piece: &[u8], tokens: &mut Vec<i32>) -> Option<()> {
        let mut ends: Vec<usize> = (0..=piece.len()).collect();
        let pair = |ends: &[usize], at: usize| {
            let range = *ends.get(at)?..*ends.get(at + 2)?;
            self.find(&piece[range])
        };
        let mut pairs: Vec<Option<i32>> = (0..piece.len()).map(|at| pair(&ends, at)).collect();
        let lowest = |pairs: &[Option<i32>]| {
            let known = pairs.iter().enumerate().filter_map(|(at, pair)| Some(((*pair)?, at)));
            known.min().map(|(_, at)| at)
        };
        while let Some(at) = lowest(&pairs) {
            ends.remove(at + 1);
            pairs.remove(at + 1);
            pairs[at] = pair(&ends, at);
            if at > 0 {
                pairs[at - 1] = pair(&ends, at - 1);
            }
        }
        for range in ends.windows(2) {
            tokens.push(self.find(&piece[range[0]..range[1]])?);
        }
        Some(())
    }
}

/// Length of the first piece of a text that is not empty: an ending behind an apostrophe, or
/// letters, digits or other characters with the space before them.
fn first_piece(text: &str) -> usize {
    const ENDINGS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];
    if let Some(ending) = ENDINGS.iter().find(|ending| text.starts_with(**ending)) {
        return ending.len();
    }
    let space = usize::from(text.starts_with(' '));
    let mut chars = text[space..].char_indices();
    let Some((_, first)) = chars.next() else { return text.len() };
    if first.is_whitespace() {
        return space.max(first.len_utf8());
    }
    let kind = Kind::of(first);
    let ends = |(_, c): &(usize, char)| c.is_whitespace() || Kind::of(*c) != kind;
    chars.find(ends).map_or(text.len(), |(at, _)| space + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(texts: &[&'static str]) -> Pieces {
        let all: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        Pieces::new(all.len() as i32, |token| all.get(token as usize).copied())
    }

    #[test]
    fn pairs_are_joined_in_the_order_in_which_they_were_learned() {
        let pieces = pieces(&["a", "b", "c", " ", "bc", "ab", " a", "abc"]);
        let split = |text| pieces.split(text);
        // "bc" was learned before "ab": "abc" comes of "a" and "bc".
        assert_eq!(split("abc"), Some(vec![7]));
        assert_eq!(split("ab"), Some(vec![5]));
        assert_eq!(split("abab"), Some(vec![5, 5]));
        // The longest beginning would be " abc"; the pairs make " a" before it can come.
        assert_eq!(split(" abc"), Some(vec![6, 4]));
        assert_eq!(split("abx"), None, "no token for it");
        assert_eq!(split(""), Some(vec![]));
    }

    #[test]
    fn text_is_cut_into_words_numbers_and_the_rest() {
        let cut = |mut text: &'static str| {
            let mut pieces = Vec::new();
            while !text.is_empty() {
                let (piece, rest) = text.split_at(first_piece(text));
                pieces.push(piece);
                text = rest;
            }
            pieces
        };
        assert_eq!(cut(" New York's 42nd"), [" New", " York", "'s", " 42", "nd"]);
        assert_eq!(cut("Anglo-Saxon's"), ["Anglo", "-", "Saxon", "'s"]);
        assert_eq!(cut(" 'tis"), [" '", "tis"]);
        assert_eq!(cut("  ü!"), [" ", " ü", "!"]);
        assert_eq!(cut("好。"), ["好", "。"]);
    }

    #[test]
    fn words_go_on_only_with_letters_and_digits() {
        let pieces = pieces(&["es", " es", "'s", ".", "9", ""]);
        let joins: Vec<bool> = (-1..7).map(|token| pieces.joins(token)).collect();
        assert_eq!(joins, [false, true, false, false, false, true, false, false]);
        let open: Vec<bool> = (-1..7).map(|token| pieces.is_open(token)).collect();
        assert_eq!(open, [false, true, true, true, false, true, false, false]);
    }
}
