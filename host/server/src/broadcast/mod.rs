//! Broadcasts: the text of a stream that has a name, for any number of watchers.
//!
//! A stream that is opened with a name publishes its events; connections to `/v1/watch/NAME`
//! receive them. A watcher may come before the stream and stay for the next one of that name. It
//! never holds the stream up: one that reads too slowly misses messages, and learns how many.

mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use axum::extract::ws::Utf8Bytes;
use hearken::session::SessionEvent;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;

pub(super) use self::watch::upgrade;
use super::App;
use super::native_ws::Event;
use super::rejection::Rejection;
use super::tenants::Tenant;

/// Messages that a watcher may be behind before it misses some: about a minute of speech.
const BACKLOG: usize = 256;
/// Longest name, in bytes.
const MAX_NAME: usize = 128;

/// The tenant's name, and the broadcast's.
type Key = (Arc<str>, Arc<str>);

/// The broadcasts that somebody publishes or watches, and how many uses each has.
#[derive(Default)]
pub(super) struct Broadcasts(Mutex<HashMap<Key, (Arc<Broadcast>, usize)>>);

struct Broadcast {
    key: Key,
    messages: broadcast::Sender<Utf8Bytes>,
    /// A stream publishes it.
    on_air: AtomicBool,
}

/// A use of a broadcast, which the last user takes along.
struct Use {
    app: Arc<App>,
    broadcast: Arc<Broadcast>,
}

impl Use {
    /// # Errors
    ///
    /// The name cannot be one.
    fn of(app: &Arc<App>, tenant: &Tenant, name: &str) -> Result<Self, Rejection> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(Rejection::invalid(
                "name",
                format!(
                    "a name is 1 to {MAX_NAME} letters, digits, `-`, `_`, `.` and `:`; choose another one"
                ),
            ));
        }
        let key = (Arc::clone(&tenant.name), Arc::from(name));
        let mut all = app.broadcasts.0.lock();
        let (broadcast, uses) = all.entry(key.clone()).or_insert_with(|| {
            let (messages, on_air) = (broadcast::Sender::new(BACKLOG), AtomicBool::new(false));
            (Arc::new(Broadcast { key, messages, on_air }), 0)
        });
        *uses += 1;
        Ok(Self { app: Arc::clone(app), broadcast: Arc::clone(broadcast) })
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut all = self.app.broadcasts.0.lock();
        if let Some((_, uses)) = all.get_mut(&self.broadcast.key) {
            *uses -= 1;
            if *uses == 0 {
                all.remove(&self.broadcast.key);
            }
        }
    }
}

/// News of the broadcast itself, for its watchers.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum News<'a> {
    /// The first message to a watcher.
    Watching { name: &'a str, on_air: bool },
    /// A stream of this name begins.
    OnAir,
    /// It has ended, whatever the reason.
    OffAir,
    /// Messages that came while the watcher did not read.
    Missed { messages: u64 },
}

/// An event of the stream, in the form of hearken's own protocol.
#[derive(Serialize)]
pub(super) struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel: Option<usize>,
    #[serde(flatten)]
    pub(super) event: Event,
}

/// The stream's end of a broadcast.
pub(super) struct Publisher(Use);

impl Publisher {
    /// Takes the name for a stream.
    ///
    /// # Errors
    ///
    /// The name cannot be one, or another stream of this tenant has it.
    pub(super) fn new(app: &Arc<App>, tenant: &Tenant, name: &str) -> Result<Self, Rejection> {
        let used = Use::of(app, tenant, name)?;
        if used.broadcast.on_air.swap(true, SeqCst) {
            return Err(Rejection::invalid(
                "name",
                "another stream has this name; end it, or choose another name",
            ));
        }
        let publisher = Self(used);
        publisher.send(&News::OnAir);
        Ok(publisher)
    }

    /// Tells watchers of an event of the stream, and of its channel where channels are apart.
    pub(super) fn event(&self, channel: Option<usize>, event: &SessionEvent) {
        if self.0.broadcast.messages.receiver_count() > 0
            && let Some(event) = Event::of(event)
        {
            self.send(&Told { channel, event });
        }
    }

    /// Tells watchers why the stream is ended.
    pub(super) fn rejected(&self, rejection: &Rejection) {
        self.send(&Told { channel: None, event: Event::error(rejection) });
    }

    fn send(&self, message: &impl Serialize) {
        // Our own types serialize; and without a watcher it is lost, as it should be.
        if let Ok(text) = serde_json::to_string(message) {
            let _ = self.0.broadcast.messages.send(text.into());
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.send(&News::OffAir);
        self.0.broadcast.on_air.store(false, SeqCst);
    }
}
