//! Settings of a client: query parameters, and those that it changes later.

use hearken::audio::{Encoding, Format, VadConfig};
use hearken::session::SessionOptions;
use serde_json::{Map, Value, json};

use super::turn::{PAUSE_MS, Thresholds};
use crate::deepgram::query::{check_keyterms, encoding, number};
use crate::openai::{field_name, languages_of};
use crate::phrases;
use crate::rejection::{Rejection, quote};
use crate::values;

/// Name of the models for English, and for all languages.
const ENGLISH: &str = "flux-general-en";
const MULTILINGUAL: &str = "flux-general-multi";

/// Settings of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setup {
    /// A model of this server; `None` for the default one.
    pub(super) model: Option<String>,
    language: Option<String>,
    pub(super) hints: Vec<String>,
    pub(super) keyterms: Vec<String>,
    pub(super) thresholds: Thresholds,
    encoding: Option<Encoding>,
    sample_rate: Option<u32>,
}

impl Setup {
    pub(super) fn parse(pairs: &[(String, String)]) -> Result<Self, Rejection> {
        let mut setup = Self {
            model: None,
            language: None,
            hints: Vec::new(),
            keyterms: Vec::new(),
            thresholds: Thresholds::default(),
            encoding: None,
            sample_rate: None,
        };
        let mut thresholds = Map::new();
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        for (name, value) in pairs.map(|(name, value)| (field_name(name), value)) {
            match name {
                "model" if value == ENGLISH => setup.language = Some("en".to_owned()),
                "model" if value == MULTILINGUAL => setup.language = None,
                "model" => setup.model = Some(value.clone()),
                "encoding" => setup.encoding = encoding(value)?,
                "sample_rate" => setup.sample_rate = Some(number("sample_rate", value)?),
                "keyterm" => setup.keyterms.push(value.clone()),
                "language_hint" => setup.hints.push(value.clone()),
                "eot_threshold" | "eager_eot_threshold" | "eot_timeout_ms" => {
                    // What is no number is refused below, as it is written.
                    let number = value.trim().parse().ok().filter(|number: &f64| number.is_finite());
                    let number = number.map_or_else(|| json!(value), Value::from);
                    thresholds.insert(name.to_owned(), number);
                }
                "profanity_filter" | "redact" if values::flag(value) != Some(false) => {
                    let name = if name == "redact" { "redact" } else { "profanity_filter" };
                    return Err(Rejection::unsupported(
                        name,
                        format!("{name} is not supported here; leave it out"),
                    ));
                }
                // Whisper writes most numbers in digits; the others concern Deepgram's accounts.
                _ => {}
            }
        }
        check_keyterms(setup.keyterms.iter().map(String::as_str))?;
        setup.thresholds = updated(setup.thresholds, &thresholds)?;
        Ok(setup)
    }

    /// The settings after a `Configure` message: what it does not name stays.
    pub(super) fn configured(&self, message: &Map<String, Value>) -> Result<Self, Rejection> {
        let mut setup = self.clone();
        let given = |name: &str| message.get(name).filter(|value| !value.is_null());
        if let Some(thresholds) = given("thresholds") {
            let thresholds = thresholds
                .as_object()
                .ok_or_else(|| Rejection::invalid("thresholds", "thresholds is an object"))?;
            setup.thresholds = updated(setup.thresholds, thresholds)?;
        }
        if let Some(keyterms) = given("keyterms") {
            setup.keyterms = texts("keyterms", keyterms)?;
            check_keyterms(setup.keyterms.iter().map(String::as_str))?;
        }
        if let Some(hints) = given("language_hints") {
            setup.hints = texts("language_hints", hints)?;
        }
        Ok(setup)
    }

    /// Encoding and options of the session. The encoding is `None` for audio in a container.
    pub(super) fn session(&self) -> Result<(Option<Encoding>, SessionOptions), Rejection> {
        let format = match (self.encoding, self.sample_rate) {
            (None, _) => Format::MODEL,
            (Some(_), Some(sample_rate)) => Format { sample_rate, channels: 1 }.validate()?,
            (Some(Encoding::MuLaw | Encoding::ALaw), None) => Format { sample_rate: 8_000, channels: 1 },
            (Some(_), None) => {
                return Err(Rejection::invalid("sample_rate", "encoding needs a sample_rate"));
            }
        };
        let (language, languages) = match &self.language {
            Some(language) => (Some(language.clone()), Vec::new()),
            None => languages_of(None, &self.hints),
        };
        let options = SessionOptions::new(format)
            .language(language)
            .languages(languages)
            .prompt(phrases::prompt(None, &self.keyterms))
            .bias(phrases::bias(&self.keyterms))
            .voice_activity(VadConfig::default().hangover_ms(PAUSE_MS))
            // An utterance is a part of a turn: the next one follows from it.
            .carry(true);
        Ok((self.encoding, options))
    }

