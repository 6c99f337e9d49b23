//! The page at `/`: a microphone in a browser, captioned over hearken's own WebSocket. The overlay:
//! captions of a broadcast, on nothing, for a picture behind them. Where it is given, the page that
//! recognizes in the browser itself.

mod web;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};

pub(super) use self::web::Web;
use super::App;

/// Only content that is served here, and no framing: a model's text cannot become a script even if
/// it became markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router<Arc<App>> {
    let file = |kind: &'static str, text: &'static str| get(move || async move { answer(kind, text) });
    Router::new()
        .route("/page/style.css", file("text/css; charset=utf-8", include_str!("style.css")))
        .route("/page/page.js", file("text/javascript; charset=utf-8", include_str!("page.js")))
        .route("/page/worklet.js", file("text/javascript; charset=utf-8", include_str!("worklet.js")))
        .route("/overlay", file("text/html; charset=utf-8", include_str!("overlay.html")))
        .route("/page/overlay.css", file("text/css; charset=utf-8", include_str!("overlay.css")))
        .route("/page/overlay.js", file("text/javascript; charset=utf-8", include_str!("overlay.js")))
        .route("/page/where.json", get(other))
        .merge(web::routes())
}

/// Where the other page is, if anywhere.
async fn other(State(app): State<Arc<App>>) -> impl IntoResponse {
    Json(serde_json::json!({ "here": app.web.is_some().then_some(web::INDEX) }))
}

/// The page itself.
pub(super) fn index() -> impl IntoResponse {
    answer("text/html; charset=utf-8", include_str!("index.html"))
}

fn answer(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
