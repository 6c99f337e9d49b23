//! jambonz' custom speech to text: <https://docs.jambonz.org/guides/features/custom-stt-providers>.
//!
//! jambonz connects with a key, announces the audio, sends it, and reads texts. After `stop` it
//! waits for the rest, and for the end of the connection, which is the server's to close.

use serde::Deserialize;
use serde_json::{Value, json};

use super::transcriber::{FromProvider, Provider, Said, Start};
use crate::rejection::{Rejection, quote};

/// The only encoding that there is.
const ENCODING: &str = "LINEAR16";

pub(crate) enum Jambonz {}

/// Message of jambonz.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Message {
    #[serde(rename_all = "camelCase")]
    Start {
        encoding: String,
        sample_rate_hz: u32,
        language: Option<String>,
        #[serde(default)]
        interim_results: bool,
        #[serde(default)]
        options: Options,
    },
    Stop,
    /// Those of later versions.
    #[serde(other)]
    Other,
}

/// Options that an application sets in `customOptions.options`, and those that jambonz adds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Options {
    call_sid: Option<String>,
    channels: Option<u16>,
    hints: Value,
}

impl Options {
    /// The phrases to expect: a list, or, where they have weights, a list of objects as a text.
    fn hints(&self) -> Vec<String> {
        let unpacked = self.hints.as_str().and_then(|text| serde_json::from_str(text).ok());
        let list = unpacked.as_ref().unwrap_or(&self.hints).as_array();
        let phrase = |hint: &Value| hint.as_str().or(hint["phrase"].as_str()).map(str::to_owned);
        list.into_iter().flatten().filter_map(phrase).collect()
    }
}

impl Provider for Jambonz {
    const NAME: &'static str = "jambonz";
    const KEY: Option<&'static str> = None;

    fn parse(text: &str) -> Result<FromProvider, Rejection> {
        match super::parse::<Message>(text, "jambonz' custom speech to text")? {
            Message::Start { encoding, .. } if encoding != ENCODING => Err(Rejection::malformed(format!(
                "the call has {}; custom speech to text gets {ENCODING}",
                quote(&encoding)
            ))),
            Message::Start { sample_rate_hz, language, interim_results, options, .. } => {
                let hints = options.hints();
                Ok(FromProvider::Start(Start {
                    sample_rate: sample_rate_hz,
                    channels: options.channels,
                    language,
                    name: options.call_sid,
                    hints,
                    partials: interim_results,
                }))
            }
            Message::Stop => Ok(FromProvider::Stop),
            Message::Other => Ok(FromProvider::Other),
        }
    }

    fn text(said: &Said<'_>) -> Value {
        json!({
            "type": "transcription",
            "is_final": said.is_final,
            "alternatives": [{ "confidence": said.confidence, "transcript": said.text }],
            "language": said.language,
            // Counted from 1.
            "channel": said.channel + 1,
        })
    }

    fn error(rejection: &Rejection) -> Option<Value> {
        Some(json!({ "type": "error", "error": rejection.to_string() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(options: &str) -> Start {
        let text = format!(
            r#"{{"type":"start","language":"en-US","format":"raw","encoding":"LINEAR16","interimResults":true,"sampleRateHz":8000{options}}}"#
        );
        match Jambonz::parse(&text).unwrap() {
            FromProvider::Start(start) => start,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_start_has_the_options_of_an_application() {
        let plain = start("");
        assert_eq!((plain.sample_rate, plain.channels, plain.partials), (8_000, None, true));
        assert_eq!((plain.language.as_deref(), plain.name), (Some("en-US"), None));
        let full =
            start(r#","options":{"callSid":"c-1","channels":2,"hints":["seven","left"],"hintsBoost":5}"#);
        assert_eq!((full.name.as_deref(), full.channels), (Some("c-1"), Some(2)));
        assert_eq!(full.hints, ["seven", "left"]);
        let weighted = start(r#","options":{"hints":"[{\"phrase\":\"seven\",\"boost\":5}]"}"#);
        assert_eq!(weighted.hints, ["seven"]);
        assert_eq!(start(r#","options":{"hints":7}"#).hints, Vec::<String>::new());
        assert_eq!(Jambonz::parse(r#"{"type":"stop"}"#).unwrap(), FromProvider::Stop);
        assert_eq!(Jambonz::parse(r#"{"type":"later"}"#).unwrap(), FromProvider::Other);
        assert!(Jambonz::parse(r#"{"type":"start","encoding":"MULAW","sampleRateHz":8000}"#).is_err());
        assert!(Jambonz::parse("{}").is_err());
    }
}
