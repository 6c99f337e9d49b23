//! The languages that Whisper has tokens for.

/// Their codes, in the order of Whisper's tokens (`g_lang` in whisper.cpp).
const CODES: [&str; 100] = [
    "en", "zh", "de", "es", "ru", "ko", "fr", "ja", "pt", "tr", "pl", "ca", "nl", "ar", "sv", "it", "id",
    "hi", "fi", "vi", "he", "uk", "el", "ms", "cs", "ro", "da", "hu", "ta", "no", "th", "ur", "hr", "bg",
    "lt", "la", "mi", "ml", "cy", "sk", "te", "fa", "lv", "bn", "sr", "az", "sl", "kn", "et", "mk", "br",
    "eu", "is", "hy", "ne", "mn", "bs", "kk", "sq", "sw", "gl", "mr", "pa", "si", "km", "sn", "yo", "so",
    "af", "oc", "ka", "be", "tg", "sd", "gu", "am", "yi", "lo", "uz", "fo", "ht", "ps", "tk", "nn", "mt",
    "sa", "lb", "my", "bo", "tl", "mg", "as", "tt", "haw", "ln", "ha", "ba", "jw", "su", "yue",
];

/// What Whisper calls them, in the same order.
#[cfg(feature = "server")]
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

/// What Whisper calls a language.
#[cfg(feature = "server")]
pub(crate) fn name(code: &str) -> Option<&'static str> {
    let at = CODES.iter().position(|known| *known == code)?;
    NAMES.split(", ").nth(at)
}

/// Whether Whisper knows a language by this code. The last of them came with large-v3 and its larger vocabulary;
/// of an older model whisper.cpp would take another token for it.
pub(crate) fn is_known(code: &str, n_vocab: u32) -> bool {
    CODES[..if n_vocab > 51_865 { 100 } else { 99 }].contains(&code)
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

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
