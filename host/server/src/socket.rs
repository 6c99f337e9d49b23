//! A WebSocket with a stream behind it: the loop that all protocols share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use hearken::session::SessionEvent;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::App;
use super::inflow::{Exhausted, Inflow};
use super::listener::Peer;
use super::rejection::Rejection;
use super::stream::Stream;
use super::tenants::Tenant;

/// Longest message, where a protocol has no longer ones: half a minute of speech as most clients
/// send it. Longer ones are refused before they are read.
pub(super) const MAX_MESSAGE: usize = 1 << 20;
/// Size of a connection's read buffer, in bytes; ten thousand idle ones hold as many buffers.
const READ_BUFFER: usize = 4 << 10;
/// Code of a close after which the client is to come back: "service restart" in IANA's registry.
const RESTART: u16 = 1012;
/// Patience for a client that does not read.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);
/// Idle time after which a client is pinged, and the time limit of its answer.
pub(super) const PING_AFTER: Duration = Duration::from_secs(30);

/// A protocol over a WebSocket: translates the client's messages for a [`Stream`], and the stream's
/// events for the client.
pub(super) trait Adapter: Send {
    /// The stream, once there is one.
    fn stream(&mut self) -> Option<&mut Stream>;

    /// There is a connection.
    fn connected(&mut self, _out: &mut Outbox) {}

    /// Tells the client of an event on a channel, which is 0 where channels are averaged.
    fn event(&mut self, channel: usize, event: SessionEvent, out: &mut Outbox);

    /// Takes a text message. A rejection ends the connection.
    fn text(&mut self, text: &str, out: &mut Outbox) -> Result<(), Rejection>;

    /// Takes a binary message. A rejection ends the connection.
    fn binary(&mut self, data: Bytes, out: &mut Outbox) -> Result<(), Rejection>;

    /// Waits until what is about to be sent will outlive the process, where that was promised.
    /// Cancellation is safe.
    fn kept(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Leaves the stream to the next process, to which its client is sent. False if there is no
    /// such thing, or no need: the stream is to be ended.
    fn left(&mut self) -> impl Future<Output = bool> + Send {
        std::future::ready(false)
    }

    /// All events so far were delivered, and perhaps audio was accepted.
    fn settled(&mut self, _out: &mut Outbox) {}

    /// The stream's last event was delivered.
    fn ended(&mut self, _out: &mut Outbox) {}

    /// Reports the end in the protocol's own words; the answer is the content of the close frame.
    fn refused(&mut self, rejection: &Rejection, out: &mut Outbox) -> (u16, String);

    /// Idle timeout of a client, if the protocol has one.
    fn patience(&self) -> Option<Duration> {
        None
    }
}

/// Messages on their way to the client.
#[derive(Default)]
pub(super) struct Outbox(VecDeque<Message>);

impl Outbox {
    pub(super) fn json(&mut self, message: &impl serde::Serialize) {
        // Our own types serialize.
        if let Ok(text) = serde_json::to_string(message) {
            self.text(text);
        }
    }

    pub(super) fn text(&mut self, text: String) {
        self.0.push_back(Message::Text(text.into()));
    }
}

/// Reason of a connection's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything was delivered.
    Finished,
    /// The client closed it.
    Closed,
    /// It was rejected, with the reason.
    Refused,
    /// The connection broke.
    Lost,
    /// It goes on with the next process.
    Left,
}

/// A request for a WebSocket.
pub(super) struct Opening {
    upgrade: WebSocketUpgrade,
    peer: Option<Peer>,
}

impl<S: Send + Sync> FromRequestParts<S> for Opening {
    type Rejection = WebSocketUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await?;
        let upgrade = upgrade
            .max_message_size(MAX_MESSAGE)
            .max_frame_size(MAX_MESSAGE)
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(4 * MAX_MESSAGE);
        Ok(Self { upgrade, peer: parts.extensions.get().cloned() })
    }
}

impl Opening {
    /// Permits messages of up to this number of bytes, with the memory that the tenant has for long
    /// ones; returns the account of that.
    pub(super) fn with_long_messages(mut self, most: usize, tenant: &Arc<Tenant>) -> (Self, Arc<Inflow>) {
        // A connection that nobody counts has short messages.
        let Some(peer) = &self.peer else { return (self, Arc::default()) };
        let inflow = Arc::clone(&peer.inflow);
        inflow.charge(tenant);
        self.upgrade = self.upgrade.max_message_size(most).max_frame_size(most);
        (self, inflow)
    }

