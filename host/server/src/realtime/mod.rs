//! OpenAI's Realtime interface, transcription sessions:
//! <https://platform.openai.com/docs/guides/realtime-transcription>.

mod pause;
mod secrets;
mod session;
mod setup;
mod turns;

use std::sync::Arc;

use axum::Json;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use tokio::sync::Notify;

pub(super) use self::secrets::{Secrets, create as create_secret};
use self::session::Realtime;
#[cfg(any(test, fuzzing))]
pub(super) use self::session::attack;
use super::App;
use super::listener::Peer;
use super::openai::error_body;
use super::socket::{drive, limited};

/// `GET /v1/realtime`.
pub(super) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    match Realtime::open(&app, &headers, &query) {
        Ok(realtime) => limited(upgrade).protocols(["realtime"]).on_upgrade(move |socket| async move {
            serve(app, realtime, socket).await;
            drop(peer);
        }),
        Err(rejection) => {
            app.note(&rejection);
            rejection.answer(Json(error_body(&rejection)))
        }
    }
}

async fn serve(app: Arc<App>, mut realtime: Realtime, mut socket: WebSocket) {
    let revoked = realtime.revoked();
    let ended = drive(&mut socket, &mut realtime, &app, &Notify::new(), revoked).await;
    tracing::info!(stream = realtime.log_name(), "{ended:?}");
}
