//! Messages over a WebSocket, to the server and back, in each of the protocols.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hearken::SAMPLE_RATE;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// Interfaces of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Protocol {
    /// hearken's own WebSocket
    Hearken,
    /// OpenAI Realtime: a WebSocket
    Realtime,
    /// Deepgram: a WebSocket
    Deepgram,
    /// OpenAI: files, one after the other, as fast as they are answered
    Files,
}

/// Message of a server about a stream. Times are seconds of the stream's audio.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    /// The stream is open.
    Open,
    /// There is some text of the utterance that began there.
    Text { start: f64 },
    /// Text that does not change any more; `ends` is true if it ends an utterance.
    Final { start: f64, end: f64, text: String, ends: bool },
    /// This much audio was not recognized.
    Dropped { seconds: f64 },
    /// The stream was rejected, for this reason, or with this code.
    Refused(String),
    /// The stream is complete.
    Finished,
}

impl Protocol {
    /// Address of the WebSocket.
    pub(super) fn path(self, model: Option<&str>, language: Option<&str>) -> String {
        let mut query = form(&[("model", model), ("language", language)]);
        match self {
            Self::Hearken => return "/v1/stream".to_owned(),
            Self::Realtime => return "/v1/realtime?intent=transcription".to_owned(),
            Self::Deepgram => query.insert_str(
                0,
                &format!("/v1/listen?encoding=linear16&sample_rate={SAMPLE_RATE}&interim_results=true"),
            ),
            Self::Files => return "/v1/audio/transcriptions".to_owned(),
        }
        query
    }

    /// Messages that open a stream.
    pub(super) fn start(self, model: Option<&str>, language: Option<&str>) -> Option<Message> {
        let mut start = match self {
            Self::Hearken => json!({ "type": "start", "encoding": "s16le", "sample_rate": SAMPLE_RATE }),
            Self::Realtime => {
                let mut transcription = json!({});
                set(&mut transcription, "model", model);
                set(&mut transcription, "language", language);
                let input = json!({
                    "format": { "type": "audio/pcm", "rate": SAMPLE_RATE },
                    "transcription": transcription,
                    "turn_detection": { "type": "server_vad" },
                });
                let session = json!({ "type": "transcription", "audio": { "input": input } });
                return Some(text(&json!({ "type": "session.update", "session": session })));
            }
            Self::Deepgram | Self::Files => return None,
        };
        set(&mut start, "model", model);
        set(&mut start, "language", language);
        Some(text(&start))
    }

    /// Audio.
    pub(super) fn audio(self, pcm: &[u8]) -> Message {
        match self {
            Self::Realtime => {
                text(&json!({ "type": "input_audio_buffer.append", "audio": STANDARD.encode(pcm) }))
            }
            _ => Message::binary(pcm.to_vec()),
        }
    }

    /// Messages that end a stream.
    pub(super) fn finish(self) -> Vec<Message> {
        match self {
            Self::Hearken => vec![text(&json!({ "type": "finish" }))],
            // The second is answered in any case, and so tells that the first was dealt with.
            Self::Realtime => ["commit", "clear"]
                .map(|what| text(&json!({ "type": format!("input_audio_buffer.{what}") })))
                .to_vec(),
            Self::Deepgram => vec![text(&json!({ "type": "CloseStream" }))],
            Self::Files => Vec::new(),
        }
    }
}

fn text(value: &Value) -> Message {
    Message::text(value.to_string())
}

fn set(object: &mut Value, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        object[name] = json!(value);
    }
}

/// Parameters of a query, after others.
fn form(pairs: &[(&str, Option<&str>)]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let pairs = pairs.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    pairs.map(|(name, value)| format!("&{name}={}", value.bytes().map(encode).collect::<String>())).collect()
}

/// Parser of a server's messages.
pub(super) struct Listener {
    protocol: Protocol,
    /// Items of Realtime that are not complete: name, start and end.
    items: VecDeque<(String, f64, f64)>,
    /// True if Realtime's audio was answered completely.
    cleared: bool,
}

impl Listener {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self { protocol, items: VecDeque::new(), cleared: false }
    }

    /// Parses a message of the server.
    pub(super) fn hear(&mut self, message: &str) -> Vec<Heard> {
        let Ok(message) = serde_json::from_str::<Value>(message) else {
            return vec![Heard::Refused("it does not speak JSON".to_owned())];
        };
        match self.protocol {
            Protocol::Hearken => own(&message).into_iter().collect(),
            Protocol::Deepgram => deepgram(&message).into_iter().collect(),
            Protocol::Realtime => self.realtime(&message),
            Protocol::Files => Vec::new(),
        }
    }

    fn realtime(&mut self, message: &Value) -> Vec<Heard> {
        let item = |name: &Value| {
            let name = name["item_id"].as_str().unwrap_or_default();
            self.items.iter().position(|(other, ..)| other == name)
        };
        let ms = |name: &str| number(&message[name]) / 1000.0;
        let mut heard = Vec::new();
        match message["type"].as_str().unwrap_or_default() {
            "session.updated" => heard.push(Heard::Open),
            "input_audio_buffer.speech_started" => {
                let name = message["item_id"].as_str().unwrap_or_default().to_owned();
                self.items.push_back((name, ms("audio_start_ms"), f64::NAN));
            }
            "input_audio_buffer.speech_stopped" => {
                if let Some(at) = item(message) {
                    self.items[at].2 = ms("audio_end_ms");
                }
            }
            "conversation.item.input_audio_transcription.delta" => {
                heard.extend(item(message).map(|at| Heard::Text { start: self.items[at].1 }));
            }
            "conversation.item.input_audio_transcription.completed" => {
                if let Some((_, start, end)) = item(message).and_then(|at| self.items.remove(at)) {
                    let text = message["transcript"].as_str().unwrap_or_default().to_owned();
                    heard.push(Heard::Final { start, end, text, ends: true });
                }
            }
            // The message does not state the amount.
            "conversation.item.input_audio_transcription.failed" => {
                heard.push(Heard::Dropped { seconds: 0.0 });
            }
            "input_audio_buffer.cleared" => self.cleared = true,
            "error" => heard.push(Heard::Refused(code(&message["error"]["code"]))),
            _ => {}
        }
        // With nothing to commit, the last commit is a mistake of no consequence only where turns
        // are the client's.
        if self.cleared && self.items.is_empty() {
            heard.push(Heard::Finished);
        }
        heard
    }
}

