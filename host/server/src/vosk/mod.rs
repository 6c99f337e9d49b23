//! Vosk's WebSocket, as vosk-server and those that copied it speak it:
//! <https://github.com/alphacep/vosk-server>.
//!
//! A client sends its configuration, chunks of 16-bit PCM and `{"eof" : 1}`. Each chunk has exactly
//! one answer: the result of an utterance that ended, or the hypothesis for the running one.

mod message;

use std::collections::VecDeque;
use std::sync::Arc;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hearken::Word;
use hearken::audio::Encoding;
use hearken::session::SessionEvent;
use serde_json::{Map, Value};

use self::message::{FromClient, Setup, partial, success};
use super::App;
use super::keys::random_name;
use super::rejection::Rejection;
use super::socket::{Adapter, Opening, Outbox, drive_and_log};
use super::stream::{Stream, revoked};
use super::tenants::Admitted;
use super::ticket::Ticket;

/// `GET /`, where Vosk's clients connect: a WebSocket, or the page.
pub(super) async fn or_page(
    state: State<Arc<App>>,
    headers: HeaderMap,
    query: Query<Vec<(String, String)>>,
    asked: Result<Opening, WebSocketUpgradeRejection>,
) -> Response {
    match asked {
        Ok(opening) => upgrade(state, headers, query, opening).await,
        Err(_) if !headers.contains_key("sec-websocket-key") => super::page::index().into_response(),
        Err(rejection) => rejection.into_response(),
    }
}

/// Any address of a listener that is Vosk's alone.
pub(super) async fn upgrade(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    opening: Opening,
) -> Response {
    match Vosk::open(&app, &headers, &query) {
        Ok(vosk) => opening.accept(&[], move |socket| {
            let revoked = revoked(vosk.ticket.as_ref(), vosk.stream.as_ref());
            // The beginning of its name.
            let name = vosk.id[..8].to_owned();
            drive_and_log(socket, vosk, app, name, revoked)
        }),
        Err(rejection) => app.refuse(&rejection),
    }
}

/// A message of the client that has no answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    /// This number of chunks, one after the other.
    Chunks(u32),
    /// The text up to this position, in samples.
    Reset(u64),
    /// The rest. The stream's end answers it.
    End,
}

/// An utterance whose final text has not come.
#[derive(Debug, Clone, Copy)]
struct Open {
    start: u64,
    ended: bool,
}

struct Vosk {
    app: Arc<App>,
    tenant: Admitted,
    id: String,
    setup: Setup,
    /// Its place in the server, until a stream holds it.
    ticket: Option<Ticket>,
    /// Set from the first audio on.
    stream: Option<Stream>,
    owed: VecDeque<Owed>,
    open: VecDeque<Open>,
    /// Final texts that were not sent.
    finals: VecDeque<Vec<Word>>,
    /// Certain words of the oldest open utterance, and those behind them.
    committed: Vec<Word>,
    tentative: Vec<Word>,
}

impl Vosk {
    fn open(app: &Arc<App>, headers: &HeaderMap, query: &[(String, String)]) -> Result<Self, Rejection> {
        // Vosk has no keys; most of its clients can set an address, and nothing else.
        let key = query.iter().find(|(name, _)| name == "key").map(|(_, key)| key.as_str());
        let tenant = app.admit(headers, key)?;
        let config: Map<String, Value> =
            query.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        let setup = Setup::default().updated(&Value::Object(config))?;
        let (_, model) = app.models.find(&tenant, setup.model.as_deref())?;
        model.can(setup.language.as_deref(), false)?;
        let ticket = app.open(&tenant, "vosk", Some(&model))?;
        Ok(Self {
            app: Arc::clone(app),
            tenant,
            id: random_name(),
            setup,
            ticket: Some(ticket),
            stream: None,
            owed: VecDeque::new(),
            open: VecDeque::new(),
            finals: VecDeque::new(),
            committed: Vec::new(),
            tentative: Vec::new(),
        })
    }

    /// Takes a configuration, and answers where its client waits for that: where it names a
    /// language.
    fn configure(&mut self, config: &Value, out: &mut Outbox) -> Result<(), Rejection> {
        let setup = self.setup.updated(config)?;
        let (_, model) = self.app.models.find(&self.tenant, setup.model.as_deref())?;
        let asks = config.get("language").is_some_and(|language| !language.is_null());
        match model.can(setup.language.as_deref(), false) {
            Err(error) if asks => {
                let rejection = Rejection::from(error);
                self.app.note(&rejection);
                out.text(success(false));
                return Ok(());
            }
            can => can?,
        }
        let changed = setup.options()?;
        let before = self.setup.options()?;
        let (rate, language, prompt) = (changed.format, &changed.language, &changed.prompt);
        let same = (before.format, &before.language, &before.prompt) == (rate, language, prompt)
            && self.setup.model == setup.model;
        if let Some(stream) = self.stream.as_mut().filter(|_| !same) {
            stream.replace(&model, Encoding::S16Le, changed);
        }
        self.setup = setup;
        if asks {
            out.text(success(true));
        }
        Ok(())
    }

