//! Line breaking of a cue's tokens.

use super::tokens::Token;

/// Columns of a line. 42 is the limit of broadcasters and streaming services.
pub(super) const COLUMNS: usize = 42;

/// Columns of tokens on one line.
pub(super) fn columns(tokens: &[Token]) -> usize {
    let spaces = tokens.iter().skip(1).filter(|token| token.space).count();
    tokens.iter().map(|token| token.width).sum::<usize>() + spaces
}

/// Tokens on one line.
fn join(tokens: &[Token]) -> String {
    let mut line = String::new();
    for (index, token) in tokens.iter().enumerate() {
        if index > 0 && token.space {
            line.push(' ');
        }
        line.push_str(&token.text);
    }
    line
}

/// Returns true if two lines hold them: filled greedily, which uses the fewest lines.
pub(super) fn fits(tokens: &[Token]) -> bool {
    let mut lines = 1;
    let mut used = 0;
    for token in tokens {
        let space = usize::from(token.space && used > 0);
        if used > 0 && used + space + token.width > COLUMNS {
            lines += 1;
            used = token.width;
        } else {
            used += space + token.width;
        }
    }
    lines <= 2
}

/// Breaks tokens into lines: one line if it holds them, else two, broken after punctuation, else in
/// the middle.
pub(super) fn lay_out(tokens: &[Token]) -> Vec<String> {
    if columns(tokens) <= COLUMNS {
        return vec![join(tokens)];
    }
    let best = (1..tokens.len())
        .filter_map(|at| {
            let (upper, lower) = tokens.split_at(at);
            let (a, b) = (columns(upper), columns(lower));
            // Punctuation is worth a line 12 columns longer than the other; a break inside a word
            // is worst.
            let punctuation = upper.last().is_some_and(|token| pause(&token.text) > 0);
            let inside_word = lower.first().is_some_and(|token| !token.space && token.width > 2);
            let cost = a.abs_diff(b) + if punctuation { 0 } else { 12 } + if inside_word { 40 } else { 0 };
            (a <= COLUMNS && b <= COLUMNS).then_some((cost, at))
        })
        .min();
    match best {
        Some((_, at)) => {
            let (upper, lower) = tokens.split_at(at);
            vec![join(upper), join(lower)]
        }
        None => vec![join(tokens)],
    }
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
