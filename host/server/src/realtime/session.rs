//! A Realtime session: the client's events and the server's.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use bytes::Bytes;
use hearken::session::SessionEvent;
use hearken::text::sanitize_trimmed;
use hearken::{SAMPLE_RATE, Word, seconds};
use serde::Deserialize;
use serde_json::{Value, json};

use super::pause::Level;
use super::setup::Setup;
use super::turns::{News, Turns};
use crate::App;
use crate::inflow::Inflow;
use crate::keys::random_name;
use crate::openai::{Heard, LogProb, error_body};
use crate::rejection::{Rejection, quote};
use crate::socket::{Adapter, Outbox};
use crate::stream::{Stream, revoked};
use crate::tenants::{Admitted, Tenant};
use crate::ticket::{Ticket, offered_protocols};
use crate::values;
use crate::words::joined;

/// Prefix of the key in the subprotocol that carries it: OpenAI's own name for it.
const KEY_PREFIX: &str = "openai-insecure-api-key.";
/// Time limit for a client to set up its session.
const SETTING_UP: Duration = Duration::from_secs(300);
/// A commit in the middle of speech ends the utterance when no audio comes for this time,
const AWAITED: Duration = Duration::from_millis(600);
/// or when this much has come [samples]: until then speech goes on, and no word is cut.
const MOST_AWAITED: u64 = 3 * SAMPLE_RATE as u64;

/// Event of a client.
#[derive(Debug, Deserialize)]
struct FromClient<'a> {
    #[serde(rename = "type")]
    kind: String,
    event_id: Option<String>,
    session: Option<Value>,
    /// Megabytes, which are not copied.
    #[serde(borrow, default)]
    audio: Cow<'a, str>,
}

impl<'a> FromClient<'a> {
    fn parse(text: &'a str) -> Result<Self, Rejection> {
        serde_json::from_str(text).map_err(|error| {
            let error = quote(&error.to_string());
            Rejection::malformed(format!("{} is no event: {error}", quote(text)))
        })
    }

    /// Decodes its audio.
    fn decoded(&self) -> Result<Vec<u8>, Rejection> {
        values::base64(&self.audio).map_err(|error| {
            Rejection::invalid("audio", format!("the audio is not base64 ({error}); encode its bytes"))
        })
    }
}

/// Parses a client's message, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(crate) fn attack(text: &str) -> Result<(), Rejection> {
    let message = FromClient::parse(text)?;
    for beta in [false, true] {
        let setup = Setup::new(None, beta);
        let setup = message.session.as_ref().map_or(Ok(setup.clone()), |session| setup.updated(session))?;
        setup.describe("fuzz");
        setup.options()?;
    }
    message.decoded().map(drop)
}

/// Session of a client.
pub(super) struct Realtime {
    app: Arc<App>,
    tenant: Admitted,
    id: String,
    /// Memory of the message that is on its way in.
    inflow: Arc<Inflow>,
    /// The client's latest settings.
    setup: Setup,
    /// Settings of the stream's session, until another one takes over.
    heard_with: Setup,
    /// Settings of the next session; true if it waits for the end of the running utterance.
    update: Option<Setup>,
    update_waits: bool,
    /// Number of sessions that had taken over when that was last seen.
    replaced: u64,
    /// Its place in the server, until a stream holds it.
    ticket: Option<Ticket>,
    /// Set from the first audio on.
    stream: Option<Stream>,
    /// True while somebody speaks.
    speaking: bool,
    events: u64,
    items: u64,
    /// Items whose transcription is not complete, oldest first, where speech is detected.
    open: VecDeque<String>,
    /// Turns where the client commits.
    turns: Turns,
    level: Level,
    /// Deadline and position at which a commit in the middle of speech ends the utterance: the
    /// deadline if no audio comes, the position if some does.
    cut: Option<(Instant, u64)>,
    /// The item that was committed last.
    previous: Option<String>,
    /// Number of words of the oldest item that were sent.
    sent: usize,
    /// The latest detected language.
    language: Option<String>,
    /// Voice without words that the next completed item tells of.
    unrecognized: Vec<Value>,
}

