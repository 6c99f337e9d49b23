//! Rejections as Deepgram writes them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::request_id;
use crate::App;
use crate::rejection::Rejection;

/// The answer to a request that is refused; it is counted and logged.
pub(super) fn refused(app: &App, rejection: &Rejection) -> Response {
    app.note(rejection);
    let body = said(&rejection.to_string(), code(rejection));
    match rejection {
        // A model is a parameter there, and no thing at an address.
        Rejection::UnknownModel(_) => (StatusCode::BAD_REQUEST, Json(body)).into_response(),
        _ => rejection.answer(Json(body)),
    }
}

/// An error, in Deepgram's form.
pub(crate) fn said(message: &str, code: &str) -> Value {
    json!({ "err_code": code, "err_msg": message, "request_id": request_id() })
}

pub(super) fn code(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::NoKey | Rejection::WrongKey | Rejection::Revoked => "INVALID_AUTH",
        Rejection::Foreign => "INSUFFICIENT_PERMISSIONS",
        Rejection::UnknownModel(_) | Rejection::Invalid { .. } | Rejection::Unsupported { .. } => {
            "INVALID_QUERY_PARAMETER"
        }
        Rejection::TooLarge(_) | Rejection::TooLong(_) => "PAYLOAD_TOO_LARGE",
        Rejection::TooManyStreams(_)
        | Rejection::TooManyUploads(_)
        | Rejection::TooManyMessages(_)
        | Rejection::TooManyWatchers(_)
        | Rejection::TooManySecrets(_)
        | Rejection::TooMuchAudio { .. } => "TOO_MANY_REQUESTS",
        Rejection::TooSlow => "SLOW_UPLOAD",
        Rejection::Incomplete | Rejection::Audio(_) => "Bad Request",
        Rejection::NotReady
        | Rejection::Draining
        | Rejection::Full
        | Rejection::NoRoom
        | Rejection::Busy { .. } => "SERVICE_UNAVAILABLE",
        Rejection::Internal => "INTERNAL_SERVER_ERROR",
    }
}

/// Why a live stream ends: a message, and the reason of the close frame.
pub(super) fn error_message(rejection: &Rejection) -> (Value, String) {
    let (variant, code) = match rejection {
        Rejection::TooSlow => ("Timeout", "NET-0001"),
        Rejection::Invalid { .. } | Rejection::Unsupported { .. } => ("SchemaError", "DATA-0000"),
        Rejection::TooLarge(_) | Rejection::Audio(_) => ("DataError", "DATA-0000"),
        _ => ("ServerError", "NET-0000"),
    };
    let message =
        json!({ "type": "Error", "variant": variant, "description": rejection.to_string(), "code": code });
    (message, format!("{code}: {rejection}"))
}
