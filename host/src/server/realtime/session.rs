//! A session: what its client says, and what it is told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::pending;
use serde::Deserialize;
use serde_json::{Value, json};

use super::setup::Setup;
use super::turn::Turn;
use crate::server::App;
use crate::server::admission::{Ticket, offered_protocols};
use crate::server::keys::random_name;
use crate::server::openai::error_body;
use crate::server::refusal::{Refusal, quote};
use crate::server::socket::{Adapter, Outbox};
use crate::server::stream::Stream;
use crate::server::tenants::Admitted;
use crate::session::SessionEvent;
use crate::text::sanitise_trimmed;
use crate::{SAMPLE_RATE, Word};

/// What comes before the key in the subprotocol that carries it: OpenAI's own name for it.
const KEY_PREFIX: &str = "openai-insecure-api-key.";
/// How long a client may set up its session.
const SETTING_UP: Duration = Duration::from_secs(300);

/// What a client says.
#[derive(Debug, Deserialize)]
struct FromClient {
    #[serde(rename = "type")]
    kind: String,
    event_id: Option<String>,
    session: Option<Value>,
    audio: Option<String>,
}

impl FromClient {
    fn parse(text: &str) -> Result<Self, Refusal> {
        serde_json::from_str(text).map_err(|error| {
            let error = quote(&error.to_string());
            Refusal::malformed(format!("{} is no event: {error}", quote(text)))
        })
    }

    /// Its audio.
    fn decoded(&self) -> Result<Vec<u8>, Refusal> {
        STANDARD.decode(self.audio.as_deref().unwrap_or_default()).map_err(|error| {
            Refusal::invalid("audio", format!("the audio is not base64 ({error}); encode its bytes"))
        })
    }
}

/// Gives a message that a client may send to what reads it.
#[cfg(any(test, fuzzing))]
pub(in crate::server) fn attack(text: &str) -> Result<(), Refusal> {
    let message = FromClient::parse(text)?;
    for beta in [false, true] {
        let setup = Setup::new(None, beta);
        let setup = message.session.as_ref().map_or(Ok(setup.clone()), |session| setup.updated(session))?;
        setup.describe("fuzz");
        setup.options()?;
    }
    message.decoded().map(drop)
}

/// One session of a client.
pub(super) struct Realtime {
    app: Arc<App>,
    tenant: Admitted,
    id: String,
    setup: Setup,
    /// Its place in the server, until there is a stream that holds it.
    ticket: Option<Ticket>,
    /// From the first audio on.
    stream: Option<Stream>,
    /// Audio that waits for a commit, where the client detects speech itself.
    turn: Option<Turn>,
    events: u64,
    items: u64,
    /// Items whose transcription is not complete, oldest first.
    open: VecDeque<String>,
    /// The item that was committed last.
    previous: Option<String>,
    /// Words of the oldest item that were told.
    told: usize,
    /// Voice without words that the next completed item tells of.
    unrecognized: Vec<Value>,
}

impl Realtime {
    pub(super) fn open(
        app: &Arc<App>,
        headers: &HeaderMap,
        query: &[(String, String)],
    ) -> Result<Self, Refusal> {
        let offered = offered_protocols(headers);
        let key = offered.iter().find_map(|protocol| protocol.strip_prefix(KEY_PREFIX));
        let tenant = app.admit(headers, key)?;
        let asked =
            |name: &str| query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        let beta = headers.get("openai-beta").is_some_and(|value| value.as_bytes() == b"realtime=v1");
        if asked("intent").is_some_and(|intent| intent != "transcription") {
            return Err(Refusal::unsupported("intent", "there is only intent=transcription here"));
        }
        let setup = Setup::new(asked("model").map(str::to_owned), beta);
        let (_, model) = app.models.find(&tenant, setup.model.as_deref())?;
        let ticket = app.open(&tenant, "realtime", Some(&model))?;
        Ok(Self {
            app: Arc::clone(app),
            tenant,
            id: random_name(),
            setup,
            ticket: Some(ticket),
            stream: None,
            turn: None,
            events: 0,
            items: 0,
            open: VecDeque::new(),
            previous: None,
            told: 0,
            unrecognized: Vec::new(),
        })
    }

