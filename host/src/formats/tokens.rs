//! A segment as pieces with times: the places at which subtitles may break.

use unicode_width::UnicodeWidthChar;

use super::milliseconds;
use crate::Segment;
use crate::text::sanitize_trimmed;

/// A word, a wide character (Chinese and Japanese break anywhere), or a piece of an overlong word.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Columns it takes: 2 for a wide character.
    pub(super) width: usize,
    /// True if a space separates it from the token before.
    pub(super) space: bool,
    /// First millisecond.
    pub(super) start: u64,
    /// Millisecond after the last, at least `start`.
    pub(super) end: u64,
}

/// A stretch of text without white space inside, and its time.
struct Piece {
    text: String,
    space: bool,
    start: u64,
    end: u64,
}

/// Cuts a segment into tokens of at most `max` columns, in order, times ascending and inside the
/// segment's.
pub(super) fn tokens(segment: &Segment, max: usize) -> Vec<Token> {
    let text = sanitize_trimmed(&segment.text);
    let start = milliseconds(segment.start);
    let end = milliseconds(segment.end).max(start);
    let pieces = timed(segment, &text).unwrap_or_else(|| spread(&text, start, end, true));
    let mut tokens: Vec<Token> = Vec::with_capacity(pieces.len());
    let mut last = start;
    for piece in pieces {
        let start = piece.start.clamp(last, end);
        last = piece.end.clamp(start, end);
        split(&piece, start, last, max, &mut tokens);
    }
    tokens
}

/// The text's words with the times of the segment's, if the two agree.
fn timed(segment: &Segment, text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::with_capacity(segment.words.len());
    let mut rest = text;
    for word in &segment.words {
        let word_text = sanitize_trimmed(&word.text);
        if word_text.is_empty() {
            continue;
        }
        let trimmed = rest.trim_start();
        let space = trimmed.len() < rest.len();
        rest = trimmed.strip_prefix(&*word_text)?;
        let (start, end) = (milliseconds(word.start), milliseconds(word.end));
        pieces.extend(spread(&word_text, start, end.max(start), space));
    }
    rest.trim().is_empty().then_some(pieces)
}

/// Words without times of their own get shares of `start..end` by their widths.
fn spread(text: &str, start: u64, end: u64, space: bool) -> Vec<Piece> {
    let total = width(text).max(1) as u64;
    let at = |before: usize| start + share(end - start, before as u64, total);
    let mut before = 0;
    let words = text.split_whitespace().enumerate().map(|(index, word)| {
        let from = before;
        before += width(word);
        let piece =
            Piece { text: word.to_owned(), space: space || index > 0, start: at(from), end: at(before) };
        before += 1;
        piece
    });
    words.collect()
}

/// Cuts a piece at wide characters and at `max` columns.
fn split(piece: &Piece, start: u64, end: u64, max: usize, tokens: &mut Vec<Token>) {
    let total = width(&piece.text).max(1) as u64;
    let mut taken = 0;
    let mut first = true;
    let mut current = String::new();
    let mut columns = 0;
    let mut wide = false;
    let mut emit = |text: &mut String, columns: &mut usize| {
        if text.is_empty() {
            return;
        }
        let from = taken;
        taken += *columns as u64;
        tokens.push(Token {
            text: std::mem::take(text),
            // Marks alone take a column too, so that a cue's tokens are bounded.
            width: std::mem::take(columns).max(1),
            space: piece.space && first,
            start: start + share(end - start, from, total),
            end: start + share(end - start, taken.min(total), total),
        });
        first = false;
    };
    for c in piece.text.chars() {
        let w = c.width().unwrap_or(0);
        // A mark stays with its letter, and closing punctuation with the wide character before it.
        let stays = w == 0 || (wide && is_closing(c) && columns + w <= max);
        let is_wide = w == 2;
        // A run of zero-width marks must not grow a line without bounds either.
        let overlong = columns + w > max || current.len() > 8 * max;
        if overlong || (!stays && (is_wide || wide)) {
            emit(&mut current, &mut columns);
            wide = false;
        }
        current.push(c);
        columns += w;
        wide |= is_wide;
    }
    emit(&mut current, &mut columns);
}

/// Punctuation that may not start a line.
fn is_closing(c: char) -> bool {
    matches!(
        c,
        ',' | '.' | '!' | '?' | ':' | ';' | ')' | ']' | '…' | '、' | '。' | '」' | '』' | '】' | '》' | 'ー' | '々'
            // Full-width forms of ! ) , . : ; ?
            | '\u{ff01}' | '\u{ff09}' | '\u{ff0c}' | '\u{ff0e}' | '\u{ff1a}' | '\u{ff1b}' | '\u{ff1f}'
    )
}

/// `span · part / whole`, in 128 bits because times are as hostile as text.
fn share(span: u64, part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(span) * u128::from(part) / u128::from(whole)).unwrap_or(span)
}

/// Columns of a text: the sum over its characters, so that pieces add up.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}
