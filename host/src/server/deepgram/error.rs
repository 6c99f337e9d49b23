//! Refusals as Deepgram writes them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::request_id;
use crate::server::App;
use crate::server::refusal::Refusal;

/// The answer to a request that is refused; it is counted and logged.
pub(super) fn refused(app: &App, refusal: &Refusal) -> Response {
    app.note(refusal);
    let body = said(&refusal.to_string(), code(refusal));
    match refusal {
        // A model is a parameter there, and no thing at an address.
        Refusal::UnknownModel(_) => (StatusCode::BAD_REQUEST, Json(body)).into_response(),
        _ => refusal.answer(Json(body)),
    }
}

/// An error, in Deepgram's form.
pub(in crate::server) fn said(message: &str, code: &str) -> Value {
    json!({ "err_code": code, "err_msg": message, "request_id": request_id() })
}

fn code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoKey | Refusal::WrongKey | Refusal::Revoked => "INVALID_AUTH",
        Refusal::Foreign => "INSUFFICIENT_PERMISSIONS",
        Refusal::UnknownModel(_) | Refusal::Invalid { .. } | Refusal::Unsupported { .. } => {
            "INVALID_QUERY_PARAMETER"
        }
        Refusal::TooLarge(_) | Refusal::TooLong(_) => "PAYLOAD_TOO_LARGE",
        Refusal::TooManyStreams(_)
        | Refusal::TooManyUploads(_)
        | Refusal::TooManySecrets(_)
        | Refusal::TooMuchAudio { .. } => "TOO_MANY_REQUESTS",
        Refusal::TooSlow => "SLOW_UPLOAD",
        Refusal::Incomplete | Refusal::Audio(_) => "Bad Request",
        Refusal::NotReady | Refusal::Draining | Refusal::Full | Refusal::NoRoom | Refusal::Busy { .. } => {
            "SERVICE_UNAVAILABLE"
        }
        Refusal::Internal => "INTERNAL_SERVER_ERROR",
    }
}

/// Why a live stream ends: a message, and the reason of the close frame.
pub(super) fn told(refusal: &Refusal) -> (Value, String) {
    let (variant, code) = match refusal {
        Refusal::TooSlow => ("Timeout", "NET-0001"),
        Refusal::Invalid { .. } | Refusal::Unsupported { .. } => ("SchemaError", "DATA-0000"),
        Refusal::TooLarge(_) | Refusal::Audio(_) => ("DataError", "DATA-0000"),
        _ => ("ServerError", "NET-0000"),
    };
    let message =
        json!({ "type": "Error", "variant": variant, "description": refusal.to_string(), "code": code });
    (message, format!("{code}: {refusal}"))
}
