//! hearken's own protocol: committed and tentative words over a WebSocket that survives a broken
//! connection.
//!
//! docs/server.md describes it for authors of clients.

mod message;
mod replay_buffer;
mod restart;
mod resume;
mod slots;
mod state;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hearken::session::SessionEvent;
use tokio::sync::Notify;
use tokio::time::timeout;

pub(super) use self::message::Event;
use self::message::{FromClient, Said, Start};
use self::replay_buffer::ReplayBuffer;
pub(super) use self::resume::Parked;
pub use self::state::StateError;
pub(super) use self::state::StateFolder;
use self::state::{Header, Keeper};
#[cfg(any(test, fuzzing))]
pub(super) use self::state::{attack as attack_state, seeds as state_seeds};
use super::App;
use super::broadcast::Publisher;
use super::keys::random_name;
use super::rejection::Rejection;
use super::socket::{Adapter, Ended, Opening, Outbox, drive};
use super::stream::Stream;
use super::tenants::Admitted;
use super::ticket::offered_protocols;

/// The subprotocol, for clients that must name one.
pub(super) const SUBPROTOCOL: &str = "hearken";
/// Prefix of the key in the subprotocol that carries it.
const KEY_PREFIX: &str = "hearken.key.";
/// Time limit of the first message.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);

/// `GET /v1/stream`.
pub(super) async fn upgrade(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    asked: Result<Opening, WebSocketUpgradeRejection>,
) -> Response {
    let tenant = match app.admit(&headers, offered_key(&headers)) {
        Ok(tenant) => tenant,
        Err(rejection) => return app.refuse(&rejection),
    };
    match asked {
        Ok(opening) => opening.accept(&[SUBPROTOCOL], move |socket| serve(app, tenant, socket)),
        Err(rejection) => rejection.into_response(),
    }
}

/// The key that a client offers as a subprotocol: browsers cannot set headers of a WebSocket.
pub(super) fn offered_key(headers: &HeaderMap) -> Option<&str> {
    offered_protocols(headers).into_iter().find_map(|protocol| protocol.strip_prefix(KEY_PREFIX))
}

async fn serve(app: Arc<App>, tenant: Admitted, mut socket: WebSocket) {
    let given_up = Arc::new(Notify::new());
    let mut client = match connect(&app, &tenant, &given_up, &mut socket).await {
        Ok(Some(client)) => client,
        Ok(None) => return,
        Err(rejection) => {
            app.note(&rejection);
            super::socket::refuse(&mut socket, &rejection, Event::error(&rejection)).await;
            return;
        }
    };
    tracing::info!(tenant = &*tenant.name, stream = client.log_name(), "connected");
    app.parked.attach(&client.id, &tenant, &given_up);
    let revoked = client.stream.revoked();
    let ended = drive(&mut socket, &mut client, &app, &given_up, revoked).await;
    tracing::info!(tenant = &*tenant.name, stream = client.log_name(), "{ended:?}");
    match ended {
        Ended::Lost if !app.is_draining() => {
            client.stream.pause();
            app.parked.park(&app, client, &tenant);
            return;
        }
        // What is kept of it is there for the next process.
        Ended::Lost | Ended::Left => {}
        Ended::Finished | Ended::Closed | Ended::Refused => client.discard(),
    }
    app.parked.forget(&client.id);
}

