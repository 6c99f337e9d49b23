//! `/v1/listen` as a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::error::{error_message, refused};
use super::message::{Alternative, Recognizer, digits, now};
use super::query::Asked;
use super::request_id;
use crate::audio::Format;
use crate::formats::seconds;
use crate::server::App;
use crate::server::listener::Peer;
use crate::server::rejection::{Rejection, quote};
use crate::server::socket::{Adapter, Outbox, drive, limited};
use crate::server::stream::{Carrier, Stream};
use crate::server::ticket::offered_protocols;
use crate::session::{SessionEvent, SessionOptions};
use crate::{SAMPLE_RATE, Word};

/// Silence of the client, KeepAlive included, that ends a stream with NET-0001.
const PATIENCE: Duration = Duration::from_secs(10);
/// Committed words of a running utterance are sent as final when they are this long: clients append
/// them.
const SETTLED: u64 = 5 * SAMPLE_RATE as u64;

pub(super) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let live = match Live::open(&app, &headers, &query) {
        Ok(live) => live,
        Err(rejection) => return refused(&app, &rejection),
    };
    let id = live.id.clone();
    let mut response = limited(upgrade).protocols(["token"]).on_upgrade(move |socket| async move {
        serve(app, live, socket).await;
        drop(peer);
    });
    if let Ok(id) = id.parse() {
        response.headers_mut().insert("dg-request-id", id);
    }
    response
}

async fn serve(app: Arc<App>, mut live: Live, mut socket: WebSocket) {
    let revoked = live.stream.revoked();
    let ended = drive(&mut socket, &mut live, &app, &Notify::new(), revoked).await;
    tracing::info!(stream = live.id, "{ended:?}");
}

/// Text message of a client.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum FromClient {
    KeepAlive,
    Finalize,
    CloseStream,
}

impl FromClient {
    fn parse(text: &str) -> Result<Self, Rejection> {
        serde_json::from_str(text).map_err(|error| {
            Rejection::malformed(format!(
                "{} is no control message: {}",
                quote(text),
                quote(&error.to_string())
            ))
        })
    }
}

/// Parses a message of a client, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) fn attack(text: &str) -> Result<(), Rejection> {
    FromClient::parse(text).map(drop)
}

struct Live {
    id: String,
    stream: Stream,
    asked: Asked,
    recognizer: Recognizer,
    hasher: Sha256,
    /// Start of the next result [samples].
    cursor: u64,
    /// Committed words of the running utterance that were not sent as final, and the number of
    /// those that were.
    settled: Vec<Word>,
    sent: usize,
    /// End of the last word, until its `UtteranceEnd` is sent.
    last_word_end: Option<u64>,
    /// `Finalize` came, and is not answered.
    finalizing: bool,
    /// Voice without words that the next final result tells of.
    unrecognized: Vec<Value>,
}

/// Flags of a result, besides its words.
#[derive(Clone, Copy)]
struct Part {
    start: u64,
    end: u64,
    is_final: bool,
    speech_final: bool,
    from_finalize: bool,
}

impl Live {
    fn open(app: &Arc<App>, headers: &HeaderMap, query: &[(String, String)]) -> Result<Self, Rejection> {
        let offered = offered_protocols(headers);
        let key = match offered.as_slice() {
            [scheme, key, ..]
                if scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer") =>
            {
                Some(*key)
            }
            _ => None,
        };
        let tenant = app.admit(headers, key)?;
        let asked = Asked::parse(query)?;
        if asked.multichannel {
            return Err(Rejection::unsupported(
                "multichannel",
                "multichannel is for recordings; open a stream for each channel",
            ));
        }
        let (name, model) = app.models.find(&tenant, asked.model.as_deref())?;
        let (carrier, format) = match asked.raw()? {
            Some((encoding, format)) => (Carrier::Raw(encoding), format),
            None => (Carrier::Container, Format::MODEL),
        };
        let options = SessionOptions {
            language: asked.language.clone(),
            prompt: asked.prompt.clone(),
            voice_activity: Some(asked.voice_activity()),
            ..SessionOptions::new(format)
        };
        let ticket = app.open(&tenant, "deepgram", Some(&model))?;
        Ok(Self {
            id: request_id(),
            stream: Stream::open(ticket, &model, carrier, options)?,
            recognizer: Recognizer::of(&name, &model),
            asked,
            hasher: Sha256::new(),
            cursor: 0,
            settled: Vec::new(),
            sent: 0,
            last_word_end: None,
            finalizing: false,
            unrecognized: Vec::new(),
        })
    }

    fn say(&mut self, words: &[Word], mut part: Part, out: &mut Outbox) {
        if let (Some(first), Some(last), true) = (words.first(), words.last(), part.is_final) {
            (part.start, part.end) = (first.start, last.end);
        }
        let unrecognized = if part.is_final { std::mem::take(&mut self.unrecognized) } else { Vec::new() };
        let alternative = Alternative::of(words, &self.asked.style);
        out.json(&json!({
            "type": "Results",
            "channel_index": [0, 1],
            "start": seconds(part.start),
            "duration": seconds(part.end.saturating_sub(part.start)),
            "is_final": part.is_final,
            "speech_final": part.speech_final,
            "from_finalize": part.from_finalize,
            "unrecognized": unrecognized,
            "channel": { "alternatives": [alternative] },
            "metadata": {
                "request_id": self.id,
                "model_uuid": self.recognizer.uuid,
                "model_info": self.recognizer.info,
            },
        }));
    }

