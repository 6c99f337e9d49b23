//! Vapi's custom transcriber: <https://docs.vapi.ai/customization/custom-transcriber>.
//!
//! Vapi connects, announces the audio, and sends it: the customer on the first channel, the
//! assistant on the second. It reads a text of either, which is partial or final, and ends the
//! conversation by closing the connection.

use serde::Deserialize;
use serde_json::{Value, json};

use super::transcriber::{FromProvider, Provider, Said, Start};
use crate::rejection::{Rejection, quote};

/// The only encoding that there is.
const ENCODING: &str = "linear16";

pub(crate) enum Vapi {}

/// Message of Vapi.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Message {
    #[serde(rename_all = "camelCase")]
    Start { encoding: String, sample_rate: u32, channels: u16 },
    /// Texts of the assistant, and those of later versions.
    #[serde(other)]
    Other,
}

impl Provider for Vapi {
    const NAME: &'static str = "vapi";
    const KEY: Option<&'static str> = Some("x-vapi-secret");

    fn parse(text: &str) -> Result<FromProvider, Rejection> {
        match super::parse::<Message>(text, "Vapi's custom transcriber")? {
            Message::Start { encoding, .. } if encoding != ENCODING => Err(Rejection::malformed(format!(
                "the call has {}; a custom transcriber gets {ENCODING}",
                quote(&encoding)
            ))),
            Message::Start { sample_rate, channels, .. } => Ok(FromProvider::Start(Start {
                sample_rate,
                channels: Some(channels),
                partials: true,
                ..Start::default()
            })),
            Message::Other => Ok(FromProvider::Other),
        }
    }

    fn text(said: &Said<'_>) -> Value {
        json!({
            "type": "transcriber-response",
            "transcription": said.text,
            "channel": if said.channel == 0 { "customer" } else { "assistant" },
            "transcriptType": if said.is_final { "final" } else { "partial" },
        })
    }

    fn error(_rejection: &Rejection) -> Option<Value> {
        // Nothing but the close frame tells it.
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_states_the_format_and_other_messages_are_left_alone() {
        let start =
            r#"{"type":"start","encoding":"linear16","container":"raw","sampleRate":16000,"channels":2}"#;
        let FromProvider::Start(start) = Vapi::parse(start).unwrap() else { panic!("a start") };
        assert_eq!((start.sample_rate, start.channels, start.partials), (16_000, Some(2), true));
        assert_eq!(Vapi::parse(r#"{"type":"model-output","message":"x"}"#).unwrap(), FromProvider::Other);
        let opus = r#"{"type":"start","encoding":"opus","sampleRate":16000,"channels":2}"#;
        assert!(Vapi::parse(opus).unwrap_err().to_string().contains("linear16"));
        assert!(Vapi::parse("start").is_err());
        assert!(Vapi::parse(r#"{"type":"start"}"#).is_err());
    }
}
