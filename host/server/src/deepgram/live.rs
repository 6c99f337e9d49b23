//! `/v1/listen` as a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;
use hearken::audio::Format;
use hearken::formats::seconds;
use hearken::session::{SessionEvent, SessionOptions};
use hearken::{SAMPLE_RATE, Word};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::error::error_message;
use super::message::{Alternative, Recognizer, digits, now};
use super::query::Asked;
use super::request_id;
use super::upgrade::{Interface, key};
use crate::App;
use crate::rejection::{Rejection, quote};
use crate::socket::{Adapter, Outbox};
use crate::stream::{Carrier, Stream};

/// Silence of the client, KeepAlive included, that ends a stream with NET-0001.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Committed words of a running utterance are sent as final when they are this long: clients append
/// them.
const SETTLED: u64 = 5 * SAMPLE_RATE as u64;

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

pub(super) struct Live {
    id: String,
    stream: Stream,
    asked: Asked,
    recognizer: Recognizer,
    hasher: Sha256,
    /// One, or, with `multichannel`, one for each channel that is known.
    channels: Vec<Channel>,
}

/// The results of a channel.
#[derive(Default)]
struct Channel {
    /// Start of the next result [samples].
    cursor: u64,
    /// Committed words of the running utterance that were not sent as final, and the number of
    /// those that were.
    settled: Vec<Word>,
    sent: usize,
    /// End of the last word, until its `UtteranceEnd` is sent.
    last_word_end: Option<u64>,
    /// Words were sent that are not final: the next final result replaces them.
    interim: bool,
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

impl Interface for Live {
    fn open(app: &Arc<App>, headers: &HeaderMap, query: &[(String, String)]) -> Result<Self, Rejection> {
        let tenant = app.admit(headers, key(headers))?;
        let asked = Asked::parse(query)?;
        let (name, model) = app.models.find(&tenant, asked.model.as_deref())?;
        let (carrier, format) = match asked.raw()? {
            Some((encoding, format)) => (Carrier::Raw(encoding), format),
            None => (Carrier::Container, Format::MODEL),
        };
        let options = SessionOptions::new(format)
            .language(asked.language.clone())
            .prompt(asked.prompt.clone())
            .bias(asked.bias.clone())
            .voice_activity(asked.voice_activity())
            .pause(asked.pause());
        let place = app.open(&tenant, "deepgram", Some(&model))?;
        let open = if asked.multichannel { Stream::open_apart } else { Stream::open };
        let stream = open(place, &model, carrier, options)?;
        Ok(Self {
            id: request_id(),
            stream,
            recognizer: Recognizer::of(&name, &model),
            asked,
            hasher: Sha256::new(),
            channels: vec![Channel::default()],
        })
    }

    fn id(&self) -> &str {
        &self.id
    }
}

impl Live {
    /// Makes room for the results of each channel of the stream.
    fn know_channels(&mut self) {
        self.channels.resize_with(self.stream.channels(), Channel::default);
    }