    /// Accepts the connection, with the first of these subprotocols that the client offers, if it
    /// offers one. The connection's place in the server is held until `serve` is done.
    pub(super) fn accept<F: Future<Output = ()> + Send + 'static>(
        self,
        protocols: &'static [&'static str],
        serve: impl FnOnce(WebSocket) -> F + Send + 'static,
    ) -> Response {
        let Self { upgrade, peer } = self;
        upgrade.protocols(protocols.iter().copied()).on_upgrade(move |socket| async move {
            serve(socket).await;
            drop(peer);
        })
    }
}

/// Serves a connection to its end. `given_up` ends it at once when it is notified; when the key is
/// `revoked` its client receives an error.
pub(super) async fn drive(
    socket: &mut WebSocket,
    adapter: &mut impl Adapter,
    app: &App,
    given_up: &Notify,
    revoked: impl Future<Output = ()> + Send,
) -> Ended {
    let mut out = Outbox::default();
    let ended = tokio::select! {
        ended = serve(socket, adapter, app, &mut out) => ended,
        () = given_up.notified() => return Ended::Lost,
        () = revoked => Err(Rejection::Revoked),
    };
    match ended {
        Ok(ended) => ended,
        Err(rejection) => {
            app.note(&rejection);
            let (code, reason) = adapter.refused(&rejection, &mut out);
            if let Some(stream) = adapter.stream() {
                stream.give_place_back();
            }
            if send_all(socket, &mut out).await.is_ok() {
                close(socket, code, &reason).await;
            }
            Ended::Refused
        }
    }
}

/// Serves a connection to its end, as [`drive`] does, and drops its adapter. The log has the end
/// under `name`.
pub(super) async fn drive_and_log(
    mut socket: WebSocket,
    mut adapter: impl Adapter,
    app: Arc<App>,
    name: String,
    revoked: impl Future<Output = ()> + Send,
) {
    let ended = drive(&mut socket, &mut adapter, &app, &Notify::new(), revoked).await;
    tracing::info!(stream = name, "{ended:?}");
}

async fn serve(
    socket: &mut WebSocket,
    adapter: &mut impl Adapter,
    app: &App,
    out: &mut Outbox,
) -> Result<Ended, Rejection> {
    let mut draining = false;
    // When something came, and when something came that was no answer to a ping.
    let (mut alive, mut spoke) = (Instant::now(), Instant::now());
    let mut asked = false;
    adapter.connected(out);
    loop {
        if let Some(ended) = tell(socket, adapter, out).await? {
            let code = if draining { 1001 } else { 1000 };
            if ended == Ended::Finished {
                close(socket, code, "").await;
            }
            return Ok(ended);
        }
        let Some(stream) = adapter.stream() else {
            // The connection cannot be ended properly.
            if draining {
                return Err(Rejection::Draining);
            }
            let limit = spoke + adapter.patience().unwrap_or(PING_AFTER);
            tokio::select! {
                message = socket.recv() => {
                    spoke = Instant::now();
                    if let Some(ended) = take(adapter, message, out)? {
                        return Ok(ended);
                    }
                }
                () = sleep_until(limit) => return Err(Rejection::TooSlow),
                () = app.drained() => draining = true,
            }
            continue;
        };
        if stream.has_work() {
            stream.take()?;
            // Others have their turn.
            tokio::task::yield_now().await;
            continue;
        }
        let hungry = stream.is_hungry();
        if !hungry {
            // Nothing is read from the client now, so its silence means nothing.
            alive = Instant::now();
        }
        if !hungry || !stream.is_listening() {
            spoke = Instant::now();
        }
        let delayed = stream.delay().map(|delay| Instant::now() + delay);
        let patience = adapter.patience();
        let silent = patience.map(|patience| spoke + patience);
        let check = alive + if asked { 2 * PING_AFTER } else { PING_AFTER };
        // Only now: it was borrowed until here.
        let Some(stream) = adapter.stream() else { continue };
        tokio::select! {
            () = stream.changed() => {}
            // What came too fast is taken in later.
            () = sleep_until(delayed.unwrap_or(check)), if delayed.is_some() => {}
            message = socket.recv(), if hungry => {
                (alive, asked) = (Instant::now(), false);
                if matches!(message, Some(Ok(Message::Text(_) | Message::Binary(_)))) {
                    spoke = Instant::now();
                }
                if let Some(ended) = take(adapter, message, out)? {
                    return Ok(ended);
                }
            }
            () = sleep_until(silent.unwrap_or(check)), if hungry && silent.is_some() => {
                return Err(Rejection::TooSlow);
            }
            () = sleep_until(check), if hungry => {
                if std::mem::replace(&mut asked, true) {
                    return Ok(Ended::Lost);
                }
                out.0.push_back(Message::Ping(Bytes::new()));
            }
            () = app.drained(), if !draining => {
                draining = true;
                if adapter.left().await {
                    close(socket, RESTART, "resume").await;
                    return Ok(Ended::Left);
                }
                if let Some(stream) = adapter.stream() {
                    stream.finish();
                }
            }
        }
    }
}

