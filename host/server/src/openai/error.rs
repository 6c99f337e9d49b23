//! Rejections as OpenAI writes them.

use axum::Json;
use axum::response::Response;
use serde_json::{Value, json};

use crate::App;
use crate::rejection::Rejection;

/// The answer to a request that is refused; it is counted and logged.
pub(super) fn refused(app: &App, rejection: &Rejection) -> Response {
    app.note(rejection);
    rejection.answer(Json(body(rejection)))
}

/// `{"error": …}`.
pub(crate) fn body(rejection: &Rejection) -> Value {
    let kind = match rejection.status().as_u16() {
        429 => "rate_limit_error",
        status if status >= 500 => "server_error",
        _ => "invalid_request_error",
    };
    json!({ "error": {
        "message": rejection.to_string(), "type": kind, "param": rejection.parameter(), "code": rejection.code(),
    } })
}
