//! What a session is set up for: the present form of it, and the one of the beta that many clients still speak.

use serde_json::{Value, json};

use crate::Model;
use crate::audio::{Encoding, Format, VadConfig};
use crate::server::refusal::{Refusal, quote};
use crate::session::SessionOptions;

/// Longest prompt, in bytes.
const MAX_PROMPT: usize = 4 << 10;

#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) model: Option<String>,
    language: Option<String>,
    prompt: Option<String>,
    encoding: Encoding,
    sample_rate: u32,
    /// How turns are detected; `None`: the client commits them.
    pub(super) turn: Option<Turn>,
    beta: bool,
}

/// Voice activity in OpenAI's words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    prefix_padding_ms: u32,
    silence_duration_ms: u32,
}

impl Default for Turn {
    fn default() -> Self {
        Self { prefix_padding_ms: 300, silence_duration_ms: 500 }
    }
}

impl Setup {
    pub(super) fn new(model: Option<String>, beta: bool) -> Self {
        Self {
            model,
            language: None,
            prompt: None,
            encoding: Encoding::S16Le,
            sample_rate: 24_000,
            turn: Some(Turn::default()),
            beta,
        }
    }

    pub(super) fn created_event(&self) -> &'static str {
        if self.beta { "transcription_session.created" } else { "session.created" }
    }

    pub(super) fn updated_event(&self) -> &'static str {
        if self.beta { "transcription_session.updated" } else { "session.updated" }
    }

    pub(super) fn bytes_per_second(&self) -> usize {
        self.sample_rate as usize * self.encoding.bytes()
    }

    /// The setup after an update: what the update does not name stays.
    pub(super) fn updated(&self, session: &Value) -> Result<Self, Refusal> {
        let mut setup = self.clone();
        if let Some(kind) = session.get("type").filter(|kind| *kind != "transcription") {
            return Err(Refusal::unsupported(
                "session.type",
                format!("{} sessions are not served; use type transcription", quote(&kind.to_string())),
            ));
        }
        if let Some(input) = session.pointer("/audio/input") {
            if let Some(format) = input.get("format") {
                setup.set_format(format)?;
            }
            setup.set_transcription(input.get("transcription"))?;
            setup.set_turn(input.get("turn_detection"))?;
        }
        // The beta's form of the same.
        if let Some(name) = session.get("input_audio_format") {
            let kind = match name.as_str() {
                Some("pcm16") => json!({ "type": "audio/pcm" }),
                Some("g711_ulaw") => json!({ "type": "audio/pcmu" }),
                Some("g711_alaw") => json!({ "type": "audio/pcma" }),
                _ => json!({ "type": name }),
            };
            setup.set_format(&kind)?;
        }
        setup.set_transcription(session.get("input_audio_transcription"))?;
        setup.set_turn(session.get("turn_detection"))?;
        Ok(setup)
    }

    fn set_format(&mut self, format: &Value) -> Result<(), Refusal> {
        let wrong = |message: String| Err(Refusal::invalid("session.audio.input.format", message));
        let rate = match format.get("rate") {
            None | Some(Value::Null) => None,
            Some(rate) => match rate.as_u64().and_then(|rate| u32::try_from(rate).ok()) {
                Some(rate) => Some(rate),
                None => return wrong("rate is a number of samples a second".to_owned()),
            },
        };
        let (encoding, default) = match format.get("type").and_then(Value::as_str) {
            Some("audio/pcm") => (Encoding::S16Le, 24_000),
            Some("audio/pcmu") => (Encoding::MuLaw, 8_000),
            Some("audio/pcma") => (Encoding::ALaw, 8_000),
            _ => return wrong("the format's type is audio/pcm, audio/pcmu or audio/pcma".to_owned()),
        };
        let sample_rate = rate.unwrap_or(default);
        if let Err(error) = (Format { sample_rate, channels: 1 }).validate() {
            return wrong(error.to_string());
        }
        (self.encoding, self.sample_rate) = (encoding, sample_rate);
        Ok(())
    }

    fn set_transcription(&mut self, transcription: Option<&Value>) -> Result<(), Refusal> {
        let Some(transcription) = transcription.filter(|value| !value.is_null()) else { return Ok(()) };
        let text = |name: &'static str| match transcription.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => {
                Err(Refusal::invalid("session.audio.input.transcription", format!("{name} is a text")))
            }
        };
        self.model = text("model")?.or(self.model.take());
        self.language = text("language")?.filter(|code| !code.is_empty()).or(self.language.take());
        self.prompt = text("prompt")?.filter(|prompt| !prompt.is_empty()).or(self.prompt.take());
        if self.prompt.as_ref().is_some_and(|prompt| prompt.len() > MAX_PROMPT) {
            return Err(Refusal::invalid(
                "session.audio.input.transcription",
                format!("the prompt is longer than {MAX_PROMPT} bytes; shorten it"),
            ));
        }
        Ok(())
    }

    fn set_turn(&mut self, turn: Option<&Value>) -> Result<(), Refusal> {
        let Some(turn) = turn else { return Ok(()) };
        if turn.is_null() {
            self.turn = None;
            return Ok(());
        }
        let default = Turn::default();
        let ms = |name: &str, default: u32, range: std::ops::RangeInclusive<u64>| match turn.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => {
                value.as_u64().filter(|ms| range.contains(ms)).map(|ms| ms as u32).ok_or_else(|| {
                    let (first, last) = (range.start(), range.end());
                    Refusal::invalid(
                        "session.audio.input.turn_detection",
                        format!("{name} is {first} to {last}"),
                    )
                })
            }
        };
        self.turn = Some(Turn {
            prefix_padding_ms: ms("prefix_padding_ms", default.prefix_padding_ms, 0..=10_000)?,
            silence_duration_ms: ms("silence_duration_ms", default.silence_duration_ms, 100..=60_000)?,
        });
        Ok(())
    }

    /// Whether the model can do what is asked.
    pub(super) fn check(&self, model: &Model) -> Result<(), Refusal> {
        model.can(self.language.as_deref(), false)?;
        Ok(())
    }

    /// How the session is to listen.
    pub(super) fn options(&self) -> Result<(Encoding, SessionOptions), Refusal> {
        let format = Format { sample_rate: self.sample_rate, channels: 1 }.validate()?;
        let options = SessionOptions {
            language: self.language.clone(),
            prompt: self.prompt.clone(),
            voice_activity: self.turn.map(|turn| VadConfig {
                pre_roll_ms: turn.prefix_padding_ms,
                hangover_ms: turn.silence_duration_ms,
                ..VadConfig::default()
            }),
            ..SessionOptions::new(format)
        };
        Ok((self.encoding, options))
    }

    /// The session as its client is told of it.
    pub(super) fn describe(&self, id: &str) -> Value {
        let id = format!("sess_{id}");
        let transcription = json!({ "model": self.model, "language": self.language, "prompt": self.prompt });
        let turn = self.turn.map(|turn| {
            json!({
                "type": "server_vad",
                "prefix_padding_ms": turn.prefix_padding_ms,
                "silence_duration_ms": turn.silence_duration_ms,
            })
        });
        if self.beta {
            let format = match self.encoding {
                Encoding::MuLaw => "g711_ulaw",
                Encoding::ALaw => "g711_alaw",
                _ => "pcm16",
            };
            return json!({
                "id": id,
                "object": "realtime.transcription_session",
                "input_audio_format": format,
                "input_audio_transcription": transcription,
                "turn_detection": turn,
            });
        }
        let format = match self.encoding {
            Encoding::MuLaw => json!({ "type": "audio/pcmu" }),
            Encoding::ALaw => json!({ "type": "audio/pcma" }),
            _ => json!({ "type": "audio/pcm", "rate": self.sample_rate }),
        };
        json!({
            "id": id,
            "object": "realtime.transcription_session",
            "type": "transcription",
            "audio": { "input": { "format": format, "transcription": transcription, "turn_detection": turn } },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let now = json!({ "type": "transcription", "audio": { "input": {
            "format": { "type": "audio/pcmu" },
            "transcription": { "model": "digits", "language": "en" },
            "turn_detection": { "type": "server_vad", "silence_duration_ms": 700, "threshold": 0.5 },
            "noise_reduction": null,
        } } });
        let beta = json!({
            "input_audio_format": "g711_ulaw",
            "input_audio_transcription": { "model": "digits", "language": "en" },
            "turn_detection": { "type": "server_vad", "silence_duration_ms": 700 },
        });
        for (session, is_beta) in [(now, false), (beta, true)] {
            let setup = Setup::new(None, is_beta).updated(&session).unwrap();
            let (encoding, options) = setup.options().unwrap();
            assert_eq!((encoding, options.format.sample_rate), (Encoding::MuLaw, 8_000));
            assert_eq!(options.voice_activity.unwrap().hangover_ms, 700);
            assert_eq!((setup.model.as_deref(), options.language.as_deref()), (Some("digits"), Some("en")));
            // What an update does not name stays; null is a name.
            let manual = json!({ "audio": { "input": { "turn_detection": null } } });
            let setup = setup.updated(&manual).unwrap();
            assert!(setup.turn.is_none() && setup.model.is_some());
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let input = |input: Value| json!({ "audio": { "input": input } });
        for session in [
            json!({ "type": "realtime" }),
            input(json!({ "format": { "type": "audio/mp3" } })),
            input(json!({ "format": { "type": "audio/pcm", "rate": 7 } })),
            input(json!({ "format": { "type": "audio/pcm", "rate": "fast" } })),
            input(json!({ "transcription": { "language": 7 } })),
            input(json!({ "transcription": { "prompt": "x".repeat(5000) } })),
            input(json!({ "turn_detection": { "silence_duration_ms": 0 } })),
            json!({ "input_audio_format": "mp3" }),
        ] {
            assert!(Setup::new(None, false).updated(&session).is_err(), "{session}");
        }
    }
}
