//! The languages that Whisper has tokens for.

/// Their codes, in the order of Whisper's tokens (`g_lang` in whisper.cpp).
pub(crate) const CODES: [&str; 100] = [
    "en", "zh", "de", "es", "ru", "ko", "fr", "ja", "pt", "tr", "pl", "ca", "nl", "ar", "sv", "it", "id",
    "hi", "fi", "vi", "he", "uk", "el", "ms", "cs", "ro", "da", "hu", "ta", "no", "th", "ur", "hr", "bg",
    "lt", "la", "mi", "ml", "cy", "sk", "te", "fa", "lv", "bn", "sr", "az", "sl", "kn", "et", "mk", "br",
    "eu", "is", "hy", "ne", "mn", "bs", "kk", "sq", "sw", "gl", "mr", "pa", "si", "km", "sn", "yo", "so",
    "af", "oc", "ka", "be", "tg", "sd", "gu", "am", "yi", "lo", "uz", "fo", "ht", "ps", "tk", "nn", "mt",
    "sa", "lb", "my", "bo", "tl", "mg", "as", "tt", "haw", "ln", "ha", "ba", "jw", "su", "yue",
];

/// Whisper's names of them, in the same order.
const NAMES: &str = "english, chinese, german, spanish, russian, korean, french, japanese, portuguese, turkish, polish, \
    catalan, dutch, arabic, swedish, italian, indonesian, hindi, finnish, vietnamese, hebrew, ukrainian, \
    greek, malay, czech, romanian, danish, hungarian, tamil, norwegian, thai, urdu, croatian, bulgarian, \
    lithuanian, latin, maori, malayalam, welsh, slovak, telugu, persian, latvian, bengali, serbian, \
    azerbaijani, slovenian, kannada, estonian, macedonian, breton, basque, icelandic, armenian, nepali, \
    mongolian, bosnian, kazakh, albanian, swahili, galician, marathi, punjabi, sinhala, khmer, shona, \
    yoruba, somali, afrikaans, occitan, georgian, belarusian, tajik, sindhi, gujarati, amharic, yiddish, \
    lao, uzbek, faroese, haitian creole, pashto, turkmen, nynorsk, maltese, sanskrit, luxembourgish, \
    myanmar, tibetan, tagalog, malagasy, assamese, tatar, hawaiian, lingala, hausa, bashkir, javanese, \
    sundanese, cantonese";

/// Other English names, those that OpenAI's Whisper takes, and codes of the same languages
/// elsewhere.
const OTHERS: &[(&str, &str)] = &[
    ("burmese", "my"),
    ("castilian", "es"),
    ("cmn", "zh"),
    ("fil", "tl"),
    ("filipino", "tl"),
    ("flemish", "nl"),
    ("haitian", "ht"),
    ("in", "id"),
    ("iw", "he"),
    ("ji", "yi"),
    ("jv", "jw"),
    ("letzeburgesch", "lb"),
    ("mandarin", "zh"),
    ("mo", "ro"),
    ("moldavian", "ro"),
    ("moldovan", "ro"),
    ("nb", "no"),
    ("panjabi", "pa"),
    ("pushto", "ps"),
    ("sinhalese", "si"),
    ("valencian", "ca"),
];

/// The word with which clients ask for detection of the language.
const DETECTED: [&str; 5] = ["", "auto", "detect", "multi", "und"];

/// The code of a language as people and programs write it: a code in any case (`EN`), an English
/// name (`english`), or a tag with a region or a script (`en-US`, `zh_TW`), which Whisper does not
/// know apart. `None` where the language is to be detected: `auto`, `multi`, `und` or nothing.
///
/// An unknown language is returned in small letters, so that the model's rejection can name it.
///
/// ```
/// use hearken::language_code;
///
/// for text in ["EN", "english", "en-US", " en "] {
///     assert_eq!(language_code(text).as_deref(), Some("en"));
/// }
/// assert_eq!(language_code("auto"), None);
/// assert_eq!(language_code("Klingon").as_deref(), Some("klingon"));
/// ```
pub fn language_code(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    if DETECTED.contains(&text.as_str()) {
        return None;
    }
    let named = NAMES.split(", ").position(|name| name == text).map(|at| CODES[at]);
    let primary = text.split(['-', '_']).next().unwrap_or_default();
    let other = |text: &str| OTHERS.iter().find(|(other, _)| *other == text).map(|(_, code)| *code);
    Some(named.or_else(|| other(primary)).unwrap_or(primary).to_owned())
}

/// ISO 639-1 codes of all languages that Whisper knows, in the order of its tokens.
pub fn language_codes() -> impl Iterator<Item = &'static str> {
    CODES.into_iter()
}

/// Whisper's name of a language.
#[cfg(feature = "service")]
pub fn name(code: &str) -> Option<&'static str> {
    let at = CODES.iter().position(|known| *known == code)?;
    NAMES.split(", ").nth(at)
}

/// The language of a model that knows only one: English.
pub(crate) fn only(multilingual: bool) -> Option<&'static str> {
    (!multilingual).then_some("en")
}

/// Returns true if Whisper knows a language by this code. The last of them came with large-v3 and
/// its larger vocabulary; of an older model whisper.cpp would take another token for it.
pub(crate) fn is_known(code: &str, n_vocab: u32) -> bool {
    CODES[..if n_vocab > 51_865 { 100 } else { 99 }].contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_language_is_its_code() {
        for (text, code) in [
            ("en", "en"),
            ("EN", "en"),
            ("English", "en"),
            ("en-US", "en"),
            ("zh-TW", "zh"),
            ("zh_Hant_TW", "zh"),
            ("haitian creole", "ht"),
            ("Castilian", "es"),
            ("nb-NO", "no"),
            ("iw", "he"),
            ("klingon", "klingon"),
        ] {
            assert_eq!(language_code(text).as_deref(), Some(code), "{text}");
        }
        for text in ["", " ", "auto", "AUTO", "multi", "und"] {
            assert_eq!(language_code(text), None, "{text:?}");
        }
        // Each code and each name is itself, and each alias stands for an existing one.
        for (code, name) in CODES.iter().zip(NAMES.split(", ")) {
            assert_eq!(
                (language_code(code).as_deref(), language_code(name).as_deref()),
                (Some(*code), Some(*code))
            );
        }
        assert!(OTHERS.iter().all(|(_, code)| CODES.contains(code)));
    }

    #[cfg(feature = "service")]
    #[test]
    fn codes_and_names_go_together() {
        for (code, expected) in [
            ("en", "english"),
            ("de", "german"),
            ("no", "norwegian"),
            ("nn", "nynorsk"),
            ("haw", "hawaiian"),
            ("yue", "cantonese"),
        ] {
            assert_eq!(name(code), Some(expected));
        }
        assert_eq!(name("klingon"), None);
    }
}
