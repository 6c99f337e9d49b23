//! Health and metrics of a process without clients: a worker of a cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::future::BoxFuture;
use hearken::{Model, Share};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tower::ServiceExt;

use super::listener::{BACK_OFF, HEADERS, MAX_HEADERS};
use super::metrics::CONTENT_TYPE;
use super::{ServerError, engine_metrics, metrics};

/// Most connections at a time.
const CONNECTIONS: usize = 64;

/// A process whose metrics can be read.
pub trait Observed: Send + Sync {
    /// True while it takes utterances.
    fn is_ready(&self) -> bool;
    /// Models, by the names that clients use.
    fn models(&self) -> Vec<(String, Model)>;
    /// Shares, by the names of their tenants.
    fn shares(&self) -> Vec<(Arc<str>, Share)>;
    /// Utterances that it serves at the same time, at most.
    fn room(&self) -> u32;
    /// Sandboxes that it has now.
    fn sandboxes(&self) -> usize;
}

/// Address at which a process without clients answers its operator: `/healthz`, `/readyz` and
/// `/metrics`, without keys and without TLS.
pub struct Operations(TcpListener);

impl Operations {
    /// Takes the address.
    ///
    /// # Errors
    ///
    /// [`ServerError::Listen`].
    ///
    /// # Panics
    ///
    /// Outside of a runtime of tokio.
    pub fn bind(address: SocketAddr) -> Result<Self, ServerError> {
        super::listen(address).map(Self)
    }

    /// Address of the listener.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()
    }

    /// Answers until the future is dropped.
    // Boxed, as `Server::run` is.
    pub fn serve(self, observed: Arc<dyn Observed>) -> BoxFuture<'static, ()> {
        Box::pin(self.answer(observed))
    }

    async fn answer(self, observed: Arc<dyn Observed>) {
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(scrape))
            .with_state(observed);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, _)) = self.0.accept().await else {
                sleep(BACK_OFF).await;
                continue;
            };
            let router = router.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| router.clone().oneshot(request));
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(MAX_HEADERS);
                // Whoever asks sees that the connection broke.
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
                drop(place);
            });
        }
    }
}

async fn ready(State(observed): State<Arc<dyn Observed>>) -> impl IntoResponse {
    if observed.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n")
    }
}

async fn scrape(State(observed): State<Arc<dyn Observed>>) -> impl IntoResponse {
    let text = metrics::text(&[&engine_metrics::of_worker(&*observed)]);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text)
}
