//! Conversion of tokens to words with times.

use std::ops::Range;

pub(crate) use hearken_proto::is_spaced;
use hearken_proto::{HOP_LENGTH, Word};

/// A token as whisper.cpp reports it.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// Bytes; a character may be spread over several tokens.
    pub(crate) text: Vec<u8>,
    /// End of text, timestamps and everything above them: no text.
    pub(crate) special: bool,
    pub(crate) probability: f32,
    pub(crate) logprob: f32,
    /// Heuristic start and end in 10 ms, from the start of the window.
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// End by dynamic time warping in 10 ms, or negative. (whisper.cpp notes where attention leaves
    /// the token.)
    pub(crate) aligned: i64,
}

/// A stretch of the window, in samples: never reversed, never outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// Converts whisper.cpp's centiseconds, clamped into a window of `len` samples.
    pub(crate) fn new(start: i64, end: i64, len: usize) -> Self {
        let sample =
            |time: i64| (time.max(0) as u64).saturating_mul(u64::from(HOP_LENGTH)).min(len as u64) as u32;
        let start = sample(start);
        Self { start, end: sample(end).max(start) }
    }
}

/// Formats text that came before as the prompt that Whisper was trained with: begun by a space, as
/// every text of its is (`_get_initial_tokens` of [OpenAI's
/// decoder](https://github.com/openai/whisper/blob/main/whisper/decoding.py)). Without it the first
/// word is another token.
pub(crate) fn prompt_text(prompt: &str) -> Option<String> {
    // A NUL cannot be part of a C string, and means nothing to a tokenizer.
    let text = prompt.replace('\0', "");
    let text = text.trim();
    (!text.is_empty()).then(|| format!(" {text}"))
}

/// Returns true if a token is more than punctuation. The decoder attends to the pause that follows
/// when it produces punctuation.
pub(crate) fn is_spoken(text: &[u8]) -> bool {
    // A part of a character is no character, and counts as one.
    String::from_utf8_lossy(text).chars().any(|c| c.is_alphanumeric() || c == char::REPLACEMENT_CHARACTER)
}

/// Mean log-probability of the text tokens; 0 when there are none.
pub(crate) fn average_logprob(tokens: &[Token]) -> f32 {
    let (sum, count) = tokens
        .iter()
        .filter(|token| !token.special)
        .fold((0.0, 0u32), |(sum, count), token| (sum + token.logprob, count + 1));
    if count == 0 { 0.0 } else { sum / count as f32 }
}

/// Punctuation that opens: it belongs to the word after it (OpenAI's `prepend_punctuations`).
const OPENING: &str = "\"'“¿([{-";
/// Punctuation that closes: it belongs to the word before it (OpenAI's `append_punctuations`).
const CLOSING: &str = "\"'.。,，!！?？:：”)]}、";

/// A word being put together.
struct Draft {
    text: String,
    probability: f32,
    /// Places of its tokens among the text tokens.
    tokens: Range<usize>,
    start: i64,
    end: i64,
}

/// Groups text tokens into words whose times lie in `span` and never run backwards.
pub(crate) fn group(tokens: &[Token], span: Span, spaced: bool) -> Vec<Word> {
    group_places(tokens, span, spaced).into_iter().map(|(word, _)| word).collect()
}

/// Groups as [`group`] does, with the range of each word's tokens among the text tokens.
pub(crate) fn group_places(tokens: &[Token], span: Span, spaced: bool) -> Vec<(Word, Range<usize>)> {
    let text: Vec<&Token> = tokens.iter().filter(|token| !token.special).collect();
    let mut drafts: Vec<Draft> = Vec::new();
    let mut index = 0;
    while index < text.len() {
        let taken = characters(&text[index..]);
        let group = &text[index..index + taken];
        let bytes: Vec<u8> = group.iter().flat_map(|token| token.text.iter().copied()).collect();
        let piece = String::from_utf8_lossy(&bytes).into_owned();
        // With alignment a token begins where the one before it ended; without, whisper.cpp guesses
        // both ends.
        let last = group[taken - 1];
        let (start, end) = if last.aligned >= 0 {
            let before = index.checked_sub(1).map(|before| text[before].aligned);
            (before.unwrap_or(i64::from(span.start / HOP_LENGTH)), last.aligned)
        } else {
            (group[0].start, last.end)
        };
        let probability: f32 = group.iter().map(|token| token.probability).sum();
        index += taken;

        let begins = !spaced || piece.starts_with(char::is_whitespace);
        match drafts.last_mut() {
            Some(last) if !begins || joins(&last.text, &piece) => {
                last.text.push_str(&piece);
                last.probability += probability;
                last.tokens.end = index;
                last.end = end;
            }
            _ => drafts.push(Draft { text: piece, probability, tokens: index - taken..index, start, end }),
        }
    }

    let mut words = Vec::with_capacity(drafts.len());
    let mut earliest = span.start;
    for draft in drafts {
        let text = draft.text.trim();
        if text.is_empty() {
            continue;
        }
        let placed = Span::new(draft.start, draft.end, span.end as usize);
        let start = placed.start.max(earliest);
        let end = placed.end.max(start);
        earliest = end;
        let word = Word {
            start,
            end,
            text: text.to_owned(),
            probability: (draft.probability / draft.tokens.len() as f32).clamp(0.0, 1.0),
        };
        words.push((word, draft.tokens));
    }
    words
}

