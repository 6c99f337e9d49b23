//! Messages of Vosk's clients, and answers. Answers are laid out as Vosk's own library writes them,
//! so that clients that look for pieces of the text find them.

use std::fmt::Write as _;

use hearken::audio::Format;
use hearken::session::SessionOptions;
use hearken::text::sanitize_trimmed;
use hearken::{Word, seconds};
use serde_json::Value;

use crate::phrases;
use crate::rejection::{Rejection, quote};
use crate::values;
use crate::words::joined;

/// Sample rate without a client's setting [Hz]: as Vosk's server has it.
const USUAL_RATE: u32 = 8_000;
/// Word of Vosk's grammars for all that is not in it.
const ANYTHING_ELSE: &str = "[unk]";

/// A text message.
#[derive(Debug, PartialEq)]
pub(super) enum FromClient {
    Config(Value),
    /// The utterance ends here, and the stream goes on.
    Reset,
    /// No more audio comes.
    End,
    /// Metadata of programs that send some before the audio, or anything else.
    Other,
}

impl FromClient {
    pub(super) fn parse(text: &str) -> Result<Self, Rejection> {
        let Ok(Value::Object(mut message)) = serde_json::from_str(text) else {
            // Vosk's server looks for the word before it reads JSON.
            if text.contains("\"config\"") {
                return Err(Rejection::malformed(format!("{} is no configuration", quote(text))));
            }
            return Ok(Self::Other);
        };
        let is_set = |name: &str| message.get(name).is_some_and(|value| *value == 1 || *value == true);
        if is_set("eof") {
            return Ok(Self::End);
        }
        if is_set("reset") {
            return Ok(Self::Reset);
        }
        Ok(message.remove("config").map_or(Self::Other, Self::Config))
    }
}

/// Settings of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setup {
    pub(super) sample_rate: u32,
    pub(super) model: Option<String>,
    pub(super) language: Option<String>,
    phrases: Vec<String>,
    /// True if results have their words.
    words: bool,
    /// True if results are lists of alternatives, of which there is one here.
    alternatives: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            sample_rate: USUAL_RATE,
            model: None,
            language: None,
            phrases: Vec::new(),
            words: true,
            alternatives: false,
        }
    }
}

impl Setup {
    /// The settings after a configuration: members that it does not name stay.
    pub(super) fn updated(&self, config: &Value) -> Result<Self, Rejection> {
        let mut setup = self.clone();
        let given = |name: &str| config.get(name).filter(|value| !value.is_null());
        let text = |name: &str| given(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(rate) = given("sample_rate") {
            let rate =
                values::whole_json(rate).and_then(|rate| u32::try_from(rate).ok()).ok_or_else(|| {
                    Rejection::invalid(
                        "sample_rate",
                        format!("sample_rate is a number, not {}", quote(&rate.to_string())),
                    )
                })?;
            setup.sample_rate = Format { sample_rate: rate, channels: 1 }.validate()?.sample_rate;
        }
        if let Some(model) = text("model") {
            setup.model = Some(model.to_owned());
        }
        if let Some(language) = text("language") {
            setup.language = hearken::language_code(language);
        }
        if let Some(words) = given("words").or(given("show_words")) {
            setup.words = words.as_bool().unwrap_or(*words != 0);
        }
        if let Some(most) = given("max_alternatives") {
            setup.alternatives = values::whole_json(most).is_some_and(|most| most > 0);
        }
        if let Some(list) = given("phrase_list") {
            let listed = list.as_array().into_iter().flatten().filter_map(Value::as_str);
            setup.phrases = listed.filter(|phrase| *phrase != ANYTHING_ELSE).map(str::to_owned).collect();
            phrases::check("phrase_list", &setup.phrases)?;
        }
        Ok(setup)
    }

    /// Returns the options of the session.
    pub(super) fn options(&self) -> Result<SessionOptions, Rejection> {
        let format = Format { sample_rate: self.sample_rate, channels: 1 }.validate()?;
        Ok(SessionOptions::new(format)
            .language(self.language.clone())
            .prompt(phrases::prompt(None, &self.phrases))
            .bias(phrases::bias(&self.phrases)))
    }

    /// Formats a result: an utterance, or the rest at the end.
    pub(super) fn result(&self, words: &[Word]) -> String {
        let text = quoted(&joined(words));
        if self.alternatives {
            let sum: f32 = words.iter().map(|word| word.probability).sum();
            let confidence = if words.is_empty() { 1.0 } else { sum / words.len() as f32 };
            let result = if self.words { list(words, 6, false) } else { String::new() };
            return format!(
                "{{\n  \"alternatives\" : [{{\n      \"confidence\" : {confidence:.6},\n{result}      \"text\" : {text}\n    }}]\n}}"
            );
        }
        // Vosk leaves the list out of a result without words.
        let result = if self.words { list(words, 2, true) } else { String::new() };
        format!("{{\n{result}  \"text\" : {text}\n}}")
    }
}

/// Hypothesis of the running utterance.
pub(super) fn partial<'a>(words: impl IntoIterator<Item = &'a Word>) -> String {
    format!("{{\n  \"partial\" : {}\n}}", quoted(&joined(words)))
}

