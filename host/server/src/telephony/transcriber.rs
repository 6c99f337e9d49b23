//! Providers that send a call's audio over a WebSocket and read its text there: the adapter that
//! they share. Their messages are in [`vapi`](super::vapi) and [`jambonz`](super::jambonz).

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use hearken::Word;
use hearken::audio::{Encoding, Format};
use hearken::session::SessionEvent;
use serde_json::Value;
use tokio::sync::Notify;

use super::{Asked, Call, hang_up};
use crate::App;
use crate::rejection::Rejection;
use crate::socket::{Adapter, Opening, Outbox, drive};
use crate::stream::Stream;
use crate::tenants::Admitted;
use crate::words::{confidence, joined};

/// Most channels of a call: one for each side.
const MOST_CHANNELS: u16 = 2;

/// The messages of a provider.
pub(crate) trait Provider: Send + 'static {
    /// Its name, for metrics and logs.
    const NAME: &'static str;
    /// The header with the key, where it is not `Authorization`.
    const KEY: Option<&'static str>;

    /// Reads a text message.
    fn parse(text: &str) -> Result<FromProvider, Rejection>;

    /// Writes a text of the call.
    fn text(said: &Said<'_>) -> Value;

    /// Writes the reason for which the call is rejected, if the protocol has a message for it.
    fn error(rejection: &Rejection) -> Option<Value>;
}

/// A text message of a provider.
#[derive(Debug, PartialEq)]
pub(crate) enum FromProvider {
    Start(Start),
    /// No more audio comes; the rest of the text is awaited.
    Stop,
    /// A kind that changes nothing here.
    Other,
}

/// The first message of a call.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Start {
    pub(super) sample_rate: u32,
    /// Number of channels, where the message states it.
    pub(super) channels: Option<u16>,
    pub(super) language: Option<String>,
    /// Name of the call.
    pub(super) name: Option<String>,
    /// Phrases to expect.
    pub(super) hints: Vec<String>,
    /// Partial texts are wanted.
    pub(super) partials: bool,
}

/// A text of a call.
pub(crate) struct Said<'a> {
    /// Counted from 0.
    pub(super) channel: usize,
    pub(super) text: String,
    pub(super) is_final: bool,
    pub(super) confidence: f32,
    /// The language, once it is known.
    pub(super) language: Option<&'a str>,
}

/// Opens the WebSocket of a provider. The query may hold `key`, `name`, `model`, `language` and
/// `channels`: of some providers nothing but the address can be set.
pub(crate) async fn upgrade<P: Provider>(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    opening: Opening,
) -> Response {
    let header = P::KEY.and_then(|name| headers.get(name)).and_then(|key| key.to_str().ok());
    let address = query.iter().find(|(name, _)| name == "key").map(|(_, key)| key.as_str());
    let tenant = match app.admit(&headers, header.or(address)) {
        Ok(tenant) => tenant,
        Err(rejection) => return app.refuse(&rejection),
    };
    opening.accept(&[], move |mut socket| async move {
        let revoked = app.revoked(&tenant);
        let mut transcriber = Transcriber::<P> {
            app: Arc::clone(&app),
            tenant,
            query,
            call: None,
            partials: false,
            language: None,
            running: Vec::new(),
            messages: std::marker::PhantomData,
        };
        let ended = drive(&mut socket, &mut transcriber, &app, &Notify::new(), revoked).await;
        hang_up(&app, transcriber.call.as_mut(), ended).await;
        tracing::info!("a call of {}: {ended:?}", P::NAME);
    })
}

/// Parses a message, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) fn attack<P: Provider>(text: &str) -> Result<(), Rejection> {
    match P::parse(text)? {
        FromProvider::Start(start) => format(&start, None).map(drop),
        _ => Ok(()),
    }
}

/// The format of a call's audio. `channels` is that of the address.
fn format(start: &Start, channels: Option<&str>) -> Result<Format, Rejection> {
    let asked = channels.map(str::parse).transpose().map_err(|_| bad_channels())?;
    let channels = start.channels.or(asked).unwrap_or(1);
    if !(1..=MOST_CHANNELS).contains(&channels) {
        return Err(bad_channels());
    }
    Ok(Format { sample_rate: start.sample_rate, channels }.validate()?)
}

fn bad_channels() -> Rejection {
    Rejection::invalid("channels", "a call has one or two channels; send 1 or 2")
}