    /// Describes thresholds for the client.
    pub(super) fn describe(&self) -> Value {
        let Thresholds { eager, end, timeout_ms } = self.thresholds;
        let rounded = |threshold: f32| (f64::from(threshold) * 1e3).round() / 1e3;
        let mut thresholds = json!({ "eot_threshold": rounded(end), "eot_timeout_ms": timeout_ms });
        if let Some(eager) = eager {
            thresholds["eager_eot_threshold"] = json!(rounded(eager));
        }
        thresholds
    }
}

/// Thresholds after those that a client names.
fn updated(mut thresholds: Thresholds, named: &Map<String, Value>) -> Result<Thresholds, Rejection> {
    let number = |name: &'static str, range: std::ops::RangeInclusive<f64>| match named.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_f64().filter(|number| range.contains(number)).map(Some).ok_or_else(|| {
            let (first, last) = (range.start(), range.end());
            let value = quote(&value.to_string());
            Rejection::invalid(name, format!("{name} is {first} to {last}, not {value}"))
        }),
    };
    if let Some(end) = number("eot_threshold", 0.5..=1.0)? {
        thresholds.end = end as f32;
    }
    if let Some(eager) = number("eager_eot_threshold", 0.3..=0.9)? {
        thresholds.eager = Some(eager as f32);
    }
    if let Some(timeout) = number("eot_timeout_ms", 500.0..=60_000.0)? {
        thresholds.timeout_ms = timeout as u64;
    }
    if thresholds.eager.is_some_and(|eager| eager > thresholds.end) {
        return Err(Rejection::invalid(
            "eager_eot_threshold",
            "eager_eot_threshold is above eot_threshold; a turn may be over before it is",
        ));
    }
    Ok(thresholds)
}

/// A text, or a list of them.
fn texts(name: &'static str, value: &Value) -> Result<Vec<String>, Rejection> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let all = match value {
        Value::Array(values) => values.iter().map(text).collect(),
        one => text(one).map(|one| vec![one]),
    };
    all.ok_or_else(|| Rejection::invalid(name, format!("{name} is a list of texts")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &[(&str, &str)]) -> Result<Setup, Rejection> {
        let pairs: Vec<_> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Setup::parse(&pairs)
    }

    #[test]
    fn query_parameters_are_understood() {
        let setup = parse(&[
            ("model", "flux-general-en"),
            ("encoding", "linear16"),
            ("sample_rate", "16000"),
            ("eot_threshold", "0.8"),
            ("eager_eot_threshold", "0.5"),
            ("eot_timeout_ms", "3000"),
            ("keyterm", "hearken"),
            ("keyterm[]", "wasm"),
            ("tag", "anything"),
            ("redact", "false"),
        ])
        .unwrap();
        assert_eq!(setup.thresholds, Thresholds { eager: Some(0.5), end: 0.8, timeout_ms: 3_000 });
        let (encoding, options) = setup.session().unwrap();
        assert_eq!((encoding, options.language.as_deref()), (Some(Encoding::S16Le), Some("en")));
        assert_eq!(options.bias.phrases().collect::<Vec<_>>(), ["hearken", "wasm"]);
        assert_eq!(
            setup.describe(),
            json!({ "eot_threshold": 0.8, "eager_eot_threshold": 0.5, "eot_timeout_ms": 3000 })
        );
        let many =
            parse(&[("model", "flux-general-multi"), ("language_hint", "de"), ("language_hint", "es")]);
        assert_eq!(many.unwrap().session().unwrap().1.languages, ["de", "es"]);
    }

    #[test]
    fn settings_change_while_it_runs_and_others_stay() {
        let setup = parse(&[("eot_threshold", "0.9"), ("keyterm", "hearken")]).unwrap();
        let message = json!({ "thresholds": { "eager_eot_threshold": 0.6 }, "keyterms": ["a", "b"] });
        let changed = setup.configured(message.as_object().unwrap()).unwrap();
        assert_eq!(changed.thresholds, Thresholds { eager: Some(0.6), end: 0.9, ..Thresholds::default() });
        assert_eq!(changed.keyterms, ["a", "b"]);
        for wrong in [
            json!({ "thresholds": { "eot_threshold": 0.4 } }),
            json!({ "thresholds": { "eager_eot_threshold": 0.95 } }),
            json!({ "thresholds": { "eot_timeout_ms": "long" } }),
            json!({ "thresholds": 1 }),
            json!({ "keyterms": [1] }),
            json!({ "keyterms": ["x".repeat(5000)] }),
        ] {
            assert!(setup.configured(wrong.as_object().unwrap()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn impossible_options_are_refused_by_name() {
        for (query, parameter) in [
            (&[("encoding", "speex")][..], "encoding"),
            (&[("eot_threshold", "much")], "eot_threshold"),
            (&[("eot_threshold", "NaN")], "eot_threshold"),
            (&[("eager_eot_threshold", "0.8")], "eager_eot_threshold"),
            (&[("eot_timeout_ms", "1")], "eot_timeout_ms"),
            (&[("redact", "pci")], "redact"),
            (&[("profanity_filter", "true")], "profanity_filter"),
        ] {
            assert_eq!(parse(query).unwrap_err().parameter(), Some(parameter), "{query:?}");
        }
        assert!(parse(&[("encoding", "linear16")]).unwrap().session().is_err(), "no rate");
    }
}