/// Answer that reports if a language was accepted.
pub(super) fn success(taken: bool) -> String {
    format!("{{\"success\" : {taken}}}")
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Formats the member `result`: words with their places, indented by `indent`.
fn list(words: &[Word], indent: usize, confidence: bool) -> String {
    if words.is_empty() {
        return String::new();
    }
    let (outer, inner, end) = (" ".repeat(indent), " ".repeat(indent + 4), " ".repeat(indent + 2));
    let mut out = format!("{outer}\"result\" : [");
    for (index, word) in words.iter().enumerate() {
        out.push_str(if index == 0 { "{\n" } else { ", {\n" });
        // Writing into a text does not fail.
        if confidence {
            let _ = writeln!(out, "{inner}\"conf\" : {:.6},", word.probability);
        }
        let _ = writeln!(out, "{inner}\"end\" : {:.6},", seconds(word.end));
        let _ = writeln!(out, "{inner}\"start\" : {:.6},", seconds(word.start));
        let _ = writeln!(out, "{inner}\"word\" : {}", quoted(&sanitize_trimmed(&word.text)));
        let _ = write!(out, "{end}}}");
    }
    out.push_str("],\n");
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words() -> Vec<Word> {
        vec![
            Word { start: 13_920, end: 17_760, text: "what".into(), probability: 1.0 },
            Word { start: 17_760, end: 24_000, text: "\"zero\"".into(), probability: 0.5 },
        ]
    }

    #[test]
    fn answers_are_laid_out_as_vosks_library_lays_them_out() {
        let setup = Setup::default();
        let expected = "{\n  \"result\" : [{\n      \"conf\" : 1.000000,\n      \"end\" : 1.110000,\n      \"start\" : 0.870000,\n      \
            \"word\" : \"what\"\n    }, {\n      \"conf\" : 0.500000,\n      \"end\" : 1.500000,\n      \"start\" : 1.110000,\n      \
            \"word\" : \"\\\"zero\\\"\"\n    }],\n  \"text\" : \"what \\\"zero\\\"\"\n}";
        assert_eq!(setup.result(&words()), expected);
        assert_eq!(setup.result(&[]), "{\n  \"text\" : \"\"\n}");
        assert_eq!(partial(&words()[..1]), "{\n  \"partial\" : \"what\"\n}");
        assert_eq!(partial(&[]), "{\n  \"partial\" : \"\"\n}");
        let bare = setup.updated(&json!({ "words": false })).unwrap();
        assert_eq!(bare.result(&words()[..1]), "{\n  \"text\" : \"what\"\n}");
        let several = setup.updated(&json!({ "max_alternatives": 3 })).unwrap();
        let expected = "{\n  \"alternatives\" : [{\n      \"confidence\" : 1.000000,\n      \"result\" : [{\n          \"end\" : 1.110000,\n          \
            \"start\" : 0.870000,\n          \"word\" : \"what\"\n        }],\n      \"text\" : \"what\"\n    }]\n}";
        assert_eq!(several.result(&words()[..1]), expected);
        for answer in [setup.result(&words()), several.result(&words()), several.result(&[]), success(true)] {
            serde_json::from_str::<Value>(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        }
    }

    #[test]
    fn messages_are_read_as_every_client_writes_them() {
        let parse = |text: &str| FromClient::parse(text).unwrap();
        for text in ["{\"eof\" : 1}", "{\"eof\":1}", "{\"eof\": true}"] {
            assert_eq!(parse(text), FromClient::End, "{text}");
        }
        assert_eq!(parse("{\"reset\" : 1}"), FromClient::Reset);
        for text in ["", "hello", "[1]", "{\"uuid\": \"x\"}", "{\"eof\": 0}"] {
            assert_eq!(parse(text), FromClient::Other, "{text}");
        }
        assert!(FromClient::parse("{\"config\" : {\"sample_rate\" : }").is_err());
        let rate = |config: Value| Setup::default().updated(&config).map(|setup| setup.sample_rate);
        // BigBlueButton, Jigasi, test.py.
        for config in [
            json!({ "sample_rate": "16000" }),
            json!({ "sample_rate": 16000.0 }),
            json!({ "sample_rate": 16000 }),
        ] {
            assert_eq!(rate(config).unwrap(), 16_000);
        }
        assert_eq!(rate(json!({})).unwrap(), 8_000);
        assert!(
            rate(json!({ "sample_rate": "fast" })).is_err() && rate(json!({ "sample_rate": 7 })).is_err()
        );
        let setup = Setup::default()
            .updated(&json!({ "phrase_list": ["one two", "[unk]"], "language": "de-DE" }))
            .unwrap();
        let options = setup.options().unwrap();
        assert_eq!((options.prompt.as_deref(), options.language.as_deref()), (Some("one two"), Some("de")));
    }
}