    /// The stream, which the first audio starts.
    fn started(&mut self) -> Result<&mut Stream, Rejection> {
        if self.stream.is_none() {
            let (_, model) = self.app.models.find(&self.tenant, self.setup.model.as_deref())?;
            let ticket = self.ticket.take().ok_or(Rejection::Internal)?;
            self.stream = Some(Stream::open(ticket, &model, Encoding::S16Le, self.setup.options()?)?);
        }
        self.stream.as_mut().ok_or(Rejection::Internal)
    }

    /// Answers a chunk that was taken in, unless the final text of an utterance is awaited, which
    /// would be the answer.
    fn answer_chunk(&mut self, out: &mut Outbox) -> bool {
        if let Some(words) = self.finals.pop_front() {
            out.text(self.setup.result(&words));
            return true;
        }
        if self.open.front().is_some_and(|utterance| utterance.ended) {
            return false;
        }
        out.text(partial(self.committed.iter().chain(&self.tentative)));
        true
    }

    /// All final texts that were not sent, as one.
    fn all_finals(&mut self) -> String {
        let words: Vec<Word> = self.finals.drain(..).flatten().collect();
        self.setup.result(&words)
    }
}

impl Adapter for Vosk {
    fn stream(&mut self) -> Option<&mut Stream> {
        self.stream.as_mut()
    }

    fn event(&mut self, _channel: usize, event: SessionEvent, _out: &mut Outbox) {
        match event {
            SessionEvent::SpeechStarted { position } => {
                self.open.push_back(Open { start: position, ended: false });
            }
            SessionEvent::SpeechEnded { .. } => {
                if let Some(utterance) = self.open.iter_mut().find(|utterance| !utterance.ended) {
                    utterance.ended = true;
                }
            }
            SessionEvent::Partial { committed, tentative, .. } => {
                self.committed.extend(committed);
                self.tentative = tentative;
            }
            SessionEvent::Final { words, .. } => {
                self.open.pop_front();
                self.committed.clear();
                self.tentative.clear();
                self.finals.push_back(words);
            }
            _ => {}
        }
    }

    fn settled(&mut self, out: &mut Outbox) {
        // The last chunk is not taken in as long as nothing more is read.
        if self.stream.as_ref().is_some_and(|stream| !stream.is_hungry()) {
            return;
        }
        while let Some(owed) = self.owed.front().copied() {
            match owed {
                Owed::Chunks(count) => {
                    if !self.answer_chunk(out) {
                        return;
                    }
                    if count > 1 {
                        self.owed[0] = Owed::Chunks(count - 1);
                        continue;
                    }
                }
                Owed::Reset(until) => {
                    if self.open.front().is_some_and(|utterance| utterance.start < until) {
                        return;
                    }
                    out.text(self.all_finals());
                }
                Owed::End => return,
            }
            self.owed.pop_front();
        }
    }

    fn ended(&mut self, out: &mut Outbox) {
        while let Some(owed) = self.owed.pop_front() {
            match owed {
                // Chunks that waited for a final text. The last text is that of the end.
                Owed::Chunks(count) => (0..count).for_each(|_| {
                    let words = if self.finals.len() > 1 { self.finals.pop_front() } else { None };
                    out.text(words.map_or_else(|| partial([]), |words| self.setup.result(&words)));
                }),
                Owed::Reset(_) => out.text(partial([])),
                Owed::End => {}
            }
        }
        // Also where the server ends, and no client asked for the rest.
        out.text(self.all_finals());
    }

    fn text(&mut self, text: &str, out: &mut Outbox) -> Result<(), Rejection> {
        match FromClient::parse(text)? {
            FromClient::Config(config) => self.configure(&config, out)?,
            FromClient::Reset => {
                let stream = self.started()?;
                stream.flush();
                let position = stream.position();
                self.owed.push_back(Owed::Reset(position));
            }
            FromClient::End => {
                self.started()?.finish();
                self.owed.push_back(Owed::End);
            }
            FromClient::Other if self.stream.is_some() => self.owe_chunk(),
            // Metadata.
            FromClient::Other => {}
        }
        Ok(())
    }

    fn binary(&mut self, data: Bytes, _out: &mut Outbox) -> Result<(), Rejection> {
        self.started()?.feed(data);
        self.owe_chunk();
        Ok(())
    }

    fn refused(&mut self, rejection: &Rejection, _out: &mut Outbox) -> (u16, String) {
        // Vosk has no message for it.
        (rejection.close_code(), rejection.to_string())
    }
}

impl Vosk {
    fn owe_chunk(&mut self) {
        match self.owed.back_mut() {
            Some(Owed::Chunks(count)) => *count = count.saturating_add(1),
            _ => self.owed.push_back(Owed::Chunks(1)),
        }
    }
}

/// Parses a client's message, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) fn attack(text: &str) -> Result<(), Rejection> {
    match FromClient::parse(text)? {
        FromClient::Config(config) => Setup::default().updated(&config)?.options().map(drop),
        _ => Ok(()),
    }
}
