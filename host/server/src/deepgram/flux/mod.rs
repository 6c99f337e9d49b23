//! Flux, `/v2/listen`: turns of a conversation, as Deepgram's clients for voice agents speak it:
//! <https://developers.deepgram.com/reference/speech-to-text/listen-flux>.

mod query;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;
use hearken::Model;
use hearken::formats::seconds;
use hearken::session::SessionEvent;
use hearken::text::sanitize_trimmed;
use serde_json::{Map, Value, json};

use self::query::Setup;
use self::turn::{Event, Trigger, Turn};
use super::error::code;
use super::request_id;
use super::upgrade::{Interface, key};
use crate::App;
use crate::rejection::{Rejection, quote};
use crate::socket::{Adapter, Outbox};
use crate::stream::{Carrier, Stream};

/// Text message of a client.
#[derive(Debug)]
enum FromClient {
    Configure(Map<String, Value>),
    ForceEndTurn,
    KeepAlive,
    CloseStream,
}

impl FromClient {
    fn parse(text: &str) -> Result<Self, Rejection> {
        let unknown = || Rejection::malformed(format!("{} is no control message", quote(text)));
        let Ok(Value::Object(message)) = serde_json::from_str(text) else { return Err(unknown()) };
        match message.get("type").and_then(Value::as_str) {
            Some("Configure") => Ok(Self::Configure(message)),
            Some("ForceEndTurn") => Ok(Self::ForceEndTurn),
            Some("KeepAlive") => Ok(Self::KeepAlive),
            Some("CloseStream") => Ok(Self::CloseStream),
            _ => Err(unknown()),
        }
    }
}

/// Parses a client's query and message, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) fn attack(query: &[(String, String)], text: &str) -> Result<(), Rejection> {
    let setup = Setup::parse(query)?;
    setup.session()?;
    if let FromClient::Configure(message) = FromClient::parse(text)? {
        setup.configured(&message)?.session()?;
    }
    Ok(())
}

pub(super) struct Flux {
    id: String,
    stream: Stream,
    model: Model,
    setup: Setup,
    /// The session has other settings than the client wants: it is replaced in the next silence.
    is_changed: bool,
    turn: Turn,
    /// The language that was detected last.
    language: Option<String>,
    /// Start of the turn [samples].
    start: u64,
    /// Number of the next message.
    sequence: u64,
}

impl Interface for Flux {
    fn open(app: &Arc<App>, headers: &HeaderMap, query: &[(String, String)]) -> Result<Self, Rejection> {
        let tenant = app.admit(headers, key(headers))?;
        let setup = Setup::parse(query)?;
        let (_, model) = app.models.find(&tenant, setup.model.as_deref())?;
        let (encoding, options) = setup.session()?;
        model.can(options.language.as_deref(), false)?;
        let place = app.open(&tenant, "deepgram", Some(&model))?;
        let stream = Stream::open(place, &model, carrier(encoding), options)?;
        let turn = Turn::new(setup.thresholds);
        Ok(Self {
            id: request_id(),
            stream,
            model,
            setup,
            is_changed: false,
            turn,
            language: None,
            start: 0,
            sequence: 0,
        })
    }

    fn id(&self) -> &str {
        &self.id
    }
}

impl Flux {
    /// Sends a message with its number.
    fn say(&mut self, mut message: Value, out: &mut Outbox) {
        message["request_id"] = json!(self.id);
        message["sequence_id"] = json!(self.sequence);
        self.sequence += 1;
        out.json(&message);
    }

    /// Tells what happened in the turn.
    fn tell(&mut self, event: Option<Event>, out: &mut Outbox) {
        let Some(event) = event else { return };
        let position = self.stream.position();
        let name = match event {
            Event::Start => "StartOfTurn",
            Event::Update => "Update",
            Event::EagerEnd => "EagerEndOfTurn",
            Event::Resumed => "TurnResumed",
            Event::End(_) => "EndOfTurn",
        };
        let (mut words, mut texts) = (Vec::new(), Vec::new());
        for word in self.turn.words() {
            let text = sanitize_trimmed(&word.text);
            if !text.is_empty() {
                let (start, end) = (seconds(word.start), seconds(word.end));
                words.push(
                    json!({ "word": text, "confidence": word.probability, "start": start, "end": end }),
                );
                texts.push(text);
            }
        }
        let mut message = json!({
            "type": "TurnInfo",
            "event": name,
            "turn_index": self.turn.index,
            "audio_window_start": seconds(self.start),
            "audio_window_end": seconds(position),
            "transcript": texts.join(" "),
            "words": words,
            "end_of_turn_confidence": self.turn.confidence(position),
        });
        if let Event::End(trigger) = event {
            message["trigger"] = json!(match trigger {
                Trigger::Model => "model",
                Trigger::Manual => "manual",
                Trigger::Timeout => "timeout",
            });
        }
        if let Some(language) = &self.language {
            message["languages"] = json!([language]);
            if !self.setup.hints.is_empty() {
                message["languages_hinted"] = json!(self.setup.hints);
            }
        }
        self.say(message, out);
        if matches!(event, Event::End(_)) {
            self.turn.next();
            self.start = position;
        }
    }

