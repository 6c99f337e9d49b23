//! From a request for a WebSocket to the stream behind it, for both interfaces.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::error::refused;
use crate::App;
use crate::rejection::Rejection;
use crate::socket::{Adapter, Opening, drive_and_log};
use crate::stream::revoked;
use crate::ticket::offered_protocols;

/// One of the interfaces.
pub(super) trait Interface: Adapter + Sized + 'static {
    /// Opens a stream for a client's request.
    ///
    /// # Errors
    ///
    /// When the client may not have it, or asks for something else than there is.
    fn open(app: &Arc<App>, headers: &HeaderMap, query: &[(String, String)]) -> Result<Self, Rejection>;

    /// Name of the request.
    fn id(&self) -> &str;
}

pub(super) async fn upgrade<T: Interface>(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    opening: Opening,
) -> Response {
    let mut adapter = match T::open(&app, &headers, &query) {
        Ok(adapter) => adapter,
        Err(rejection) => return refused(&app, &rejection),
    };
    let id = adapter.id().to_owned();
    let header = id.parse();
    let mut response = opening.accept(&["token"], move |socket| {
        let revoked = revoked(None, adapter.stream().map(|stream| &*stream));
        drive_and_log(socket, adapter, app, id, revoked)
    });
    if let Ok(id) = header {
        response.headers_mut().insert("dg-request-id", id);
    }
    response
}

/// The key that a browser offers as a subprotocol.
pub(super) fn key(headers: &HeaderMap) -> Option<&str> {
    match offered_protocols(headers)[..] {
        [scheme, key, ..] if ["token", "bearer"].iter().any(|name| scheme.eq_ignore_ascii_case(name)) => {
            Some(key)
        }
        _ => None,
    }
}
