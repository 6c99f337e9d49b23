//! `GET /v1/watch/NAME`: a WebSocket that receives a broadcast.

use std::sync::Arc;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};

use super::{News, Told, Use};
use crate::App;
use crate::metrics::{ByTenant, Counted};
use crate::native_ws::{Event, SUBPROTOCOL, offered_key};
use crate::rejection::Rejection;
use crate::socket::{Opening, PING_AFTER, close, send};
use crate::tenants::Admitted;

pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    asked: Result<Opening, WebSocketUpgradeRejection>,
) -> Response {
    let tenant = match app.admit(&headers, offered_key(&headers)) {
        Ok(tenant) => tenant,
        Err(rejection) => return app.refuse(&rejection),
    };
    let watcher = match Watcher::new(&app, &tenant, &name) {
        Ok(watcher) => watcher,
        Err(rejection) => return app.refuse(&rejection),
    };
    match asked {
        Ok(opening) => opening.accept(&[SUBPROTOCOL], move |mut socket| async move {
            if let Err(rejection) = watcher.serve(&mut socket).await {
                app.note(&rejection);
                let told = Told { channel: None, event: Event::error(&rejection) };
                let _ = send(&mut socket, text(&told)).await;
                close(&mut socket, rejection.close_code(), rejection.code()).await;
            }
        }),
        Err(rejection) => rejection.into_response(),
    }
}

/// A connection that watches, and its place among those that its tenant may have.
struct Watcher {
    used: Use,
    tenant: Admitted,
    _counted: Counted,
}

impl Watcher {
    fn new(app: &Arc<App>, tenant: &Admitted, name: &str) -> Result<Self, Rejection> {
        if app.is_draining() {
            return Err(Rejection::Draining);
        }
        let used = Use::of(app, tenant, name)?;
        tenant.take_watcher()?;
        let labels = ByTenant { tenant: Arc::clone(&tenant.name) };
        let counted = Counted::new(&app.metrics.watchers.get_or_create(&labels));
        Ok(Self { used, tenant: tenant.clone(), _counted: counted })
    }

    /// Passes messages on until the watcher or the server ends it.
    ///
    /// # Errors
    ///
    /// The watcher's key is revoked, or the server drains.
    async fn serve(&self, socket: &mut WebSocket) -> Result<(), Rejection> {
        let Use { app, broadcast } = &self.used;
        let mut messages = broadcast.messages.subscribe();
        let revoked = app.revoked(&self.tenant);
        tokio::pin!(revoked);
        let on_air = broadcast.on_air.load(std::sync::atomic::Ordering::SeqCst);
        let mut next = text(&News::Watching { name: &broadcast.key.1, on_air });
        let (mut alive, mut asked) = (Instant::now(), false);
        loop {
            if send(socket, next).await.is_err() {
                return Ok(());
            }
            next = loop {
                tokio::select! {
                    message = messages.recv() => match message {
                        Ok(text) => break Message::Text(text),
                        Err(RecvError::Lagged(messages)) => break text(&News::Missed { messages }),
                        // Its sender is here.
                        Err(RecvError::Closed) => return Ok(()),
                    },
                    came = socket.recv() => match came {
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                        Some(Ok(_)) => (alive, asked) = (Instant::now(), false),
                    },
                    () = sleep_until(alive + if asked { 2 * PING_AFTER } else { PING_AFTER }) => {
                        if std::mem::replace(&mut asked, true) {
                            return Ok(());
                        }
                        break Message::Ping(Bytes::new());
                    }
                    () = &mut revoked => return Err(Rejection::Revoked),
                    () = app.drained() => return Err(Rejection::Draining),
                }
            };
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.tenant.give_watcher_back();
    }
}

fn text(message: &impl Serialize) -> Message {
    Message::Text(serde_json::to_string(message).unwrap_or_default().into())
}
