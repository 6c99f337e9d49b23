//! Endpoints for the operator.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::listener::Peer;
use super::metrics::CONTENT_TYPE;
use super::ticket::is_local;
use super::{App, engine_metrics};

/// Makes the routes of health for everybody; `metrics` decides who may read the metrics, which name
/// tenants.
pub(super) fn routes(metrics: Audience) -> Router<Arc<App>> {
    let metrics = move |state: State<Arc<App>>, peer: Extension<Peer>, headers: HeaderMap| async move {
        match metrics {
            Audience::Nobody => StatusCode::NOT_FOUND.into_response(),
            Audience::ThisMachine if !is_from_here(&peer, &headers) => (
                StatusCode::FORBIDDEN,
                "metrics are for this machine; set `operations` for another address\n",
            )
                .into_response(),
            _ => {
                let text = state.metrics.text(&engine_metrics::of_server(&state));
                ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
            }
        }
    };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// Returns true if a program of this machine asks for itself: not a proxy for another, nor a page
/// under another name.
fn is_from_here(peer: &Peer, headers: &HeaderMap) -> bool {
    let is_passed_on =
        ["forwarded", "x-forwarded-for", "x-real-ip"].iter().any(|name| headers.contains_key(*name));
    peer.address.ip().to_canonical().is_loopback() && is_local(headers) && !is_passed_on
}

/// Readers of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    Nobody,
    ThisMachine,
    Everybody,
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let (status, text) = match (app.is_draining(), app.models.are_loaded()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "loading models\n"),
        (false, true) => (StatusCode::OK, "ready\n"),
    };
    (status, text).into_response()
}