    fn say(&mut self, index: usize, words: &[Word], mut part: Part, out: &mut Outbox) {
        if let (Some(first), Some(last), true) = (words.first(), words.last(), part.is_final) {
            (part.start, part.end) = (first.start, last.end);
        }
        let all = self.channels.len();
        let mut unrecognized = Vec::new();
        if let Some(channel) = self.channels.get_mut(index) {
            channel.interim = !part.is_final;
            if part.is_final {
                unrecognized = std::mem::take(&mut channel.unrecognized);
            }
        }
        let alternative = Alternative::of(words, &self.asked.style);
        out.json(&json!({
            "type": "Results",
            "channel_index": [index, all],
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

    fn partial(&mut self, index: usize, committed: Vec<Word>, tentative: &[Word], out: &mut Outbox) {
        let Some(channel) = self.channels.get_mut(index) else { return };
        channel.settled.extend(committed);
        let (start, end) = (channel.cursor, channel.settled.last().map_or(channel.cursor, |word| word.end));
        if end.saturating_sub(start) >= SETTLED {
            self.settle(index, end, false, out);
        }
        let Some(channel) = self.channels.get(index) else { return };
        let words: Vec<Word> = channel.settled.iter().chain(tentative).cloned().collect();
        if let Some(last) = words.last().filter(|_| self.asked.interim_results) {
            let part = Part {
                start: channel.cursor,
                end: last.end,
                is_final: false,
                speech_final: false,
                from_finalize: false,
            };
            self.say(index, &words, part, out);
        }
    }

    /// Sends the committed words of a running utterance as final, up to `end`; with `speech_final`
    /// also if all were sent before.
    fn settle(&mut self, index: usize, end: u64, speech_final: bool, out: &mut Outbox) {
        let Some(channel) = self.channels.get_mut(index) else { return };
        let words = std::mem::take(&mut channel.settled);
        if words.is_empty() && !speech_final {
            return;
        }
        channel.last_word_end = words.last().map(|word| word.end).or(channel.last_word_end);
        channel.sent += words.len();
        let start = std::mem::replace(&mut channel.cursor, end);
        let part = Part { start, end, is_final: true, speech_final, from_finalize: false };
        self.say(index, &words, part, out);
    }

    fn complete(&mut self, index: usize, end: u64, words: &[Word], out: &mut Outbox) {
        let busy = self.stream.is_busy(index);
        let Some(channel) = self.channels.get_mut(index) else { return };
        let rest = words.get(channel.sent..).unwrap_or_default();
        // The pause before has told all of it.
        let is_told =
            channel.sent > 0 && rest.is_empty() && !channel.interim && channel.unrecognized.is_empty();
        let from_finalize = channel.finalizing && !busy;
        // Also without words: the hypothesis before is withdrawn.
        let speech_final = self.asked.endpointing.is_some();
        let part = Part { start: channel.cursor, end, is_final: true, speech_final, from_finalize };
        channel.finalizing &= !from_finalize;
        channel.settled.clear();
        channel.sent = 0;
        channel.cursor = end;
        channel.last_word_end = words.last().map(|word| word.end).or(channel.last_word_end);
        if !is_told || from_finalize {
            self.say(index, rest, part, out);
        }
    }

    /// Says that an utterance is over, if no word came for as long as was asked by this position.
    fn utterance_end(&mut self, index: usize, position: u64, out: &mut Outbox) {
        let all = self.channels.len();
        let Some(channel) = self.channels.get_mut(index) else { return };
        let (Some(last), Some(silence)) = (channel.last_word_end, self.asked.utterance_end) else { return };
        if position >= last + silence.as_millis() as u64 * u64::from(SAMPLE_RATE) / 1000 {
            channel.last_word_end = None;
            let last = seconds(last);
            out.json(&json!({ "type": "UtteranceEnd", "channel": [index, all], "last_word_end": last }));
        }
    }
}

impl Adapter for Live {
    fn stream(&mut self) -> Option<&mut Stream> {
        Some(&mut self.stream)
    }

    fn event(&mut self, index: usize, event: SessionEvent, out: &mut Outbox) {
        self.know_channels();
        match event {
            SessionEvent::SpeechStarted { position } => {
                self.utterance_end(index, position, out);
                let all = self.channels.len();
                let Some(channel) = self.channels.get_mut(index) else { return };
                channel.last_word_end = None;
                channel.cursor = position;
                if self.asked.vad_events {
                    let (channel, timestamp) = ([index, all], seconds(position));
                    out.json(&json!({ "type": "SpeechStarted", "channel": channel, "timestamp": timestamp }));
                }
            }
            SessionEvent::Partial { committed, tentative, .. } => {
                self.partial(index, committed, &tentative, out);
            }
            SessionEvent::Paused { position, .. } => self.settle(index, position, true, out),
            SessionEvent::Final { end, words, .. } => self.complete(index, end, &words, out),
            SessionEvent::Unrecognized { position, len } => {
                let (start, duration) = (seconds(position), seconds(len));
                if let Some(channel) = self.channels.get_mut(index) {
                    channel.unrecognized.push(json!({ "start": start, "duration": duration }));
                }
            }
            _ => {}
        }
    }

    fn settled(&mut self, out: &mut Outbox) {
        self.know_channels();
        let at = self.stream.position();
        for index in 0..self.channels.len() {
            if self.stream.is_busy(index) {
                continue;
            }
            self.utterance_end(index, at, out);
            let finalizing = self.channels.get_mut(index).map(|channel| &mut channel.finalizing);
            if finalizing.is_some_and(std::mem::take) {
                // No text was left, and the client waits for the answer.
                let part =
                    Part { start: at, end: at, is_final: true, speech_final: false, from_finalize: true };
                self.say(index, &[], part, out);
            }
        }
    }

    fn text(&mut self, text: &str, _out: &mut Outbox) -> Result<(), Rejection> {
        match FromClient::parse(text)? {
            FromClient::KeepAlive => {}
            FromClient::Finalize => {
                self.know_channels();
                self.stream.flush();
                self.channels.iter_mut().for_each(|channel| channel.finalizing = true);
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
        self.know_channels();
        let mut infos = serde_json::Map::new();
        infos.insert(self.recognizer.uuid.clone(), self.recognizer.info.clone());
        out.json(&json!({
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.id,
            "sha256": digits(std::mem::take(&mut self.hasher)),
            "created": now(),
            "duration": seconds(self.stream.position()),
            "channels": self.channels.len(),
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