    /// Waits until its key is not valid any more.
    pub(super) fn revoked(&self) -> impl Future<Output = ()> + Send + use<> {
        let before = self.ticket.as_ref().map(|ticket| ticket.revoked().boxed());
        before.or_else(|| Some(self.stream.as_ref()?.revoked().boxed())).unwrap_or_else(|| pending().boxed())
    }

    /// The beginning of its name, for logs.
    pub(super) fn log_name(&self) -> &str {
        &self.id[..8]
    }

    fn say(&mut self, kind: &str, mut event: Value, out: &mut Outbox) {
        self.events += 1;
        event["type"] = json!(kind);
        event["event_id"] = json!(format!("event_{}", self.events));
        out.json(&event);
    }

    /// Tells of an error that ends nothing.
    fn complain(&mut self, refusal: &Refusal, cause: Option<&str>, out: &mut Outbox) {
        self.app.note(refusal);
        let mut event = error_body(refusal);
        event["error"]["event_id"] = json!(cause);
        self.say("error", event, out);
    }

    fn take(&mut self, message: &FromClient, out: &mut Outbox) -> Result<(), Refusal> {
        match message.kind.as_str() {
            "session.update" | "transcription_session.update" => {
                let session = message.session.as_ref().ok_or_else(|| {
                    Refusal::invalid("session", "an update needs a session; send what is to change")
                })?;
                if self.stream.is_some() {
                    return Err(Refusal::invalid(
                        "session",
                        "audio has come; open another connection for other settings",
                    ));
                }
                let setup = self.setup.updated(session)?;
                let (_, model) = self.app.models.find(&self.tenant, setup.model.as_deref())?;
                setup.check(&model)?;
                self.setup = setup;
                let (kind, session) = (self.setup.updated_event(), self.setup.describe(&self.id));
                self.say(kind, json!({ "session": session }), out);
            }
            "input_audio_buffer.append" => {
                self.append(message.decoded()?)?;
            }
            "input_audio_buffer.commit" => self.commit()?,
            "input_audio_buffer.clear" => {
                self.turn = None;
                self.say("input_audio_buffer.cleared", json!({}), out);
            }
            other => {
                return Err(Refusal::malformed(format!(
                    "there is no event {} here; docs/server.md lists them",
                    quote(other)
                )));
            }
        }
        Ok(())
    }

    fn append(&mut self, audio: Vec<u8>) -> Result<(), Refusal> {
        if self.setup.turn.is_some() {
            self.started()?.feed(audio.into());
            return Ok(());
        }
        let turn =
            self.turn.get_or_insert_with(|| Turn::new(&self.tenant.share, self.setup.bytes_per_second()));
        turn.append(&audio)
    }

    fn commit(&mut self) -> Result<(), Refusal> {
        if self.setup.turn.is_some() {
            self.started()?.flush();
            return Ok(());
        }
        let turn = self.turn.take().filter(|turn| !turn.is_empty());
        let turn =
            turn.ok_or_else(|| Refusal::malformed("there is no audio to commit; append some first"))?;
        let (audio, kept) = turn.commit();
        self.started()?.feed_utterance(audio, kept);
        Ok(())
    }

    /// The stream, which the first audio starts.
    fn started(&mut self) -> Result<&mut Stream, Refusal> {
        if self.stream.is_none() {
            let (_, model) = self.app.models.find(&self.tenant, self.setup.model.as_deref())?;
            let (encoding, options) = self.setup.options()?;
            let ticket = self.ticket.take().ok_or(Refusal::Internal)?;
            self.stream = Some(Stream::open(ticket, &model, encoding, options)?);
        }
        self.stream.as_mut().ok_or(Refusal::Internal)
    }

    /// Tells words of the oldest item that were not told before.
    fn delta(&mut self, words: &[Word], out: &mut Outbox) {
        let Some(item) = self.open.front().cloned() else { return };
        let mut delta = String::new();
        for word in words {
            // Deltas, one after the other, are the transcript.
            if self.told > 0 {
                delta.push(' ');
            }
            delta.push_str(&sanitise_trimmed(&word.text));
            self.told += 1;
        }
        if !delta.is_empty() {
            let event = json!({ "item_id": item, "content_index": 0, "delta": delta });
            self.say("conversation.item.input_audio_transcription.delta", event, out);
        }
    }
}

/// Samples at 16 kHz as milliseconds.
fn ms(samples: u64) -> u64 {
    samples * 1000 / u64::from(SAMPLE_RATE)
}