impl Realtime {
    pub(super) fn open(
        app: &Arc<App>,
        headers: &HeaderMap,
        query: &[(String, String)],
    ) -> Result<Self, Rejection> {
        let offered = offered_protocols(headers);
        let key = offered.iter().find_map(|protocol| protocol.strip_prefix(KEY_PREFIX));
        let secret = app.secrets.find(headers, key);
        let tenant = match &secret {
            Some(secret) => app.admit_named(headers, &secret.tenant, secret.key)?,
            None => app.admit(headers, key)?,
        };
        let asked =
            |name: &str| query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        let beta = headers.get("openai-beta").is_some_and(|value| value.as_bytes() == b"realtime=v1");
        if asked("intent").is_some_and(|intent| intent != "transcription") {
            return Err(Rejection::unsupported("intent", "there is only intent=transcription here"));
        }
        let model = asked("model").filter(|model| !model.is_empty()).map(str::to_owned);
        let setup = match secret {
            Some(secret) => secret.setup,
            None => Setup::new(model, beta),
        };
        let (_, model) = app.models.find(&tenant, setup.model.as_deref())?;
        let ticket = app.open(&tenant, "realtime", Some(&model))?;
        Ok(Self {
            app: Arc::clone(app),
            tenant,
            id: random_name(),
            inflow: Arc::default(),
            level: setup.level(),
            heard_with: setup.clone(),
            setup,
            update: None,
            update_waits: false,
            replaced: 0,
            ticket: Some(ticket),
            stream: None,
            speaking: false,
            events: 0,
            items: 0,
            open: VecDeque::new(),
            turns: Turns::default(),
            cut: None,
            previous: None,
            sent: 0,
            language: None,
            unrecognized: Vec::new(),
        })
    }

    /// The client's tenant.
    pub(super) fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// Sets the account of its long messages.
    pub(super) fn count(&mut self, inflow: Arc<Inflow>) {
        self.inflow = inflow;
    }

