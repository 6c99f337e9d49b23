//! Errors that HTTP has and no protocol of ours: a method that an address does not take, a body
//! that is compressed, an upgrade that is none. Clients read errors as JSON, these as well.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::rejection::quote;
use super::{deepgram, openai};

/// Prefixes of the interfaces; other paths answer in their own way.
const INTERFACES: [&str; 2] = ["/v1/", "/v2/"];
/// Longest text of an error that axum writes.
const MOST_TEXT: usize = 1 << 10;

/// Answers requests that an interface would not understand, and turns errors that are not JSON into
/// JSON, in the form of the requested interface.
pub(super) async fn in_json(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if !INTERFACES.iter().any(|prefix| path.starts_with(prefix)) {
        return next.run(request).await;
    }
    if let Some(encoding) = encoded(request.headers()) {
        let message = format!("the body is compressed ({}); send it as it is", quote(&encoding));
        return answer(&path, StatusCode::UNSUPPORTED_MEDIA_TYPE, &message, "unsupported_content_encoding");
    }
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_json(response.headers()) {
        return response;
    }
    let allowed = response.headers().get(header::ALLOW).cloned();
    if status == StatusCode::METHOD_NOT_ALLOWED {
        return not_allowed(&method, &path, allowed);
    }
    let text = to_bytes(response.into_body(), MOST_TEXT).await.unwrap_or_default();
    let text = quote(String::from_utf8_lossy(&text).trim());
    let reason = status.canonical_reason().unwrap_or("the request failed");
    let message = if text.is_empty() { reason } else { &text };
    answer(&path, status, message, "invalid_request")
}

/// The encoding of a body that is not sent as it is.
fn encoded(headers: &HeaderMap) -> Option<String> {
    let encoding = headers.get(header::CONTENT_ENCODING)?;
    let encoding = String::from_utf8_lossy(encoding.as_bytes());
    let plain = encoding.trim().is_empty() || encoding.trim().eq_ignore_ascii_case("identity");
    (!plain).then(|| encoding.into_owned())
}

fn not_allowed(method: &Method, path: &str, allowed: Option<HeaderValue>) -> Response {
    let methods = allowed.as_ref().and_then(|allowed| allowed.to_str().ok()).unwrap_or_default();
    // A route for GET answers HEAD too, which is not intended.
    let methods: Vec<&str> = methods.split(',').filter(|method| !["HEAD", ""].contains(method)).collect();
    let message = format!("{method} is not taken at {}; use {}", quote(path), methods.join(" or "));
    let mut response = answer(path, StatusCode::METHOD_NOT_ALLOWED, &message, "method_not_allowed");
    response.headers_mut().extend(allowed.map(|allowed| (header::ALLOW, allowed)));
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

/// An error in the form of the interface at this address.
fn answer(path: &str, status: StatusCode, message: &str, code: &str) -> Response {
    let body = match path {
        "/v1/listen" | "/v2/listen" => deepgram::said(message, &code.to_ascii_uppercase()),
        _ => openai::said(message, code),
    };
    (status, Json(body)).into_response()
}