fn own(message: &Value) -> Option<Heard> {
    Some(match message["type"].as_str()? {
        "started" => Heard::Open,
        "partial" => Heard::Text { start: number(&message["utterance"]) },
        "final" => Heard::Final {
            start: number(&message["utterance"]),
            end: number(&message["end"]),
            text: message["text"].as_str()?.to_owned(),
            ends: true,
        },
        "dropped" => Heard::Dropped { seconds: number(&message["duration"]) },
        "error" => Heard::Refused(code(&message["code"])),
        "finished" => Heard::Finished,
        _ => return None,
    })
}

fn deepgram(message: &Value) -> Option<Heard> {
    Some(match message["type"].as_str()? {
        "Results" => {
            let start = number(&message["start"]);
            let text = message["channel"]["alternatives"][0]["transcript"].as_str()?.to_owned();
            match message["is_final"].as_bool()? {
                true => Heard::Final {
                    start,
                    end: start + number(&message["duration"]),
                    text,
                    ends: message["speech_final"] == true,
                },
                false => Heard::Text { start },
            }
        }
        "Metadata" => Heard::Finished,
        "Error" => Heard::Refused(code(&message["code"])),
        _ => return None,
    })
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn code(value: &Value) -> String {
    let code: String = value.as_str().unwrap_or("no code").chars().take(60).collect();
    super::super::printable(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(protocol: Protocol, messages: &[Value]) -> Vec<Heard> {
        let mut listener = Listener::new(protocol);
        messages.iter().flat_map(|message| listener.hear(&message.to_string())).collect()
    }

    #[test]
    fn each_protocol_says_the_same() {
        let heard = [
            Heard::Open,
            Heard::Text { start: 1.0 },
            Heard::Final { start: 1.0, end: 2.5, text: "go left".to_owned(), ends: true },
            Heard::Finished,
        ];
        let own = [
            json!({"type": "started"}),
            json!({"type": "speech_started", "at": 1.0}),
            json!({"type": "partial", "utterance": 1.0, "committed": [], "tentative": []}),
            json!({"type": "final", "utterance": 1.0, "end": 2.5, "text": "go left"}),
            json!({"type": "finished", "duration": 3.0}),
        ];
        assert_eq!(all(Protocol::Hearken, &own), heard);
        let result = |text: &str, is_final| {
            json!({"type": "Results", "start": 1.0, "duration": 1.5, "is_final": is_final, "speech_final": is_final,
                "channel": {"alternatives": [{"transcript": text}]}})
        };
        let deepgram = [result("go", false), result("go left", true), json!({"type": "Metadata"})];
        assert_eq!(all(Protocol::Deepgram, &deepgram), heard[1..]);
        let item = |kind: &str, more: Value| {
            let mut event = json!({"type": kind, "item_id": "i"});
            event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            event
        };
        let realtime = [
            json!({"type": "session.created"}),
            json!({"type": "session.updated"}),
            item("input_audio_buffer.speech_started", json!({"audio_start_ms": 1000})),
            item("conversation.item.input_audio_transcription.delta", json!({"delta": "go"})),
            item("input_audio_buffer.speech_stopped", json!({"audio_end_ms": 2500})),
            json!({"type": "input_audio_buffer.cleared"}),
            item("conversation.item.input_audio_transcription.completed", json!({"transcript": "go left"})),
        ];
        assert_eq!(all(Protocol::Realtime, &realtime), heard);
    }

    #[test]
    fn refusals_are_their_codes() {
        let refused = |code: &str| vec![Heard::Refused(code.to_owned())];
        assert_eq!(all(Protocol::Hearken, &[json!({"type": "error", "code": "a"})]), refused("a"));
        assert_eq!(all(Protocol::Deepgram, &[json!({"type": "Error", "code": "a\u{1b}"})]), refused("a "));
        let error = json!({"type": "error", "error": {"code": "a"}});
        assert_eq!(all(Protocol::Realtime, &[error]), refused("a"));
    }

    #[test]
    fn names_are_escaped_in_addresses() {
        let path = Protocol::Deepgram.path(Some("a&b c"), None);
        assert!(path.ends_with("&model=a%26b%20c"), "{path}");
    }
}