/// Reads the first message, and starts or resumes a stream. `None`: the client has gone.
async fn connect(
    app: &Arc<App>,
    tenant: &Admitted,
    given_up: &Arc<Notify>,
    socket: &mut WebSocket,
) -> Result<Option<Client>, Rejection> {
    let first = loop {
        match timeout(FIRST_MESSAGE, socket.recv()).await.map_err(|_| Rejection::TooSlow)? {
            Some(Ok(Message::Text(text))) => break text,
            Some(Ok(Message::Binary(_))) => {
                return Err(Rejection::malformed("audio came first; send a start message before it"));
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(None),
        }
    };
    match FromClient::parse(&first)? {
        FromClient::Start(start) => Client::start(app, tenant, start).map(Some),
        FromClient::Resume { stream, received } => {
            let mut client = match app.parked.take(&stream, tenant, given_up).await? {
                Some(client) => client,
                None => Client::restore(app, tenant, &stream, given_up).await?,
            };
            if let Err(rejection) = client.resume(received) {
                client.discard();
                app.parked.forget(&stream);
                return Err(rejection);
            }
            // It goes on as long as the key with which its client came back.
            client.readmit(tenant);
            Ok(Some(client))
        }
        _ => Err(Rejection::malformed("the first message is of type start or resume")),
    }
}

/// A client and its stream, with or without a connection.
pub(super) struct Client {
    app: Arc<App>,
    id: String,
    stream: Stream,
    /// Channels are transcribed apart.
    separate: bool,
    /// Set where others can watch.
    publisher: Option<Publisher>,
    history: ReplayBuffer,
    /// First message to a new connection.
    greeting: Option<Greeting>,
    /// Set where the stream is kept for a restart.
    keeper: Option<Keeper>,
    /// Its owner and options, as they are kept.
    header: Option<Box<Header>>,
}

enum Greeting {
    Started(Event),
    Resumed { after: u64 },
}

impl Client {
    fn start(app: &Arc<App>, tenant: &Admitted, start: Start) -> Result<Self, Rejection> {
        let (name, model) = app.models.find(tenant, start.model.as_deref())?;
        let header = start.header(tenant, &name);
        let (separate, broadcast) = (start.separate_channels, start.name.clone());
        let (carrier, options) = start.options()?;
        let place = app.open(tenant, "hearken", Some(&model))?;
        let open = if separate { Stream::open_apart } else { Stream::open };
        let stream = open(place, &model, carrier, options)?;
        let publisher = broadcast.map(|name| Publisher::new(app, tenant, &name)).transpose()?;
        let id = random_name();
        let greeting =
            Event::Started { stream: id.clone(), model: name, resume_seconds: app.config.resume_seconds };
        let mut client = Self {
            app: Arc::clone(app),
            id,
            stream,
            separate,
            publisher,
            history: ReplayBuffer::default(),
            greeting: Some(Greeting::Started(greeting)),
            keeper: None,
            header: None,
        };
        client.begin_keeping(app, header);
        Ok(client)
    }

    /// Goes on after the event with this number, the last that the client has.
    fn resume(&mut self, received: u64) -> Result<(), Rejection> {
        // Whether it is all there is known before the stream is touched.
        drop(self.history.after(received)?);
        self.history.acknowledge(received)?;
        // What was not taken in is sent again.
        self.stream.rewind();
        self.greeting = Some(Greeting::Resumed { after: received });
        Ok(())
    }

    /// The beginning of its name: with the whole, a reader of the log could resume it.
    fn log_name(&self) -> &str {
        &self.id[..8]
    }

    fn say(&mut self, channel: Option<usize>, event: Event, out: &mut Outbox) {
        let said = Said { seq: self.history.next(), frames: self.stream.frames(), channel, event };
        if let Ok(text) = serde_json::to_string(&said) {
            self.history.push(&text);
            if let Some(keeper) = &mut self.keeper {
                // The first one has its name: what is on disk does not tell it.
                keeper.say(&text.replace(&self.id, ""));
            }
            out.text(text);
        }
    }

    /// Sends a new connection its first message.
    fn greet(&mut self, out: &mut Outbox) {
        match self.greeting.take() {
            None => {}
            Some(Greeting::Started(event)) => self.say(None, event, out),
            Some(Greeting::Resumed { after }) => {
                // Not an event of the stream: it has no number, and is not repeated. But it has
                // the frames.
                if let Some(keeper) = &mut self.keeper {
                    keeper.ask();
                }
                out.json(&message::Resumed::new(after, self.stream.frames()));
                let missed = self.history.after(after).into_iter().flatten();
                missed.for_each(|text| out.text(text.to_owned()));
            }
        }
    }
}

impl Adapter for Client {
    fn stream(&mut self) -> Option<&mut Stream> {
        Some(&mut self.stream)
    }

    fn connected(&mut self, out: &mut Outbox) {
        self.greet(out);
    }

    fn event(&mut self, channel: usize, event: SessionEvent, out: &mut Outbox) {
        if let Some(keeper) = &mut self.keeper {
            keeper.note(channel, &event);
        }
        // All channels end together.
        let one = self.separate && !matches!(event, SessionEvent::Finished { .. });
        let channel = one.then_some(channel);
        if let Some(publisher) = &self.publisher {
            publisher.event(channel, &event);
        }
        if let Some(event) = Event::of(&event) {
            self.say(channel, event, out);
        }
    }

    fn text(&mut self, text: &str, _out: &mut Outbox) -> Result<(), Rejection> {
        match FromClient::parse(text)? {
            FromClient::Finish => self.stream.finish(),
            FromClient::Flush => self.stream.flush(),
            FromClient::Acknowledge { seq } => self.history.acknowledge(seq)?,
            FromClient::Start(_) | FromClient::Resume { .. } => {
                return Err(Rejection::malformed(
                    "the stream runs already; open another connection for another one",
                ));
            }
        }
        Ok(())
    }

    fn binary(&mut self, data: Bytes, _out: &mut Outbox) -> Result<(), Rejection> {
        self.stream.feed(data);
        Ok(())
    }

    async fn kept(&mut self) {
        self.keep().await;
    }

    async fn left(&mut self) -> bool {
        self.leave().await
    }

    fn refused(&mut self, rejection: &Rejection, out: &mut Outbox) -> (u16, String) {
        if let Some(publisher) = &self.publisher {
            publisher.rejected(rejection);
        }
        self.say(None, Event::error(rejection), out);
        (rejection.close_code(), rejection.code().to_owned())
    }
}

/// Parses a client's message, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) fn attack(text: &str) -> Result<(), Rejection> {
    match FromClient::parse(text)? {
        FromClient::Start(start) => start.options().map(drop),
        _ => Ok(()),
    }
}
