//! Line breaking of a cue's tokens.

use super::layout::CueLayout;
use super::tokens::Token;

/// Columns of tokens on one line.
pub(super) fn columns(tokens: &[Token]) -> usize {
    let spaces = tokens.iter().skip(1).filter(|token| token.space).count();
    tokens.iter().map(|token| token.width).sum::<usize>() + spaces
}

/// Tokens on one line, and for each word but those that begin at `start` or before where it is in
/// the line (in bytes) and when it begins (in ms).
pub(super) fn join(tokens: &[Token], start: u64) -> (String, Vec<(usize, u64)>) {
    let (mut line, mut times) = (String::new(), Vec::new());
    let mut last = start;
    for (index, token) in tokens.iter().enumerate() {
        if token.start > last && (index == 0 || token.space || token.width <= 2) {
            times.push((line.len(), token.start));
            last = token.start;
        }
        if index > 0 && token.space {
            line.push(' ');
        }
        line.push_str(&token.text);
    }
    (line, times)
}

/// Number of words: a word of several tokens counts once, and a wide character is a word.
fn words(tokens: &[Token]) -> usize {
    tokens.iter().enumerate().filter(|(index, token)| *index == 0 || token.space || token.width <= 2).count()
}

/// Number of lines that hold them: filled greedily, which uses the fewest lines.
fn fewest(tokens: &[Token], columns: usize) -> usize {
    let mut lines = 1;
    let mut used = 0;
    for token in tokens {
        let space = usize::from(token.space && used > 0);
        if used > 0 && used + space + token.width > columns {
            lines += 1;
            used = token.width;
        } else {
            used += space + token.width;
        }
    }
    lines
}

/// Returns true if one cue holds them.
pub(super) fn fits(tokens: &[Token], layout: CueLayout) -> bool {
    fewest(tokens, layout.columns) <= layout.lines && words(tokens) <= layout.words
}

/// Breaks tokens into lines, as few as hold them, after punctuation and as long as each other.
pub(super) fn lay_out(tokens: &[Token], layout: CueLayout) -> Vec<&[Token]> {
    let lines = fewest(tokens, layout.columns);
    let (count, total) = (tokens.len(), columns(tokens));
    // best[line][i]: least cost of the first i tokens on the lines up to that one, and where it
    // begins.
    let mut best = vec![vec![(usize::MAX, 0); count + 1]; lines + 1];
    best[0][0] = (0, 0);
    for line in 0..lines {
        for from in line..count {
            let (cost, _) = best[line][from];
            if cost == usize::MAX {
                continue;
            }
            for to in from + 1..=count {
                let width = columns(&tokens[from..to]);
                if width > layout.columns && to > from + 1 {
                    break;
                }
                let cost = cost + (lines * width).abs_diff(total) + break_cost(tokens, to);
                if cost < best[line + 1][to].0 {
                    best[line + 1][to] = (cost, from);
                }
            }
        }
    }
    let mut all = Vec::with_capacity(lines);
    let mut to = count;
    for line in (1..=lines).rev() {
        let from = best[line][to].1;
        all.push(&tokens[from..to]);
        to = from;
    }
    all.reverse();
    all
}

/// Cost of a line break before this token. Punctuation is worth a line 12 columns longer than the
/// other; a break inside a word is worst.
fn break_cost(tokens: &[Token], at: usize) -> usize {
    let (upper, lower) = tokens.split_at(at);
    let Some(next) = lower.first() else { return 0 };
    let punctuation = upper.last().is_some_and(|token| pause(&token.text) > 0);
    let inside_word = !next.space && next.width > 2;
    2 * (if punctuation { 0 } else { 12 } + if inside_word { 40 } else { 0 })
}

/// Weight of a token's end as a pause: 2 after a sentence, 1 after a clause, else 0.
pub(super) fn pause(text: &str) -> u8 {
    let text = text.trim_end_matches(['"', '\'', '”', '’', '»', ')', ']', '」', '』']);
    match text.chars().next_back() {
        Some('.' | '!' | '?' | '…' | '。' | '\u{ff01}' | '\u{ff0e}' | '\u{ff1f}' | '؟' | '।') => 2,
        Some(',' | ';' | ':' | '—' | '–' | '、' | '\u{ff0c}' | '\u{ff1a}' | '\u{ff1b}' | '،') => 1,
        _ => 0,
    }
}
