//! Messages to Deepgram's clients.

use std::time::SystemTime;

use hearken::formats::seconds;
use hearken::text::sanitize_trimmed;
use hearken::{Model, Word};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::style::{Style, plain};
use crate::values::{hex, uuid};

/// A word, as it is written with or without punctuation.
#[derive(Debug, Serialize)]
pub(super) struct SpokenWord {
    word: String,
    start: f64,
    end: f64,
    confidence: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    punctuated_word: Option<String>,
}

/// A text and its words.
#[derive(Debug, Serialize)]
pub(super) struct Alternative {
    pub(super) transcript: String,
    confidence: f32,
    words: Vec<SpokenWord>,
}

impl Alternative {
    pub(super) fn of(words: &[Word], style: &Style) -> Self {
        let words = style.replaced(words);
        let spoken: Vec<SpokenWord> = words.iter().filter_map(|word| spoken(word, style.punctuate)).collect();
        let written = spoken.iter().map(|word| word.punctuated_word.as_deref().unwrap_or(&word.word));
        let transcript = written.collect::<Vec<_>>().join(" ");
        let sum: f32 = spoken.iter().map(|word| word.confidence).sum();
        let confidence = if spoken.is_empty() { 0.0 } else { sum / spoken.len() as f32 };
        Self { transcript, confidence, words: spoken }
    }
}

/// `None` for punctuation alone.
fn spoken(word: &Word, punctuate: bool) -> Option<SpokenWord> {
    let text = sanitize_trimmed(&word.text);
    let plain = plain(&text);
    if plain.is_empty() {
        return None;
    }
    Some(SpokenWord {
        word: plain,
        start: seconds(word.start),
        end: seconds(word.end),
        confidence: word.probability,
        punctuated_word: punctuate.then_some(text),
    })
}

/// Model and version, for answers.
#[derive(Debug, Clone)]
pub(super) struct Recognizer {
    pub(super) uuid: String,
    pub(super) info: Value,
}

impl Recognizer {
    pub(super) fn of(name: &str, model: &Model) -> Self {
        let hash = model.checked().hash.to_hex();
        let info = json!({ "name": name, "version": format!("whisper.cpp {}", model.whisper_cpp()), "arch": "whisper" });
        Self { uuid: uuid(&hash[..32]), info }
    }
}

/// The time, as RFC 3339 has it.
pub(super) fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// A hash as hexadecimal digits.
pub(super) fn digits(hasher: Sha256) -> String {
    hex(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_punctuation_only_where_it_is_asked_for() {
        let word = |text: &str| Word { start: 16_000, end: 24_000, text: text.to_owned(), probability: 0.5 };
        let words = [word("Hello,"), word("-"), word("World!")];
        let plain = Alternative::of(&words, &Style::default());
        assert_eq!((plain.transcript.as_str(), plain.words.len(), plain.confidence), ("hello world", 2, 0.5));
        assert!(plain.words[0].punctuated_word.is_none());
        let punctuated = Alternative::of(&words, &Style::with_punctuation(true));
        assert_eq!(punctuated.transcript, "Hello, World!");
        assert_eq!((punctuated.words[1].word.as_str(), punctuated.words[1].start), ("world", 1.0));
        assert_eq!(Alternative::of(&[], &Style::with_punctuation(true)).transcript, "");
    }

    #[test]
    fn the_time_is_a_time() {
        let now = now();
        assert!(now.starts_with("20") && now.ends_with('Z') && now.len() == 24, "{now}");
    }
}
