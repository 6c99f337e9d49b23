//! Wyoming, which Home Assistant speaks to its voice services:
//! <https://github.com/OHF-Voice/wyoming>.
//!
//! A connection asks for a description of the server (`describe`) and has any number of recordings
//! transcribed, one after the other, each as it is spoken: `transcribe`, `audio-start`,
//! `audio-chunk`, `audio-stop`. The protocol has no keys, so that the address decides who may use
//! it, and the configuration whose limits hold.

mod frame;
mod request;
pub(crate) mod zeroconf;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use hearken::session::SessionEvent;
use hearken::{Word, language_codes};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::frame::{Event, Frames, encoded};
use self::request::Request;
use super::App;
use super::dialogue::{Dialogue, Step, hold};
use super::listener::Peer;
use super::rejection::Rejection;
use super::stream::Stream;
use super::tenants::Admitted;
use super::words::joined;

/// Longest silence of a connection between recordings.
const IDLE: Duration = Duration::from_secs(600);
/// Longest silence of a client within a recording.
const SILENT: Duration = Duration::from_secs(60);
/// Patience for a client that does not read.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);

/// Serves a connection to its end.
pub(super) async fn serve(app: Arc<App>, mut socket: TcpStream, peer: Peer) {
    let mut client = match Client::new(&app) {
        Ok(client) => client,
        Err(rejection) => return app.note(&rejection),
    };
    if let Err(rejection) = hold(&mut socket, &mut client, &app).await {
        app.note(&rejection);
        if let Some(stream) = &mut client.stream {
            stream.give_place_back();
        }
        let error = encoded("error", &json!({ "text": rejection.to_string(), "code": rejection.code() }));
        let _ = timeout(WRITE_PATIENCE, socket.write_all(&error)).await;
    }
    tracing::info!(tenant = &*client.tenant.name, "a Wyoming client has gone");
    drop(peer);
}

struct Client {
    app: Arc<App>,
    tenant: Admitted,
    frames: Frames,
    request: Request,
    /// While a recording comes and is recognized.
    stream: Option<Stream>,
    /// The text that was sent.
    sent: String,
    started: bool,
    /// Number of words of the utterance that were sent.
    words: usize,
    /// The detected language.
    language: Option<String>,
    out: Vec<u8>,
}

impl Dialogue for Client {
    fn stream(&mut self) -> Option<&mut Stream> {
        self.stream.as_mut()
    }

    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.frames.buffer
    }

    fn take(&mut self) -> Result<Step, Rejection> {
        let Some(event) = self.frames.next()? else { return Ok(Step::Waits) };
        self.answer(event)?;
        Ok(Step::Done)
    }

    fn tell(&mut self) -> Result<Step, Rejection> {
        while let Some((_, event)) = self.stream.as_mut().map(Stream::next).transpose()?.flatten() {
            match event {
                SessionEvent::Language(heard) => self.language = Some(heard.code),
                SessionEvent::Partial { committed, .. } => self.more(&committed),
                SessionEvent::Final { words, .. } => {
                    self.more(words.get(self.words..).unwrap_or_default());
                    self.words = 0;
                }
                _ => {}
            }
        }
        if self.stream.as_ref().is_some_and(Stream::is_over) {
            self.finish();
        }
        Ok(Step::Done)
    }

    fn outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn closed(&mut self) -> Step {
        Step::Over
    }

    fn patience(&mut self) -> Duration {
        if self.stream.is_some() { SILENT } else { IDLE }
    }
}

impl Client {
    fn new(app: &Arc<App>) -> Result<Self, Rejection> {
        let tenant = app.unkeyed(app.config.wyoming.as_ref())?;
        Ok(Self {
            app: Arc::clone(app),
            tenant,
            frames: Frames::default(),
            request: Request::default(),
            stream: None,
            sent: String::new(),
            started: false,
            words: 0,
            language: None,
            out: Vec::new(),
        })
    }

    fn answer(&mut self, event: Event) -> Result<(), Rejection> {
        match event.kind.as_str() {
            "describe" => {
                let info = self.describe()?;
                self.say("info", &info);
            }
            "ping" => self.say("pong", &Value::Object(event.data)),
            "transcribe" => self.request = Request::read(&event.data)?,
            "audio-start" => self.open(&event)?,
            "audio-chunk" => {
                if self.stream.is_none() {
                    self.open(&event)?;
                }
                if let Some(stream) = &mut self.stream {
                    stream.feed(event.payload);
                }
            }
            "audio-stop" => match &mut self.stream {
                Some(stream) => stream.finish(),
                // No audio at all: there is no text in it.
                None => self.finish(),
            },
            // Events of other services, and of later versions, are dropped: the protocol asks for
            // that.
            _ => {}
        }
        Ok(())
    }

