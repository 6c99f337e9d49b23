//! Client's request before its audio.

use hearken::audio::{Encoding, Format, VadConfig};
use hearken::session::SessionOptions;
use serde_json::{Map, Value};

use crate::phrases;
use crate::rejection::{Rejection, quote};
use crate::values;

/// Wyoming's audio: 16-bit samples. Other widths are refused.
pub(super) const ENCODING: Encoding = Encoding::S16Le;

/// A `transcribe` event.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) model: Option<String>,
    pub(super) language: Option<String>,
    /// Names and terms to listen for.
    phrases: Vec<String>,
    /// Silence that ends an utterance, in milliseconds.
    silence_ms: Option<u32>,
}

impl Request {
    pub(super) fn read(data: &Map<String, Value>) -> Result<Self, Rejection> {
        let text = |name: &str| data.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let list = |name: &str| data.get(name).and_then(Value::as_array).into_iter().flatten();
        // Names first: they count more.
        let phrases = list("transcript_names").chain(list("transcript_terms")).filter_map(Value::as_str);
        let mut room = phrases::MAX_BYTES;
        let fits = |phrase: &&str| {
            // A home may have more names than a model has room for; the first ones are taken.
            let left = room.checked_sub(phrase.len() + 2);
            room = left.unwrap_or_default();
            left.is_some()
        };
        Ok(Self {
            model: text("name").map(str::to_owned),
            language: text("language").and_then(hearken::language_code),
            phrases: phrases.take_while(fits).map(str::to_owned).collect(),
            silence_ms: match text("vad_sensitivity") {
                Some("relaxed") => Some(1_200),
                Some("aggressive") => Some(300),
                // `default`, and what later versions may have.
                _ => None,
            },
        })
    }

    /// Session options for audio of the format that an event states.
    pub(super) fn options(&self, data: &Map<String, Value>) -> Result<SessionOptions, Rejection> {
        let number = |name: &'static str| {
            let value = data.get(name).unwrap_or(&Value::Null);
            values::whole_json(value).ok_or_else(|| {
                Rejection::invalid(name, format!("{name} is a number, not {}", quote(&value.to_string())))
            })
        };
        let width = number("width")?;
        if width != ENCODING.bytes() as u64 {
            return Err(Rejection::unsupported(
                "width",
                format!("samples of {width} bytes are not supported; send 16-bit samples (width 2)"),
            ));
        }
        let format = Format {
            sample_rate: u32::try_from(number("rate")?).unwrap_or(u32::MAX),
            channels: u16::try_from(number("channels")?).unwrap_or(u16::MAX),
        };
        let default = VadConfig::default();
        let hangover_ms = self.silence_ms.unwrap_or(default.hangover_ms);
        Ok(SessionOptions::new(format.validate()?)
            .language(self.language.clone())
            .prompt(phrases::prompt(None, &self.phrases))
            .bias(phrases::bias(&self.phrases))
            .voice_activity(default.hangover_ms(hangover_ms)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(data: Value) -> Request {
        Request::read(data.as_object().unwrap()).unwrap()
    }

    fn options(request: &Request, data: Value) -> Result<SessionOptions, Rejection> {
        request.options(data.as_object().unwrap())
    }

    #[test]
    fn requests_of_home_assistant_are_understood() {
        let request = request(json!({
            "language": "en-US", "vad_sensitivity": "relaxed", "context": { "a": 1 },
            "transcript_names": ["kitchen", "Grace"], "transcript_terms": ["thermostat"],
        }));
        let options = options(&request, json!({ "rate": 16000, "width": 2, "channels": 1 })).unwrap();
        assert_eq!(options.language.as_deref(), Some("en"));
        assert_eq!(options.prompt.as_deref(), Some("kitchen, Grace, thermostat"));
        assert_eq!(options.bias.phrases().collect::<Vec<_>>(), ["kitchen", "Grace", "thermostat"]);
        assert_eq!(options.voice_activity.unwrap().hangover_ms, 1_200);
        assert_eq!(options.format, Format { sample_rate: 16_000, channels: 1 });
    }

    #[test]
    fn of_many_names_the_first_are_taken() {
        let names: Vec<String> = (0..2000).map(|number| format!("name {number}")).collect();
        let request = request(json!({ "transcript_names": names, "transcript_terms": ["late"] }));
        let options = options(&request, json!({ "rate": 16000, "width": 2, "channels": 1 })).unwrap();
        let prompt = options.prompt.unwrap();
        assert!(
            prompt.starts_with("name 0, name 1") && prompt.len() <= phrases::MAX_BYTES,
            "{}",
            prompt.len()
        );
        assert!(!prompt.contains("late"));
    }

    #[test]
    fn audio_that_is_not_pcm_of_16_bits_is_refused() {
        let request = Request::default();
        for format in [
            json!({ "rate": 16000, "width": 4, "channels": 1 }),
            json!({ "rate": 7, "width": 2, "channels": 1 }),
            json!({ "rate": 16000, "width": 2, "channels": 99 }),
            json!({ "rate": "fast", "width": 2, "channels": 1 }),
            json!({}),
        ] {
            assert!(options(&request, format.clone()).is_err(), "{format}");
        }
    }
}
