//! OpenAI's interfaces, as its clients speak them:
//! <https://platform.openai.com/docs/api-reference/audio>.

mod answer;
mod error;
mod form;
mod transcriptions;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

pub(super) use self::answer::{Heard, LogProb};
pub(super) use self::error::body as error_body;
use self::error::refused;
pub(super) use self::form::{field_name, languages_of};
use super::App;
use super::models::Listed;
use super::rejection::{Rejection, quote};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/audio/transcriptions", post(transcriptions::transcribe))
        .route("/v1/audio/translations", post(transcriptions::translate))
        // Uploads have a limit of their own, each tenant's.
        .layer(DefaultBodyLimit::disable())
        .route("/v1/models", get(models))
        .route("/v1/models/{model}", get(model))
}

/// Answer for unknown addresses, in OpenAI's words.
pub(super) async fn nothing_here(method: Method, uri: Uri) -> Response {
    let message = format!("there is no {method} {}; see docs/server.md for what there is", quote(uri.path()));
    (StatusCode::NOT_FOUND, Json(said(&message, "unknown_url"))).into_response()
}

/// An error that is no [`Rejection`]: one of HTTP's.
pub(super) fn said(message: &str, code: &str) -> Value {
    json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": code } })
}

async fn models(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let list = app.admit(&headers, None).and_then(|tenant| app.models.list(&tenant));
    match list {
        Ok(list) => {
            let data: Vec<Value> = list.iter().map(describe).collect();
            Json(json!({ "object": "list", "data": data })).into_response()
        }
        Err(rejection) => refused(&app, &rejection),
    }
}

async fn model(State(app): State<Arc<App>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let found = app.admit(&headers, None).and_then(|tenant| {
        let (known, _) = app.models.find(&tenant, Some(&name))?;
        let listed = app.models.list(&tenant)?.into_iter().find(|model| model.name == known);
        listed.ok_or_else(|| Rejection::UnknownModel(quote(&name)))
    });
    match found {
        Ok(model) => Json(describe(&model)).into_response(),
        Err(rejection) => refused(&app, &rejection),
    }
}

fn describe(model: &Listed) -> Value {
    json!({ "id": model.name, "object": "model", "created": model.created, "owned_by": "hearken" })
}

/// Parses a client's form, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) async fn attack(headers: &HeaderMap, body: axum::body::Body, limit: u64) -> Result<(), Rejection> {
    /// A disk that is as large as anybody wants.
    struct Endless(u64);

    impl super::upload::Room for Endless {
        fn limit(&self) -> u64 {
            self.0
        }

        fn store(&self, _file: std::os::fd::BorrowedFd<'_>, _len: u64) -> Result<(), Rejection> {
            Ok(())
        }
    }

    form::read(headers, body, &Endless(limit)).await.map(drop)
}