    /// Takes other settings. Mistakes are answered, and the stream goes on as it was.
    fn configure(&mut self, message: &Map<String, Value>, out: &mut Outbox) {
        let checked = self.setup.configured(message).and_then(|setup| {
            let (_, options) = setup.session()?;
            options.languages.iter().try_for_each(|language| self.model.can(Some(language), false))?;
            Ok(setup)
        });
        match checked {
            Ok(setup) => {
                let listens = |setup: &Setup| (setup.keyterms.clone(), setup.hints.clone());
                self.is_changed |= listens(&self.setup) != listens(&setup);
                self.turn.thresholds = setup.thresholds;
                self.setup = setup;
                let setup = &self.setup;
                let message = json!({
                    "type": "ConfigureSuccess",
                    "thresholds": setup.describe(),
                    "keyterms": setup.keyterms,
                    "language_hints": setup.hints,
                });
                self.say(message, out);
            }
            Err(rejection) => {
                let message = json!({
                    "type": "ConfigureFailure",
                    "code": code(&rejection),
                    "description": rejection.to_string(),
                });
                self.say(message, out);
            }
        }
    }
}

fn carrier(encoding: Option<hearken::audio::Encoding>) -> Carrier {
    encoding.map_or(Carrier::Container, Carrier::Raw)
}

impl Adapter for Flux {
    fn stream(&mut self) -> Option<&mut Stream> {
        Some(&mut self.stream)
    }

    fn connected(&mut self, out: &mut Outbox) {
        self.say(json!({ "type": "Connected" }), out);
    }

    fn event(&mut self, _channel: usize, event: SessionEvent, out: &mut Outbox) {
        let event = match event {
            SessionEvent::SpeechStarted { .. } => self.turn.speak(),
            SessionEvent::Partial { committed, tentative, .. } => self.turn.hear(committed, tentative),
            SessionEvent::Final { end, words, .. } => self.turn.complete(words, end),
            SessionEvent::Language(language) => {
                self.language = Some(language.code);
                None
            }
            _ => None,
        };
        self.tell(event, out);
    }

    fn settled(&mut self, out: &mut Outbox) {
        let is_busy = self.stream.is_busy(0);
        let event = self.turn.wait(self.stream.position(), is_busy);
        self.tell(event, out);
        if !is_busy
            && std::mem::take(&mut self.is_changed)
            && let Ok((encoding, options)) = self.setup.session()
        {
            self.stream.replace(&self.model, carrier(encoding), options);
        }
    }

    fn text(&mut self, text: &str, out: &mut Outbox) -> Result<(), Rejection> {
        match FromClient::parse(text)? {
            FromClient::Configure(message) => self.configure(&message, out),
            FromClient::ForceEndTurn => {
                self.turn.force();
                self.stream.flush();
            }
            FromClient::KeepAlive => {}
            FromClient::CloseStream => self.stream.finish(),
        }
        Ok(())
    }

    fn binary(&mut self, data: Bytes, _out: &mut Outbox) -> Result<(), Rejection> {
        self.stream.feed(data);
        Ok(())
    }

    fn ended(&mut self, out: &mut Outbox) {
        // What was said last is a turn, though nobody waits for its end.
        self.turn.force();
        let event = self.turn.wait(self.stream.position(), false);
        self.tell(event, out);
    }

    fn refused(&mut self, rejection: &Rejection, out: &mut Outbox) -> (u16, String) {
        let message =
            json!({ "type": "Error", "code": code(rejection), "description": rejection.to_string() });
        self.say(message, out);
        (rejection.close_code(), code(rejection).to_owned())
    }

    fn patience(&self) -> Option<Duration> {
        Some(super::live::PATIENCE)
    }
}
