//! Names and terms to listen for, as each protocol has them.
//!
//! They bias the decoder, and are told to it as text that came before, too: together they recognize
//! more of them than each does by itself (docs/evaluation.md).

use hearken::Bias;

use super::rejection::Rejection;

/// Maximum length of the phrases of a request, in bytes: more than fits into a prompt.
pub(super) const MAX_BYTES: usize = 4 << 10;

/// A prompt with the phrases behind it.
pub(super) fn prompt(prompt: Option<String>, phrases: &[String]) -> Option<String> {
    let phrases = (!phrases.is_empty()).then(|| phrases.join(", "));
    let all: Vec<String> = prompt.into_iter().chain(phrases).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

/// Checks that phrases are no more than a request may have.
pub(super) fn check(parameter: &'static str, phrases: &[String]) -> Result<(), Rejection> {
    if phrases.iter().map(String::len).sum::<usize>() > MAX_BYTES {
        return Err(Rejection::invalid(
            parameter,
            format!("the {parameter} are longer than {MAX_BYTES} bytes; send fewer"),
        ));
    }
    Ok(())
}

/// A bias to phrases. Those that are too long to be one are left out: they are only text of the
/// prompt.
pub(super) fn bias<'a>(phrases: impl IntoIterator<Item = &'a String>) -> Bias {
    weighted(phrases.into_iter().map(|phrase| (phrase.as_str(), 1.0)))
}

/// A bias to phrases with weights, as [`bias`].
pub(super) fn weighted<'a>(phrases: impl IntoIterator<Item = (&'a str, f32)>) -> Bias {
    let mut bias = Bias::new();
    for (phrase, weight) in phrases {
        // As many as a list has room for.
        let _ = bias.add(phrase, weight.clamp(0.0, Bias::MAX_WEIGHT));
    }
    bias
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_a_bias_and_the_end_of_the_prompt() {
        let phrases = ["hearken".to_owned(), "y".repeat(300), "wasm".to_owned()];
        assert_eq!(bias(&phrases).phrases().collect::<Vec<_>>(), ["hearken", "wasm"]);
        assert_eq!(prompt(Some("Speech.".into()), &phrases[..1]).as_deref(), Some("Speech. hearken"));
        assert_eq!((prompt(None, &[]), bias(&[]).len()), (None, 0));
        let none: Vec<(&str, f32)> = vec![("a", -1.0), ("b", f32::NAN), ("c", 99.0)];
        assert_eq!(weighted(none).phrases().collect::<Vec<_>>(), ["c"]);
        assert!(check("keywords", &vec!["x".repeat(1 << 10); 4]).is_ok());
        let error = check("keywords", &vec!["x".repeat(1 << 10); 5]).unwrap_err();
        assert_eq!(error.parameter(), Some("keywords"));
    }
}
