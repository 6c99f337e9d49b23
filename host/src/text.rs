//! Text from the guest is hostile: a model's vocabulary may hold terminal escapes or text that runs
//! backwards. Whatever enters the host passes here first; sinks still escape for their own format.

/// Removes characters that could act on a terminal or hide text: control characters (C0, DEL, C1,
/// so that no escape sequence starts), bidirectional overrides and isolates, and invisible format
/// characters. Line breaks, paragraph breaks and tabs become one space. Joiners stay between
/// letters outside ASCII (Persian, Indic scripts), where they are spelling; elsewhere, as in joined
/// emoji, they go.
pub fn sanitize(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\t' | '\n' | '\x0b' | '\x0c' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                if !clean.ends_with(' ') {
                    clean.push(' ');
                }
            }
            '\u{200c}' | '\u{200d}' => {
                let before = clean.chars().next_back().is_some_and(|c| !c.is_ascii() && !c.is_whitespace());
                let after = chars.peek().is_some_and(|c| !c.is_ascii() && c.is_alphabetic());
                // Two in a row spell nothing.
                if before && after && !clean.ends_with(['\u{200c}', '\u{200d}']) {
                    clean.push(c);
                }
            }
            c if c.is_control() || is_format(c) => {}
            c => clean.push(c),
        }
    }
    clean
}

/// A word without capitals and punctuation, for comparing.
pub fn essence(word: &str) -> String {
    word.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "")
}

/// [`sanitize`], without white space at either end.
pub fn sanitize_trimmed(text: &str) -> String {
    let clean = sanitize(text);
    let trimmed = clean.trim();
    if trimmed.len() == clean.len() { clean } else { trimmed.to_owned() }
}

/// Invisible characters that reorder, hide or tag text (Unicode's Cf, and fillers that show
/// nothing).
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terminal_escapes_lose_their_introducers() {
        assert_eq!(sanitize("\x1b[31mred\x1b[0m"), "[31mred[0m");
        assert_eq!(sanitize("\x1b]0;title\x07x"), "]0;titlex");
        assert_eq!(sanitize("a\u{9b}2Jb\u{90}c\x7f\x08\0"), "a2Jbc");
    }

    #[test]
    fn text_cannot_run_backwards_or_hide() {
        assert_eq!(sanitize("a\u{202e}b\u{2066}c\u{2069}d\u{200f}e\u{61c}"), "abcde");
        assert_eq!(sanitize("pay\u{200b}pal\u{feff}\u{ad}\u{e0041}"), "paypal");
    }

    #[test]
    fn lines_become_one() {
        assert_eq!(sanitize("a\r\n\r\nb\tc\u{2028}d\u{2029}e\u{85}f\x0bg"), "a b c d e f g");
        assert_eq!(sanitize_trimmed("\n a \n"), "a");
    }

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "It's 5 < 6 & \"so\" on — naïve…",
            " 日本語、テキスト。",
            "שלום",
            "👍🏽 ❤️",
            "می\u{200c}خواهم",
            "ക്\u{200d}ഷ",
            "\u{fffd}",
        ] {
            assert_eq!(sanitize(text), text);
        }
        assert_eq!(sanitize("👩\u{200d}👧 a\u{200d}b"), "👩👧 ab");
    }

    proptest! {
        #[test]
        fn sanitized_text_is_clean_and_stays_so(text in any::<String>()) {
            let clean = sanitize(&text);
            let joiner = |c| matches!(c, '\u{200c}' | '\u{200d}');
            prop_assert!(!clean.chars().any(|c| c.is_control() || is_format(c) && !joiner(c)));
            prop_assert_eq!(sanitize(&clean), clean);
        }
    }
}