/// Sends the event to the client; returns true for the last one.
async fn tell(
    socket: &mut WebSocket,
    adapter: &mut impl Adapter,
    out: &mut Outbox,
) -> Result<Option<Ended>, Rejection> {
    while let Some((channel, event)) = adapter.stream().map(Stream::next).transpose()?.flatten() {
        adapter.event(channel, event, out);
    }
    adapter.settled(out);
    let over = adapter.stream().filter(|stream| stream.is_over()).map(Stream::give_place_back).is_some();
    if over {
        adapter.ended(out);
    }
    adapter.kept().await;
    if send_all(socket, out).await.is_err() {
        return Ok(Some(Ended::Lost));
    }
    Ok(over.then_some(Ended::Finished))
}

/// Takes a message of the client; returns true for the last one.
fn take(
    adapter: &mut impl Adapter,
    message: Option<Result<Message, axum::Error>>,
    out: &mut Outbox,
) -> Result<Option<Ended>, Rejection> {
    match message {
        Some(Ok(Message::Text(text))) => adapter.text(&text, out).map(|()| None),
        Some(Ok(Message::Binary(data))) => adapter.binary(data, out).map(|()| None),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        // Lost connections are distinguished from closed ones: a stream that was closed is not
        // waited for.
        Some(Ok(Message::Close(_))) => Ok(Some(Ended::Closed)),
        Some(Err(error)) => rejection(error).map_or(Ok(Some(Ended::Lost)), Err),
        None => Ok(Some(Ended::Lost)),
    }
}

/// Why a message could not be read, if that is the client's fault.
fn rejection(error: axum::Error) -> Option<Rejection> {
    use tungstenite::Error;
    use tungstenite::error::CapacityError::MessageTooLong;
    match *error.into_inner().downcast::<Error>().ok()? {
        Error::Capacity(MessageTooLong { max_size, .. }) => Some(Rejection::TooLarge(max_size as u64)),
        Error::Io(error) => {
            let exhausted = error.get_ref().and_then(|error| error.downcast_ref());
            exhausted.map(|Exhausted(limit)| Rejection::TooManyMessages(*limit))
        }
        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(error) => {
            Some(Rejection::malformed(format!("this is not a WebSocket message: {error}")))
        }
        Error::Utf8(_) => {
            Some(Rejection::malformed("a text message is not UTF-8; send audio as binary messages"))
        }
        _ => None,
    }
}

/// Sends queued messages, within [`WRITE_PATIENCE`].
async fn send_all(socket: &mut WebSocket, out: &mut Outbox) -> Result<(), ()> {
    while let Some(message) = out.0.pop_front() {
        send(socket, message).await?;
    }
    Ok(())
}

/// Sends a message, within [`WRITE_PATIENCE`].
pub(super) async fn send(socket: &mut WebSocket, message: Message) -> Result<(), ()> {
    timeout(WRITE_PATIENCE, socket.send(message)).await.map_err(drop)?.map_err(drop)
}

/// Rejects a client before it has a stream: reports the reason, in the protocol's words, and
/// closes.
pub(super) async fn refuse(socket: &mut WebSocket, rejection: &Rejection, message: impl serde::Serialize) {
    let mut out = Outbox::default();
    out.json(&message);
    if send_all(socket, &mut out).await.is_ok() {
        close(socket, rejection.close_code(), rejection.code()).await;
    }
}

/// Says goodbye, and waits a little for the client's own.
pub(super) async fn close(socket: &mut WebSocket, code: u16, reason: &str) {
    // A close frame holds 125 bytes: two of them are the code.
    let end = (0..=reason.len().min(123)).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    let frame = CloseFrame { code, reason: reason[..end].into() };
    let goodbye = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // A peer that does not answer is gone.
    let _ = timeout(Duration::from_secs(2), goodbye).await;
}