impl Adapter for Realtime {
    fn stream(&mut self) -> Option<&mut Stream> {
        self.stream.as_mut()
    }

    fn connected(&mut self, out: &mut Outbox) {
        let (kind, session) = (self.setup.created_event(), self.setup.describe(&self.id));
        self.say(kind, json!({ "session": session }), out);
    }

    fn event(&mut self, event: SessionEvent, out: &mut Outbox) {
        match event {
            SessionEvent::SpeechStarted { position } => {
                self.items += 1;
                let item = format!("item_{}_{}", &self.id[..8], self.items);
                self.open.push_back(item.clone());
                if self.setup.turn.is_some() {
                    let event = json!({ "item_id": item, "audio_start_ms": ms(position) });
                    self.say("input_audio_buffer.speech_started", event, out);
                }
            }
            SessionEvent::SpeechEnded { position } => {
                let Some(item) = self.open.back().cloned() else { return };
                if self.setup.turn.is_some() {
                    let event = json!({ "item_id": item, "audio_end_ms": ms(position) });
                    self.say("input_audio_buffer.speech_stopped", event, out);
                }
                let previous = self.previous.replace(item.clone());
                let event = json!({ "item_id": item, "previous_item_id": previous });
                self.say("input_audio_buffer.committed", event, out);
            }
            SessionEvent::Partial { committed, .. } => self.delta(&committed, out),
            SessionEvent::Final { utterance, end, words } => {
                let rest = words.get(self.told..).unwrap_or_default().to_vec();
                self.delta(&rest, out);
                self.told = 0;
                let Some(item) = self.open.pop_front() else { return };
                let transcript: Vec<String> = words.iter().map(|word| sanitise_trimmed(&word.text)).collect();
                let seconds = (end - utterance) as f64 / f64::from(SAMPLE_RATE);
                let event = json!({
                    "item_id": item,
                    "content_index": 0,
                    "transcript": transcript.join(" "),
                    "usage": { "type": "duration", "seconds": seconds },
                    "unrecognized": std::mem::take(&mut self.unrecognized),
                });
                self.say("conversation.item.input_audio_transcription.completed", event, out);
            }
            SessionEvent::Dropped { reason, .. } => {
                let error = json!({ "type": "server_error", "code": "audio_dropped", "message": sanitise_trimmed(&reason) });
                let event = json!({ "item_id": self.open.front(), "content_index": 0, "error": error });
                self.say("conversation.item.input_audio_transcription.failed", event, out);
            }
            SessionEvent::Unrecognized { position, len } => {
                let seconds = |samples: u64| samples as f64 / f64::from(SAMPLE_RATE);
                self.unrecognized.push(json!({ "start": seconds(position), "end": seconds(position + len) }));
            }
            SessionEvent::Language(_) | SessionEvent::Finished { .. } => {}
        }
    }

    fn text(&mut self, text: &str, out: &mut Outbox) -> Result<(), Refusal> {
        let taken = match FromClient::parse(text) {
            Ok(message) => self.take(&message, out).map_err(|refusal| (refusal, message.event_id)),
            Err(refusal) => Err((refusal, None)),
        };
        match taken {
            // A mistake in one event is told, and the session goes on, as it does at OpenAI.
            Err((
                refusal @ (Refusal::Invalid { .. }
                | Refusal::Unsupported { .. }
                | Refusal::UnknownModel(_)
                | Refusal::Audio(_)),
                cause,
            )) => {
                self.complain(&refusal, cause.as_deref(), out);
                Ok(())
            }
            Err((refusal, _)) => Err(refusal),
            Ok(()) => Ok(()),
        }
    }

    fn binary(&mut self, _data: Bytes, out: &mut Outbox) -> Result<(), Refusal> {
        let refusal =
            Refusal::malformed("messages are text here; send audio as base64 in input_audio_buffer.append");
        self.complain(&refusal, None, out);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Refusal> {
        match &self.turn {
            Some(turn) if !turn.is_empty() => self.commit(),
            _ => Ok(()),
        }
    }

    fn refused(&mut self, refusal: &Refusal, out: &mut Outbox) -> (u16, String) {
        self.say("error", error_body(refusal), out);
        (refusal.close_code(), refusal.code().to_owned())
    }

    fn patience(&self) -> Option<Duration> {
        self.stream.is_none().then_some(SETTING_UP)
    }
}
