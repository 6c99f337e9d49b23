//! Annotations: `[Music]`, `(laughs)`, `♪ … ♪`. Subtitles in Whisper's training data have them;
//! they are not speech.
//!
//! Tokens that begin them are suppressed, as OpenAI's decoder does by default
//! (`suppress_tokens="-1"`, `non_speech_tokens` in [tokenizer.py]). What still comes in brackets is
//! dropped.
//!
//! [tokenizer.py]: https://github.com/openai/whisper/blob/main/whisper/tokenizer.py

use crate::stream::Spoken;

/// Texts that are suppressed, alone and behind a space, where the vocabulary has a token for them.
const SYMBOLS: [&str; 54] = [
    "\"",
    "#",
    "(",
    ")",
    "*",
    "+",
    "/",
    ":",
    ";",
    "<",
    "=",
    ">",
    "@",
    "[",
    "\\",
    "]",
    "^",
    "_",
    "`",
    "{",
    "|",
    "}",
    "~",
    "「",
    "」",
    "『",
    "』",
    "<<",
    ">>",
    "<<<",
    ">>>",
    "--",
    "---",
    "-(",
    "-[",
    "('",
    "(\"",
    "((",
    "))",
    "(((",
    ")))",
    "[[",
    "]]",
    "{{",
    "}}",
    "♪♪",
    "♪♪♪",
    "♩",
    "♪",
    "♫",
    "♬",
    "♭",
    "♮",
    "♯",
];

/// Suppressed only at the beginning of a word: elsewhere they are hyphens and apostrophes.
const AT_BEGINNINGS: [&str; 2] = [" -", " '"];

/// Opening and closing brackets of annotations.
const BRACKETS: [(char, char); 5] = [('[', ']'), ('(', ')'), ('{', '}'), ('♪', '♪'), ('♫', '♫')];

/// Tokens that are suppressed, of a vocabulary of `count` text tokens.
pub(crate) fn tokens<'a>(count: i32, text: impl Fn(i32) -> Option<&'a [u8]>) -> Vec<i32> {
    /// The first bytes of every note, where a character is split over tokens.
    const NOTE: &[u8] = b"\xe2\x99";
    let is_suppressed = |text: &[u8]| {
        let bare = text.strip_prefix(b" ").unwrap_or(text);
        SYMBOLS.iter().any(|symbol| symbol.as_bytes() == bare)
            || AT_BEGINNINGS.iter().any(|symbol| symbol.as_bytes() == text)
            || bare == NOTE
    };
    (0..count).filter(|token| text(*token).is_some_and(is_suppressed)).collect()
}

/// Drops text in brackets. A bracket that is not closed reaches to the end.
pub(crate) fn drop_bracketed(words: &mut Vec<Spoken>) {
    let mut open: Option<char> = None;
    words.retain(|spoken| {
        let text = spoken.word.text.as_str();
        let mut rest = text;
        let mut outside = false;
        while !rest.is_empty() {
            let found = match open {
                Some(closing) => {
                    rest.char_indices().find(|(_, c)| *c == closing).map(|(at, c)| (at, c, None))
                }
                None => rest.char_indices().find_map(|(at, c)| {
                    let bracket = BRACKETS.iter().find(|(opening, _)| *opening == c)?;
                    Some((at, c, Some(bracket.1)))
                }),
            };
            let Some((at, c, closing)) = found else {
                outside |= open.is_none() && rest.chars().any(char::is_alphanumeric);
                break;
            };
            outside |= open.is_none() && rest[..at].chars().any(char::is_alphanumeric);
            open = closing;
            rest = &rest[at + c.len_utf8()..];
        }
        // A word without a bracket stays as it is, even if it is only punctuation.
        let has_bracket = text.contains(|c| BRACKETS.iter().any(|(one, other)| *one == c || *other == c));
        outside || (open.is_none() && !has_bracket)
    });
}

#[cfg(test)]
mod tests {
    use hearken_proto::Word;

    use super::*;

    fn kept(text: &str) -> String {
        let spoken = |text: &str| Spoken {
            word: Word { text: text.to_owned(), ..Word::default() },
            ..Spoken::default()
        };
        let mut words: Vec<Spoken> = text.split_whitespace().map(spoken).collect();
        drop_bracketed(&mut words);
        words.iter().map(|spoken| spoken.word.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn text_in_brackets_is_no_word() {
        for (text, left) in [
            ("[BLANK_AUDIO]", ""),
            ("(gentle music) And so [applause] my fellow Americans", "And so my fellow Americans"),
            ("♪ la la la ♪ and ♪♪", "and"),
            ("we stop (and then", "we stop"),
            ("a word(s) - that's it", "a word(s) - that's it"),
            ("", ""),
        ] {
            assert_eq!(kept(text), left, "{text}");
        }
    }

    #[test]
    fn what_begins_annotations_is_suppressed_and_hyphens_inside_of_words_are_not() {
        let vocabulary: [&[u8]; 8] = [b" [", b"(", b"-", b" -", b"'", b" word", b" \xe2\x99", b"\""];
        let found = tokens(8, |token| vocabulary.get(token as usize).copied());
        assert_eq!(found, [0, 1, 3, 6, 7]);
    }
}
