//! Refusals as OpenAI writes them.

use axum::Json;
use axum::response::Response;
use serde_json::{Value, json};

use crate::server::App;
use crate::server::refusal::Refusal;

/// The answer to a request that is refused; it is counted and logged.
pub(super) fn refused(app: &App, refusal: &Refusal) -> Response {
    app.note(refusal);
    refusal.answer(Json(body(refusal)))
}

/// `{"error": …}`.
pub(in crate::server) fn body(refusal: &Refusal) -> Value {
    let kind = match refusal.status().as_u16() {
        429 => "rate_limit_error",
        status if status >= 500 => "server_error",
        _ => "invalid_request_error",
    };
    json!({ "error": {
        "message": refusal.to_string(), "type": kind, "param": refusal.parameter(), "code": refusal.code(),
    } })
}
