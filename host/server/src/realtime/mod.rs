//! OpenAI's Realtime interface, transcription sessions:
//! <https://platform.openai.com/docs/guides/realtime-transcription>.

mod pause;
mod secrets;
mod session;
mod setup;
mod turns;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;

pub(super) use self::secrets::{Secrets, create as create_secret};
use self::session::Realtime;
#[cfg(any(test, fuzzing))]
pub(super) use self::session::attack;
use super::App;
use super::openai::error_body;
use super::socket::{Opening, drive_and_log};

/// Longest message: OpenAI's 15 MiB of audio as base64, and room for the JSON around it.
const MAX_MESSAGE: usize = (15 << 20) + (4 << 10);

/// `GET /v1/realtime`.
pub(super) async fn upgrade(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    opening: Opening,
) -> Response {
    match Realtime::open(&app, &headers, &query) {
        Ok(mut realtime) => {
            let (opening, inflow) = opening.with_long_messages(MAX_MESSAGE, realtime.tenant());
            realtime.count(inflow);
            opening.accept(&["realtime"], move |socket| {
                let (revoked, name) = (realtime.revoked(), realtime.log_name().to_owned());
                drive_and_log(socket, realtime, app, name, revoked)
            })
        }
        Err(rejection) => {
            app.note(&rejection);
            rejection.answer(Json(error_body(&rejection)))
        }
    }
}