struct Transcriber<P> {
    app: Arc<App>,
    tenant: Admitted,
    query: Vec<(String, String)>,
    /// Set from the start message on.
    call: Option<Call>,
    partials: bool,
    /// The language that was named, or detected.
    language: Option<String>,
    /// Committed words of each channel's running utterance.
    running: Vec<Vec<Word>>,
    messages: std::marker::PhantomData<fn() -> P>,
}

impl<P: Provider> Transcriber<P> {
    fn start(&mut self, start: &Start) -> Result<(), Rejection> {
        if self.call.is_some() {
            return Err(Rejection::malformed("the call has started already"));
        }
        let asked = |name: &str| {
            let found = self.query.iter().find(|(other, value)| other == name && !value.is_empty());
            found.map(|(_, value)| value.as_str())
        };
        let format = format(start, asked("channels"))?;
        let language = asked("language").or(start.language.as_deref());
        let call = Call::start(
            &self.app,
            &self.tenant,
            &Asked {
                protocol: P::NAME,
                name: asked("name").or(start.name.as_deref()),
                model: asked("model"),
                language,
                encoding: Encoding::S16Le,
                format,
                hints: &start.hints,
            },
        )?;
        self.language =
            language.and_then(hearken::language_code).or(call.stream.only_language().map(str::to_owned));
        self.running = vec![Vec::new(); usize::from(format.channels)];
        self.partials = start.partials;
        self.call = Some(call);
        Ok(())
    }

    fn say<'a>(
        &self,
        channel: usize,
        words: impl Iterator<Item = &'a Word> + Clone,
        is_final: bool,
        out: &mut Outbox,
    ) {
        let text = joined(words.clone());
        if !text.is_empty() {
            let language = self.language.as_deref();
            out.json(&P::text(&Said { channel, text, is_final, confidence: confidence(words), language }));
        }
    }
}

impl<P: Provider> Adapter for Transcriber<P> {
    fn stream(&mut self) -> Option<&mut Stream> {
        self.call.as_mut().map(|call| &mut call.stream)
    }

    fn event(&mut self, channel: usize, event: SessionEvent, out: &mut Outbox) {
        if let Some(call) = &self.call {
            call.tell(channel, &event);
        }
        match event {
            SessionEvent::Language(language) => self.language = Some(language.code),
            SessionEvent::Partial { committed, tentative, .. } => {
                if let Some(running) = self.running.get_mut(channel) {
                    running.extend(committed);
                }
                if let Some(running) = self.running.get(channel).filter(|_| self.partials) {
                    self.say(channel, running.iter().chain(&tentative), false, out);
                }
            }
            SessionEvent::Final { words, .. } => {
                if let Some(running) = self.running.get_mut(channel) {
                    running.clear();
                }
                self.say(channel, words.iter(), true, out);
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str, _out: &mut Outbox) -> Result<(), Rejection> {
        match P::parse(text)? {
            FromProvider::Start(start) => self.start(&start)?,
            FromProvider::Stop => match &mut self.call {
                Some(call) => call.stream.finish(),
                None => return Err(Rejection::malformed("the call has not started; send `start` first")),
            },
            FromProvider::Other => {}
        }
        Ok(())
    }

    fn binary(&mut self, data: Bytes, _out: &mut Outbox) -> Result<(), Rejection> {
        match &mut self.call {
            Some(call) => call.hear(data),
            None => Err(Rejection::malformed("audio came first; send a start message before it")),
        }
    }

    fn refused(&mut self, rejection: &Rejection, out: &mut Outbox) -> (u16, String) {
        if let Some(call) = &self.call {
            call.audience.rejected(rejection);
        }
        if let Some(message) = P::error(rejection) {
            out.json(&message);
        }
        (rejection.close_code(), rejection.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_one_or_two_channels_at_a_rate_that_can_be_heard() {
        let start = |channels| Start { sample_rate: 8_000, channels, ..Start::default() };
        let channels = |channels, address| format(&start(channels), address).map(|format| format.channels);
        assert_eq!(channels(None, None).unwrap(), 1);
        assert_eq!(channels(None, Some("2")).unwrap(), 2);
        assert_eq!(channels(Some(1), Some("2")).unwrap(), 1, "the message states it");
        for (stated, address) in [(Some(0), None), (Some(3), None), (None, Some("9")), (None, Some("x"))] {
            assert_eq!(channels(stated, address).unwrap_err().parameter(), Some("channels"));
        }
        assert!(format(&Start::default(), None).is_err());
    }
}
