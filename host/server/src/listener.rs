//! Connections: accepting them, TLS, and the limits that hold before a request is read.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tower::ServiceExt;

use super::App;
use super::addresses::Share;
use super::inflow::{self, Inflow};
use super::metrics::Counted;
use super::places::Places;

/// Time limit of a request's headers, and of a TLS handshake.
pub(super) const HEADERS: Duration = Duration::from_secs(15);
/// Time limit where three quarters of the connections are taken.
const HURRIED: Duration = Duration::from_secs(3);
/// Most bytes of a request's line and headers.
pub(super) const MAX_HEADERS: usize = 32 << 10;
/// Time for which the system keeps trying to deliver data that a client does not read, before it
/// breaks the connection.
const UNREAD: Duration = Duration::from_secs(60);
/// Pause after an error that would come again at once, such as too many open files.
pub(super) const BACK_OFF: Duration = Duration::from_millis(100);

/// Peer of a connection, and its place among those that the server has. A WebSocket that comes of
/// it keeps this as long as it lives.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Memory of the message that is on its way in.
    pub(super) inflow: Arc<Inflow>,
    /// Patience for its first bytes.
    patience: Duration,
    _held: Arc<Held>,
}

struct Held {
    _place: OwnedSemaphorePermit,
    _share: Share,
    _alive: mpsc::Sender<()>,
    _counted: Counted,
}

/// Takes connections and serves `router` on them until the server drains. `alive` is held until
/// each has ended.
pub(super) async fn accept(
    app: Arc<App>,
    places: Arc<Places>,
    listener: TcpListener,
    router: Router,
    alive: mpsc::Sender<()>,
) {
    each(app, places, listener, alive, |app, stream, peer: Peer| {
        let router = router.clone();
        async move {
            let (address, patience) = (peer.address, peer.patience);
            match app.acceptor() {
                None => serve(&app, stream, peer, patience, router).await,
                Some(acceptor) => match timeout(patience, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => serve(&app, stream, peer, patience, router).await,
                    Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS"),
                    Err(_) => tracing::debug!(%address, "the TLS handshake took too long"),
                },
            }
        }
    })
    .await;
}

/// Accepts connections and serves each with `serve`, until the server drains. `alive` is held until
/// each has ended.
pub(super) async fn each<F>(
    app: Arc<App>,
    places: Arc<Places>,
    listener: TcpListener,
    alive: mpsc::Sender<()>,
    serve: impl Fn(Arc<App>, TcpStream, Peer) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &places) => accepted,
            () = app.drained() => return,
        };
        let (stream, address, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        let Some(share) = Share::take(&places.addresses, address.ip()) else {
            // Closed without an answer: a client that opens this many does not wait for one.
            app.metrics.refused("too_many_connections");
            tracing::debug!(%address, "has too many connections");
            continue;
        };
        // Where there is hardly room for more, a silent connection makes room for others.
        let patience = if places.are_scarce() { HURRIED } else { HEADERS };
        let held = Held {
            _place: place,
            _share: share,
            _alive: alive.clone(),
            _counted: Counted::new(&app.metrics.connections),
        };
        let peer = Peer { address, inflow: Arc::default(), patience, _held: Arc::new(held) };
        settle(&stream);
        tokio::spawn(serve(Arc::clone(&app), stream, peer));
    }
}

/// The next connection, when there is room for one; others wait in the system's queue.
async fn next(
    listener: &TcpListener,
    places: &Places,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.take().await?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// Bytes of a request's line and headers. The parser's buffer is not their limit: it takes in what
/// has come by then.
fn head(request: &Request<Incoming>) -> usize {
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    request.uri().path_and_query().map_or(0, |path| path.as_str().len()) + headers.sum::<usize>()
}

fn too_large() -> Response {
    let message = format!("the request's headers are larger than {} KiB; send fewer", MAX_HEADERS >> 10);
    let body = Json(json!({ "error": { "code": "headers_too_large", "message": message } }));
    (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, body).into_response()
}

/// Sets the options of a connection: text is sent at once, and unread data times out.
fn settle(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, UNREAD.as_millis() as u32);
}

async fn serve<S>(app: &App, stream: S, peer: Peer, patience: Duration, router: Router)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let address = peer.address;
    let stream = inflow::Counted::new(stream, Arc::clone(&peer.inflow));
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let router = router.clone();
        async move {
            if head(&request) > MAX_HEADERS {
                app.metrics.refused("headers_too_large");
                return Ok(too_large());
            }
            router.oneshot(request).await
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = app.drained() => {
            // What was asked for is answered, and nothing more is taken.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "connection ended");
    }
}
