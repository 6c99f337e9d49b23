//! Values as clients write them: those of one program are `true`, `16000` and padded base64, those
//! of another `True`, `16000.0` and base64 with line breaks.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

/// Reads `true` or `false` in any case, `1` or `0`.
pub(super) fn flag(text: &str) -> Option<bool> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("true") || text == "1" {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") || text == "0" {
        Some(false)
    } else {
        None
    }
}

/// Reads a whole number that is not negative, also one that is written as `16000.0`.
pub(super) fn whole(text: &str) -> Option<u64> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse().ok().and_then(integral))
}

/// Reads a whole number in JSON: an integer, a float without a fraction, or either of them as a
/// text.
pub(super) fn whole_json(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(integral)),
        Value::String(text) => whole(text),
        _ => None,
    }
}

fn integral(number: f64) -> Option<u64> {
    // Larger ones are not exact, and nothing here is that large.
    (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number)).then_some(number as u64)
}

/// Decodes base64 with or without padding, in the standard alphabet or that of URLs, with line
/// breaks or without.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
    const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);
    let text: Cow<'_, str> = if text.contains(|c: char| c.is_ascii_whitespace()) {
        text.chars().filter(|c| !c.is_ascii_whitespace()).collect::<String>().into()
    } else {
        text.into()
    };
    if text.contains(['-', '_']) { URL.decode(&*text) } else { PLAIN.decode(&*text) }
}

/// Writes bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes 32 hexadecimal digits as a UUID, in groups (RFC 9562).
pub(super) fn uuid(digits: &str) -> String {
    let part = |range| digits.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn booleans_have_any_case() {
        for text in ["true", "True", "TRUE", "1", " true "] {
            assert_eq!(flag(text), Some(true), "{text}");
        }
        for text in ["false", "False", "0"] {
            assert_eq!(flag(text), Some(false), "{text}");
        }
        assert_eq!(flag("maybe"), None);
    }

    #[test]
    fn whole_numbers_may_be_written_as_floats_and_texts() {
        assert_eq!((whole("16000"), whole("16000.0"), whole(" 7 ")), (Some(16_000), Some(16_000), Some(7)));
        for text in ["-1", "0.5", "fast", "", "NaN", "inf", "1e300"] {
            assert_eq!(whole(text), None, "{text}");
        }
        for value in [json!(500), json!(500.0), json!("500"), json!("500.0")] {
            assert_eq!(whole_json(&value), Some(500), "{value}");
        }
        for value in [json!(null), json!(-1), json!(0.5), json!([500]), json!(true)] {
            assert_eq!(whole_json(&value), None, "{value}");
        }
    }

    #[test]
    fn base64_is_read_as_every_client_writes_it() {
        let bytes = [0xfb, 0xff, 0xbf, 0x00];
        for text in ["+/+/AA==", "+/+/AA", "-_-_AA", "-_-_AA==", "+/+/\r\nAA==\n", "+/ +/AA"] {
            assert_eq!(base64(text).unwrap(), bytes, "{text:?}");
        }
        assert_eq!(base64("").unwrap(), b"");
        assert!(base64("no base64!").is_err());
        assert!(base64("A").is_err());
    }

    #[test]
    fn a_uuid_is_written_in_groups() {
        let bytes: Vec<u8> = (0..16).map(|byte| byte * 17).collect();
        assert_eq!(uuid(&hex(&bytes)), "00112233-4455-6677-8899-aabbccddeeff");
    }
}