/// Returns true if `piece` belongs to the word `before`: closing punctuation, or text behind
/// opening punctuation.
fn joins(before: &str, piece: &str) -> bool {
    let (before, piece) = (before.trim(), piece.trim_end());
    let is_all = |text: &str, set: &str| !text.is_empty() && text.chars().all(|c| set.contains(c));
    (is_all(piece, CLOSING) && !piece.starts_with(' ')) || is_all(before, OPENING)
}

/// Number of tokens that make up the next whole characters: one, or as many as complete a split
/// character.
fn characters(tokens: &[&Token]) -> usize {
    /// A character has at most four bytes, so a fifth token cannot complete it.
    const LONGEST: usize = 4;
    let mut bytes = Vec::new();
    for (index, token) in tokens.iter().take(LONGEST).enumerate() {
        bytes.extend_from_slice(&token.text);
        match std::str::from_utf8(&bytes) {
            Ok(_) => return index + 1,
            // Bytes are missing at the end: the next token may hold them.
            Err(error) if error.error_len().is_none() => {}
            Err(_) => break,
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &[u8], start: i64, end: i64) -> Token {
        Token {
            text: text.to_vec(),
            special: false,
            probability: 0.5,
            logprob: -0.7,
            start,
            end,
            aligned: -1,
        }
    }

    fn texts(words: &[Word]) -> Vec<&str> {
        words.iter().map(|word| word.text.as_str()).collect()
    }

    const SECOND: Span = Span { start: 0, end: 16_000 };

    #[test]
    fn text_that_came_before_begins_with_a_space() {
        assert_eq!(prompt_text("three four").as_deref(), Some(" three four"));
        assert_eq!(prompt_text("  three\0 four\n").as_deref(), Some(" three four"));
        assert_eq!((prompt_text(" \0 "), prompt_text("")), (None, None));
    }

    #[test]
    fn punctuation_is_not_spoken() {
        assert!(
            is_spoken(b" key")
                && is_spoken("é".as_bytes())
                && is_spoken(&"好".as_bytes()[..2])
                && is_spoken(b"1")
        );
        assert!(!is_spoken(b".") && !is_spoken(b" -") && !is_spoken("。".as_bytes()) && !is_spoken(b""));
    }

    #[test]
    fn tokens_join_into_words_at_spaces() {
        let tokens =
            [token(b" for", 0, 10), token(b"ty", 10, 20), token(b" two", 20, 40), token(b".", 40, 41)];
        let words = group(&tokens, SECOND, true);
        assert_eq!(texts(&words), ["forty", "two."]);
        assert_eq!((words[0].start, words[0].end), (0, 3200));
        assert_eq!((words[1].start, words[1].end), (3200, 6560));
    }

    #[test]
    fn a_character_split_across_tokens_comes_out_whole() {
        let euro = "€".as_bytes();
        let tokens = [token(b" 5", 0, 10), token(&euro[..1], 10, 20), token(&euro[1..], 20, 30)];
        assert_eq!(texts(&group(&tokens, SECOND, true)), ["5€"]);
    }

    #[test]
    fn broken_utf8_is_replaced_not_dropped() {
        let tokens = [token(b" a\xff", 0, 10), token(b" b", 10, 20)];
        assert_eq!(texts(&group(&tokens, SECOND, true)), ["a\u{fffd}", "b"]);
    }

    #[test]
    fn without_spaces_each_character_is_a_word_and_punctuation_stays_attached() {
        let tokens = ["你", "好", "。"].map(|text| token(text.as_bytes(), 0, 10));
        assert!(!is_spaced("zh") && is_spaced("en"));
        assert_eq!(texts(&group(&tokens, SECOND, is_spaced("zh"))), ["你", "好。"]);
    }

    #[test]
    fn opening_punctuation_takes_the_word_after_it() {
        let tokens = [token(b" (", 0, 5), token(b"yes", 5, 10), token(b")", 10, 12)];
        assert_eq!(texts(&group(&tokens, SECOND, true)), ["(yes)"]);
    }

    #[test]
    fn times_never_run_backwards_or_out_of_the_window() {
        let tokens = [token(b" a", 90, 500), token(b" b", 10, 20), token(b" c", -5, i64::MAX)];
        let words = group(&tokens, Span { start: 1600, end: 16_000 }, true);
        let mut last = 1600;
        for word in &words {
            assert!(word.start >= last && word.end >= word.start && word.end <= 16_000, "{word:?}");
            last = word.end;
        }
        assert_eq!(words.len(), 3);
    }

    #[test]
    fn aligned_words_begin_where_the_one_before_ended() {
        let mut tokens = [token(b" a", 0, 0), token(b" b", 0, 0), token(b"c", 0, 0)];
        for (token, end) in tokens.iter_mut().zip([10, 25, 30]) {
            token.aligned = end;
        }
        let words = group(&tokens, Span { start: 800, end: 16_000 }, true);
        assert_eq!((words[0].start, words[0].end), (800, 1600));
        assert_eq!((words[1].start, words[1].end), (1600, 4800));
    }

    #[test]
    fn special_tokens_carry_no_text_and_no_weight() {
        let mut end = token(b"[_TT_50]", 0, 0);
        end.special = true;
        end.logprob = -100.0;
        let tokens = [token(b" a", 0, 10), end];
        assert_eq!(texts(&group(&tokens, SECOND, true)), ["a"]);
        assert_eq!(average_logprob(&tokens), -0.7);
    }
}
