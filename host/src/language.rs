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

/// Whether Whisper knows a language by this code. The last of them came with large-v3 and its larger vocabulary;
/// of an older model whisper.cpp would take another token for it.
pub(crate) fn is_known(code: &str, n_vocab: u32) -> bool {
    CODES[..if n_vocab > 51_865 { 100 } else { 99 }].contains(&code)
}
