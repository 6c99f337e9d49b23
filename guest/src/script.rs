//! Scripts that give hallucinations away.
//!
//! Over animals, streets and music, multilingual models say phrases of subtitles ("Thank you for
//! watching") in Korean, Japanese or Chinese, whatever language was detected. No text in a language
//! that is written otherwise holds such characters.

/// Languages whose texts may hold Hangul, kana and Han characters, as ISO 639-1 codes.
const HANGUL: &[&str] = &["ko"];
const KANA: &[&str] = &["ja"];
const HAN: &[&str] = &["zh", "ja", "ko", "yue"];

/// Returns true if a text may be in this language.
pub(crate) fn fits(text: &str, language: &str) -> bool {
    text.chars().all(|c| {
        let languages = match c {
            '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{ac00}'..='\u{d7af}' => HANGUL,
            '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' => KANA,
            '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' => HAN,
            _ => return true,
        };
        languages.contains(&language)
    })
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn subtitles_of_another_script_are_hallucinations() {
        assert!(!fits("ご視聴ありがとうございました!", "nn"));
        assert!(!fits("오늘도!", "en"));
        assert!(
            fits("ご視聴ありがとう", "ja")
                && fits("오늘도", "ko")
                && fits("今天", "zh")
                && fits("今日は", "ja")
        );
        assert!(!fits("오늘도", "ja"));
        assert!(fits("naïve — 42 %", "en") && fits("да", "ru"));
    }
}
