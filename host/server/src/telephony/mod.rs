//! Telephone calls, over the protocols of exchanges and providers.
//!
//! A call's text is [broadcast](super::broadcast) under the call's name, and posted to the
//! operator's [webhook](super::webhook). [AudioSocket](audiosocket) and [Twilio](twilio) read no
//! text; to [Vapi](vapi) and [jambonz](jambonz) it is sent, too.

pub(super) mod audiosocket;
pub(super) mod jambonz;
mod transcriber;
pub(super) mod twilio;
pub(super) mod vapi;

use std::sync::Arc;

use bytes::Bytes;
use hearken::audio::{Encoding, Format};
use hearken::session::{SessionEvent, SessionOptions};
use serde::de::DeserializeOwned;

pub(super) use self::transcriber::upgrade;
use super::App;
use super::broadcast::{Publisher, Told};
use super::native_ws::Event;
use super::phrases;
use super::rejection::{Rejection, quote};
use super::socket::Ended;
use super::stream::{Carrier, Stream};
use super::tenants::Admitted;
use super::webhook::Text;

/// Reads a message of a provider, whose protocol has this name.
fn parse<T: DeserializeOwned>(text: &str, protocol: &str) -> Result<T, Rejection> {
    serde_json::from_str(text).map_err(|error| {
        let error = quote(&error.to_string());
        Rejection::malformed(format!("{} is no message of {protocol}: {error}", quote(text)))
    })
}

/// Passes bytes to every parser, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) fn attack(bytes: &[u8]) -> Vec<Rejection> {
    let text = String::from_utf8_lossy(bytes);
    let rejections = [
        audiosocket::attack(bytes).err(),
        twilio::attack(&text).err(),
        transcriber::attack::<vapi::Vapi>(&text).err(),
        transcriber::attack::<jambonz::Jambonz>(&text).err(),
    ];
    rejections.into_iter().flatten().collect()
}

/// Settings of a call over a WebSocket.
struct Asked<'a> {
    protocol: &'static str,
    /// Name of the call.
    name: Option<&'a str>,
    model: Option<&'a str>,
    language: Option<&'a str>,
    encoding: Encoding,
    format: Format,
    /// Phrases to expect.
    hints: &'a [String],
}

/// Others than the provider that receive the text of a call.
struct Audience {
    app: Arc<App>,
    tenant: Arc<str>,
    protocol: &'static str,
    /// Name of the call; without one there is no broadcast.
    name: Option<String>,
    publisher: Option<Publisher>,
}

impl Audience {
    fn new(
        app: &Arc<App>,
        tenant: &Admitted,
        protocol: &'static str,
        name: Option<&str>,
    ) -> Result<Self, Rejection> {
        let publisher = name.map(|name| Publisher::new(app, tenant, name)).transpose()?;
        let (app, tenant, name) = (Arc::clone(app), Arc::clone(&tenant.name), name.map(str::to_owned));
        Ok(Self { app, tenant, protocol, name, publisher })
    }

    /// Tells of an event, and of its channel where channels are apart.
    fn event(&self, channel: Option<usize>, event: &SessionEvent) {
        if let Some(publisher) = &self.publisher {
            publisher.event(channel, event);
        }
        if let (Some(webhook), SessionEvent::Final { words, .. }) = (&self.app.webhook, event)
            && !words.is_empty()
            && let Some(event) = Event::of(event)
        {
            let told = Told { channel, event };
            webhook.post(&Text::new(&self.tenant, self.protocol, self.name.as_deref(), told));
        }
    }

    /// Tells the reason for which the call is ended.
    fn rejected(&self, rejection: &Rejection) {
        if let Some(publisher) = &self.publisher {
            publisher.rejected(rejection);
        }
    }
}

/// A call over a WebSocket that has started. Its channels are transcribed apart.
struct Call {
    stream: Stream,
    audience: Audience,
}

impl Call {
    fn start(app: &Arc<App>, tenant: &Admitted, asked: &Asked<'_>) -> Result<Self, Rejection> {
        let (_, model) = app.models.find(tenant, asked.model)?;
        phrases::check("hints", asked.hints)?;
        let options = SessionOptions::new(asked.format)
            .language(asked.language.and_then(hearken::language_code))
            .prompt(phrases::prompt(None, asked.hints))
            .bias(phrases::bias(asked.hints));
        let place = app.open(tenant, asked.protocol, Some(&model))?;
        let stream = Stream::open_apart(place, &model, Carrier::Raw(asked.encoding), options)?;
        let audience = Audience::new(app, tenant, asked.protocol, asked.name)?;
        Ok(Self { stream, audience })
    }

    /// Takes audio. The key is looked at each time: of some providers it comes with the first
    /// message, when the connection is served already.
    fn hear(&mut self, audio: Bytes) -> Result<(), Rejection> {
        if self.stream.is_revoked() {
            return Err(Rejection::Revoked);
        }
        self.stream.feed(audio);
        Ok(())
    }

    /// Tells the audience of an event.
    fn tell(&self, channel: usize, event: &SessionEvent) {
        // All channels end together.
        let one = self.stream.channels() > 1 && !matches!(event, SessionEvent::Finished { .. });
        self.audience.event(one.then_some(channel), event);
    }

    /// Recognizes the rest, and tells the audience.
    async fn finish(&mut self) -> Result<(), Rejection> {
        self.stream.finish();
        loop {
            while let Some((channel, event)) = self.stream.next()? {
                self.tell(channel, &event);
            }
            if self.stream.is_over() {
                return Ok(());
            }
            self.stream.changed().await;
        }
    }
}

/// Ends a call whose connection has ended. The last words still reach the audience where the
/// provider went without announcing it, as Vapi does.
async fn hang_up(app: &App, call: Option<&mut Call>, ended: Ended) {
    if let Some(call) = call.filter(|_| matches!(ended, Ended::Closed | Ended::Lost))
        && let Err(rejection) = call.finish().await
    {
        app.note(&rejection);
        call.audience.rejected(&rejection);
    }
}