    fn partial(&mut self, committed: Vec<Word>, tentative: &[Word], out: &mut Outbox) {
        self.settled.extend(committed);
        let end = self.settled.last().map_or(self.cursor, |word| word.end);
        if end.saturating_sub(self.cursor) >= SETTLED {
            let words = std::mem::take(&mut self.settled);
            let part =
                Part { start: self.cursor, end, is_final: true, speech_final: false, from_finalize: false };
            self.say(&words, part, out);
            self.sent += words.len();
            self.cursor = end;
        }
        let words: Vec<Word> = self.settled.iter().chain(tentative).cloned().collect();
        if let Some(last) = words.last().filter(|_| self.asked.interim_results) {
            let part = Part {
                start: self.cursor,
                end: last.end,
                is_final: false,
                speech_final: false,
                from_finalize: false,
            };
            self.say(&words, part, out);
        }
    }

    fn complete(&mut self, end: u64, words: &[Word], out: &mut Outbox) {
        let rest = words.get(self.sent..).unwrap_or_default();
        let from_finalize = self.finalizing && !self.stream.is_busy();
        // Also without words: the hypothesis before is withdrawn.
        let speech_final = self.asked.endpointing.is_some();
        self.say(rest, Part { start: self.cursor, end, is_final: true, speech_final, from_finalize }, out);
        self.finalizing &= !from_finalize;
        self.settled.clear();
        self.sent = 0;
        self.cursor = end;
        self.last_word_end = words.last().map(|word| word.end).or(self.last_word_end);
    }

    /// Says that an utterance is over, if no word came for as long as was asked by this position.
    fn utterance_end(&mut self, position: u64, out: &mut Outbox) {
        let (Some(last), Some(silence)) = (self.last_word_end, self.asked.utterance_end) else { return };
        if position >= last + silence.as_millis() as u64 * u64::from(SAMPLE_RATE) / 1000 {
            self.last_word_end = None;
            out.json(&json!({ "type": "UtteranceEnd", "channel": [0, 1], "last_word_end": seconds(last) }));
        }
    }
}

impl Adapter for Live {
    fn stream(&mut self) -> Option<&mut Stream> {
        Some(&mut self.stream)
    }

    fn event(&mut self, event: SessionEvent, out: &mut Outbox) {
        match event {
            SessionEvent::SpeechStarted { position } => {
                self.utterance_end(position, out);
                self.last_word_end = None;
                self.cursor = position;
                if self.asked.vad_events {
                    let timestamp = seconds(position);
                    out.json(&json!({ "type": "SpeechStarted", "channel": [0, 1], "timestamp": timestamp }));
                }
            }
            SessionEvent::Partial { committed, tentative, .. } => self.partial(committed, &tentative, out),
            SessionEvent::Final { end, words, .. } => self.complete(end, &words, out),
            SessionEvent::Unrecognized { position, len } => {
                let (start, duration) = (seconds(position), seconds(len));
                self.unrecognized.push(json!({ "start": start, "duration": duration }));
            }
            SessionEvent::SpeechEnded { .. }
            | SessionEvent::Language(_)
            | SessionEvent::Dropped { .. }
            | SessionEvent::Finished { .. } => {}
        }
    }

    fn settled(&mut self, out: &mut Outbox) {
        if self.stream.is_busy() {
            return;
        }
        self.utterance_end(self.stream.position(), out);
        if std::mem::take(&mut self.finalizing) {
            // No text was left, and the client waits for the answer.
            let at = self.stream.position();
            let part = Part { start: at, end: at, is_final: true, speech_final: false, from_finalize: true };
            self.say(&[], part, out);
        }
    }

    fn text(&mut self, text: &str, _out: &mut Outbox) -> Result<(), Rejection> {
        match FromClient::parse(text)? {
            FromClient::KeepAlive => {}
            FromClient::Finalize => {
                self.stream.flush();
                self.finalizing = true;
            }
            FromClient::CloseStream => self.stream.finish(),
        }
        Ok(())
    }

    fn binary(&mut self, data: Bytes, _out: &mut Outbox) -> Result<(), Rejection> {
        if data.is_empty() {
            // How streams were closed before there was CloseStream.
            self.stream.finish();
        } else {
            self.hasher.update(&data);
            self.stream.feed(data);
        }
        Ok(())
    }

    fn ended(&mut self, out: &mut Outbox) {
        let mut infos = serde_json::Map::new();
        infos.insert(self.recognizer.uuid.clone(), self.recognizer.info.clone());
        out.json(&json!({
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.id,
            "sha256": digits(std::mem::take(&mut self.hasher)),
            "created": now(),
            "duration": seconds(self.stream.position()),
            "channels": 1,
            "models": [self.recognizer.uuid],
            "model_info": Value::Object(infos),
        }));
    }

    fn refused(&mut self, rejection: &Rejection, out: &mut Outbox) -> (u16, String) {
        let (message, reason) = error_message(rejection);
        out.json(&message);
        (if matches!(rejection, Rejection::TooSlow) { 1011 } else { rejection.close_code() }, reason)
    }

    fn patience(&self) -> Option<Duration> {
        Some(PATIENCE)
    }
}