    /// Begins a recording in the format that the event states.
    fn open(&mut self, event: &Event) -> Result<(), Rejection> {
        let (_, model) = self.app.models.find(&self.tenant, self.request.model.as_deref())?;
        let options = self.request.options(&event.data)?;
        model.can(options.language.as_deref(), false)?;
        let ticket = self.app.open(&self.tenant, "wyoming", Some(&model))?;
        self.stream = Some(Stream::open(ticket, &model, request::ENCODING, options)?);
        Ok(())
    }

    fn say(&mut self, kind: &str, data: &Value) {
        self.out.extend(encoded(kind, data));
    }

    /// Tells certain words, the next of the text.
    fn more(&mut self, words: &[Word]) {
        self.words += words.len();
        if words.is_empty() {
            return;
        }
        self.start();
        let space = if self.sent.is_empty() { "" } else { " " };
        let text = format!("{space}{}", joined(words));
        self.sent.push_str(&text);
        self.say("transcript-chunk", &json!({ "text": text }));
    }

    fn start(&mut self) {
        if !std::mem::replace(&mut self.started, true) {
            let data = self.with_language(json!({}));
            self.say("transcript-start", &data);
        }
    }

    /// Ends a recording: its whole text, for clients that do not read it as it comes.
    fn finish(&mut self) {
        self.start();
        let text = std::mem::take(&mut self.sent);
        let data = self.with_language(json!({ "text": text }));
        self.say("transcript", &data);
        self.say("transcript-stop", &json!({}));
        (self.started, self.words, self.language) = (false, 0, None);
        self.request = Request::default();
        // Its place goes with it.
        self.stream = None;
    }

    fn with_language(&self, mut data: Value) -> Value {
        if let Some(language) = self.request.language.as_ref().or(self.language.as_ref()) {
            data["language"] = json!(language);
        }
        data
    }

    /// Describes this server: its models, with the languages of each.
    fn describe(&self) -> Result<Value, Rejection> {
        let made_by = |name: &str, url: &str| json!({ "name": name, "url": url });
        let version = env!("CARGO_PKG_VERSION");
        // The default model comes first: Home Assistant takes the languages of the first.
        let (default, _) = self.app.models.find(&self.tenant, None)?;
        let mut names: Vec<String> =
            self.app.models.list(&self.tenant)?.into_iter().map(|listed| listed.name).collect();
        names.sort_by_key(|name| *name != default);
        let mut models = Vec::new();
        for name in names {
            let (_, model) = self.app.models.find(&self.tenant, Some(&name))?;
            let languages: Vec<&str> =
                language_codes().filter(|code| model.can(Some(code), false).is_ok()).collect();
            models.push(json!({
                "name": name,
                "attribution": made_by("Whisper", "https://github.com/openai/whisper"),
                "installed": true,
                "description": format!("Whisper model {name}"),
                "version": null,
                "languages": languages,
            }));
        }
        let program = json!({
            "name": "hearken",
            "attribution": made_by("whisper.cpp", "https://github.com/ggml-org/whisper.cpp"),
            "installed": true,
            "description": "Whisper in a sandbox",
            "version": version,
            "models": models,
            "supports_transcript_streaming": true,
            "requires_external_vad": true,
            "prefers_auto_gain_enabled": false,
            "prefers_noise_reduction_enabled": false,
        });
        let none: [Value; 0] = [];
        Ok(json!({
            "asr": [program], "tts": none, "handle": none, "intent": none, "wake": none, "mic": none, "snd": none,
        }))
    }
}

/// Parses a client's bytes, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) fn attack(bytes: &[u8]) -> Result<(), Rejection> {
    let mut frames = Frames::default();
    frames.buffer.extend_from_slice(bytes);
    while let Some(event) = frames.next()? {
        let request = Request::read(&event.data)?;
        if event.kind == "audio-start" {
            request.options(&event.data)?;
        }
    }
    Ok(())
}