    /// Waits until its key is not valid any more.
    pub(super) fn revoked(&self) -> impl Future<Output = ()> + Send + use<> {
        revoked(self.ticket.as_ref(), self.stream.as_ref())
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
    fn complain(&mut self, rejection: &Rejection, cause: Option<&str>, out: &mut Outbox) {
        self.app.note(rejection);
        let mut event = error_body(rejection);
        event["error"]["event_id"] = json!(cause);
        self.say("error", event, out);
    }

    fn take(&mut self, message: &FromClient<'_>, out: &mut Outbox) -> Result<(), Rejection> {
        match message.kind.as_str() {
            "session.update" | "transcription_session.update" => {
                let session = message.session.as_ref().ok_or_else(|| {
                    Rejection::invalid("session", "an update needs a session; send what is to change")
                })?;
                let setup = self.setup.updated(session)?;
                let (_, model) = self.app.models.find(&self.tenant, setup.model.as_deref())?;
                setup.check(&model)?;
                self.change(setup, out)?;
                let (kind, session) = (self.setup.updated_event(), self.setup.describe(&self.id));
                self.say(kind, json!({ "session": session }), out);
            }
            "input_audio_buffer.append" => self.append(message.decoded()?)?,
            "input_audio_buffer.commit" => self.commit(out)?,
            "input_audio_buffer.clear" => {
                self.clear();
                self.say("input_audio_buffer.cleared", json!({}), out);
            }
            other => {
                return Err(Rejection::malformed(format!(
                    "there is no event {} here; docs/server.md lists them",
                    quote(other)
                )));
            }
        }
        Ok(())
    }

    /// Takes over the client's settings. A listening session ends first: at once if the format
    /// changes, else behind the running utterance.
    fn change(&mut self, setup: Setup, out: &mut Outbox) -> Result<(), Rejection> {
        let same = setup.listens_like(&self.setup);
        let takes_other = !setup.takes_what(&self.setup);
        if takes_other {
            self.level = setup.level();
        }
        self.setup = setup.clone();
        if self.stream.is_none() {
            self.heard_with = setup;
        } else if !same || self.update.is_some() {
            self.update = Some(setup);
            self.update_waits = true;
            if takes_other || !self.speaking {
                self.replace(out)?;
            }
        }
        Ok(())
    }

    /// Has the session end, and the next one follow.
    fn replace(&mut self, out: &mut Outbox) -> Result<(), Rejection> {
        let Some(setup) = self.update.clone() else { return Ok(()) };
        if setup.turn.is_some() {
            // Nobody commits any more.
            self.commit_rest(out);
        }
        let (_, model) = self.app.models.find(&self.tenant, setup.model.as_deref())?;
        let (encoding, options) = setup.options()?;
        self.update_waits = false;
        if let Some(stream) = &mut self.stream {
            stream.replace(&model, encoding, options);
        }
        Ok(())
    }

    /// Returns true if the client commits turns of the audio that it appends now.
    fn is_committing(&self) -> bool {
        let setup = self.update.as_ref().filter(|_| !self.update_waits).unwrap_or(&self.heard_with);
        setup.turn.is_none()
    }

    fn append(&mut self, audio: Vec<u8>) -> Result<(), Rejection> {
        if self.is_committing() && !audio.is_empty() {
            if !self.turns.has_current() {
                let item = self.next_item();
                let start = self.stream.as_ref().map_or(0, Stream::position);
                self.turns.begin(item, start);
            }
            self.level.push(&audio);
            if let Some((at, _)) = &mut self.cut {
                *at = Instant::now() + AWAITED;
            }
        }
        let waits = self.cut.is_some();
        let stream = self.started()?;
        stream.feed(audio.into());
        if waits {
            stream.wake_in(AWAITED);
        }
        Ok(())
    }

    fn commit(&mut self, out: &mut Outbox) -> Result<(), Rejection> {
        if !self.is_committing() {
            self.started()?.flush();
            return Ok(());
        }
        if !self.turns.has_current() {
            return Err(Rejection::malformed("there is no audio to commit; append some first"));
        }
        self.commit_rest(out);
        if self.level.is_pause() {
            self.started()?.flush();
        } else {
            // Of several commits in one stretch of speech the first is waited for.
            let position = self.started()?.position();
            let until = self.cut.map_or(position + MOST_AWAITED, |(_, until)| until);
            self.cut = Some((Instant::now() + AWAITED, until));
            self.started()?.wake_in(AWAITED);
        }
        Ok(())
    }

    /// Commits the turn that the client has begun, if it has.
    fn commit_rest(&mut self, out: &mut Outbox) {
        let position = self.stream.as_ref().map_or(0, Stream::position);
        let Some(item) = self.turns.commit(position) else { return };
        self.tell_committed(item, out);
    }

    fn tell_committed(&mut self, item: String, out: &mut Outbox) {
        let previous = self.previous.replace(item.clone());
        let event = json!({ "item_id": item, "previous_item_id": previous });
        self.say("input_audio_buffer.committed", event, out);
    }

    /// Discards audio that was appended since the last commit.
    fn clear(&mut self) {
        if let Some(stream) = self.stream.as_mut().filter(|_| self.turns.has_current()) {
            stream.flush();
            self.turns.discard(stream.position());
        }
    }

    /// Ends the utterance in whose middle a turn was committed, when it was waited for long enough.
    fn cut(&mut self) {
        let Some((at, until)) = self.cut else { return };
        let Some(stream) = &mut self.stream else { return };
        if !self.turns.has_committed() {
            self.cut = None;
        } else if Instant::now() >= at || stream.position() >= until {
            self.cut = None;
            stream.flush();
        }
    }

    fn next_item(&mut self) -> String {
        self.items += 1;
        format!("item_{}_{}", &self.id[..8], self.items)
    }

    /// The stream, which the first audio starts.
    fn started(&mut self) -> Result<&mut Stream, Rejection> {
        if self.stream.is_none() {
            let (_, model) = self.app.models.find(&self.tenant, self.setup.model.as_deref())?;
            let (encoding, options) = self.setup.options()?;
            self.heard_with = self.setup.clone();
            let ticket = self.ticket.take().ok_or(Rejection::Internal)?;
            self.stream = Some(Stream::open(ticket, &model, encoding, options)?);
        }
        self.stream.as_mut().ok_or(Rejection::Internal)
    }

    /// Sends words of the oldest item that were not sent before.
    fn delta(&mut self, words: &[Word], out: &mut Outbox) {
        let Some(item) = self.open.front().cloned() else { return };
        let behind = self.sent > 0;
        self.sent += words.len();
        self.tell_words(&item, words, behind, out);
    }

    fn tell_words(&mut self, item: &str, words: &[Word], behind: bool, out: &mut Outbox) {
        if words.is_empty() {
            return;
        }
        // Deltas, one after the other, are the transcript.
        let space = if behind { " " } else { "" };
        let delta = format!("{space}{}", joined(words));
        let mut event = json!({ "item_id": item, "content_index": 0, "delta": delta });
        if self.setup.logprobs {
            event["logprobs"] = json!(LogProb::of(words, behind));
        }
        self.say("conversation.item.input_audio_transcription.delta", event, out);
    }

    fn tell_complete(&mut self, item: &str, words: &[Word], length: u64, out: &mut Outbox) {
        let only = self.stream.as_ref().and_then(Stream::only_language).map(str::to_owned);
        let language = self.heard_with.language().or(self.language.clone()).or(only);
        let mut event = json!({
            "item_id": item,
            "content_index": 0,
            "transcript": joined(words),
            "languages": Heard::of(language.as_deref()),
            "usage": { "type": "duration", "seconds": seconds(length) },
            "unrecognized": std::mem::take(&mut self.unrecognized),
        });
        if self.setup.logprobs {
            event["logprobs"] = json!(LogProb::of(words, false));
        }
        self.say("conversation.item.input_audio_transcription.completed", event, out);
    }

    /// Sends news of turns that the client commits.
    fn tell(&mut self, news: Vec<News>, out: &mut Outbox) {
        for news in news {
            match news {
                News::Words { item, words, behind } => self.tell_words(&item, &words, behind, out),
                News::Complete(turn) => {
                    let length = turn.end.unwrap_or(turn.start) - turn.start;
                    self.tell_complete(&turn.item, &turn.words, length, out);
                }
            }
        }
    }

    /// An event of a session whose turns the client commits.
    fn turn_event(&mut self, event: &SessionEvent, out: &mut Outbox) {
        let mut news = Vec::new();
        match event {
            SessionEvent::SpeechStarted { position } => self.turns.speech(*position),
            SessionEvent::Partial { committed, .. } => self.turns.certain(committed, &mut news),
            SessionEvent::Final { words, .. } => self.turns.last(words, &mut news),
            _ => {}
        }
        self.tell(news, out);
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

    fn event(&mut self, _channel: usize, event: SessionEvent, out: &mut Outbox) {
        let replaced = self.stream.as_ref().map_or(0, Stream::replaced);
        if std::mem::replace(&mut self.replaced, replaced) != replaced
            && let Some(setup) = self.update.take_if(|_| !self.update_waits)
        {
            self.heard_with = setup;
        }
        match &event {
            SessionEvent::SpeechStarted { .. } => self.speaking = true,
            SessionEvent::SpeechEnded { .. } => self.speaking = false,
            _ => {}
        }
        let detected = self.heard_with.turn.is_some();
        match event {
            SessionEvent::SpeechStarted { position } if detected => {
                let item = self.next_item();
                self.open.push_back(item.clone());
                let event = json!({ "item_id": item, "audio_start_ms": ms(position) });
                self.say("input_audio_buffer.speech_started", event, out);
            }
            SessionEvent::SpeechEnded { position } if detected => {
                let Some(item) = self.open.back().cloned() else { return };
                let event = json!({ "item_id": item, "audio_end_ms": ms(position) });
                self.say("input_audio_buffer.speech_stopped", event, out);
                self.tell_committed(item, out);
            }
            SessionEvent::Partial { committed, .. } if detected => self.delta(&committed, out),
            SessionEvent::Final { utterance, end, words } if detected => {
                let rest = words.get(self.sent..).unwrap_or_default().to_vec();
                self.delta(&rest, out);
                self.sent = 0;
                let Some(item) = self.open.pop_front() else { return };
                self.tell_complete(&item, &words, end - utterance, out);
            }
            SessionEvent::Dropped { reason, .. } => {
                let error = json!({ "type": "server_error", "code": "audio_dropped", "message": sanitize_trimmed(&reason.to_string()) });
                let item = if detected { self.open.front().map(String::as_str) } else { self.turns.oldest() };
                let event = json!({ "item_id": item, "content_index": 0, "error": error });
                self.say("conversation.item.input_audio_transcription.failed", event, out);
            }
            SessionEvent::Unrecognized { position, len } => {
                self.unrecognized.push(json!({ "start": seconds(position), "end": seconds(position + len) }));
            }
            SessionEvent::Language(language) => self.language = Some(language.code),
            SessionEvent::Finished { .. } => {}
            event => self.turn_event(&event, out),
        }
    }

    fn settled(&mut self, out: &mut Outbox) {
        if self.stream.as_ref().is_none_or(Stream::is_hungry) {
            self.inflow.release();
        }
        // A turn is not complete before all its audio was searched for speech.
        if self.stream.as_ref().is_some_and(Stream::is_hungry) {
            let mut news = Vec::new();
            self.turns.settle(&mut news);
            self.tell(news, out);
        }
        self.cut();
        if self.update_waits && !self.speaking {
            // What was set up was checked when it came.
            let _ = self.replace(out);
        }
    }

    fn ended(&mut self, out: &mut Outbox) {
        // The server ends, and the client has not committed its latest audio.
        self.commit_rest(out);
        let mut news = Vec::new();
        self.turns.settle(&mut news);
        self.tell(news, out);
    }

    fn text(&mut self, text: &str, out: &mut Outbox) -> Result<(), Rejection> {
        self.inflow.mark_whole();
        let taken = match FromClient::parse(text) {
            Ok(message) => self.take(&message, out).map_err(|rejection| (rejection, message.event_id)),
            Err(rejection) => Err((rejection, None)),
        };
        match taken {
            // A mistake in one event is reported, and the session goes on, as it does at OpenAI.
            Err((
                rejection @ (Rejection::Invalid { .. }
                | Rejection::Unsupported { .. }
                | Rejection::UnknownModel(_)
                | Rejection::Audio(_)),
                cause,
            )) => {
                self.complain(&rejection, cause.as_deref(), out);
                Ok(())
            }
            Err((rejection, _)) => Err(rejection),
            Ok(()) => Ok(()),
        }
    }

    fn binary(&mut self, _data: Bytes, out: &mut Outbox) -> Result<(), Rejection> {
        self.inflow.mark_whole();
        let rejection =
            Rejection::malformed("messages are text here; send audio as base64 in input_audio_buffer.append");
        self.complain(&rejection, None, out);
        Ok(())
    }

    fn refused(&mut self, rejection: &Rejection, out: &mut Outbox) -> (u16, String) {
        self.say("error", error_body(rejection), out);
        (rejection.close_code(), rejection.code().to_owned())
    }

    fn patience(&self) -> Option<Duration> {
        self.stream.is_none().then_some(SETTING_UP)
    }
}
