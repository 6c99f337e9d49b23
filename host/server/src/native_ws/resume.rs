//! Streams by name: those with a connection, and those that wait for one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::Client;
use crate::App;
use crate::metrics::Counted;
use crate::rejection::Rejection;
use crate::tenants::Tenant;

/// Time limit for a connection to release its stream when another one asks for it.
const LET_GO: Duration = Duration::from_secs(5);

/// All streams of hearken's own protocol, connected or not.
#[derive(Default)]
pub(crate) struct Parked {
    slots: Mutex<HashMap<String, Slot>>,
    /// A stream was parked or forgotten.
    changed: Notify,
}

struct Slot {
    tenant: Arc<str>,
    place: Place,
}

enum Place {
    /// Connected; the connection is released when this is notified.
    Attached(Arc<Notify>),
    /// Waiting for its client, until its time is over.
    Waiting { client: Box<Client>, _counted: Counted, expiry: AbortHandle },
}

impl Parked {
    /// A stream has a connection.
    pub(super) fn attach(&self, id: &str, tenant: &Tenant, given_up: &Arc<Notify>) {
        let place = Place::Attached(Arc::clone(given_up));
        self.slots.lock().insert(id.to_owned(), Slot { tenant: Arc::clone(&tenant.name), place });
    }

    /// A stream lost its connection, and waits for another one.
    pub(super) fn park(&self, app: &Arc<App>, client: Client, tenant: &Tenant) {
        let id = client.id.clone();
        let expiry = tokio::spawn({
            let (app, id) = (Arc::clone(app), id.clone());
            async move {
                tokio::time::sleep(Duration::from_secs(app.config.resume_seconds)).await;
                app.parked.forget(&id);
            }
        });
        let place = Place::Waiting {
            client: Box::new(client),
            _counted: Counted::new(&app.metrics.parked),
            expiry: expiry.abort_handle(),
        };
        self.slots.lock().insert(id, Slot { tenant: Arc::clone(&tenant.name), place });
        self.changed.notify_waiters();
    }

    /// A stream is over.
    pub(super) fn forget(&self, id: &str) {
        // Dropped without the lock: ending a session takes its own.
        let slot = self.slots.lock().remove(id);
        if let Some(Slot { place: Place::Waiting { mut client, .. }, .. }) = slot {
            client.discard();
        }
        self.changed.notify_waiters();
    }

    /// Ends all waiting streams: no client can come back to a process that shuts down. What is kept
    /// of them is there for the next one.
    pub(crate) fn clear(&self) {
        let slots = std::mem::take(&mut *self.slots.lock());
        for slot in slots.into_values() {
            if let Place::Waiting { expiry, .. } = slot.place {
                expiry.abort();
            }
        }
    }

    /// Ends those that wait and whose key is not valid any more.
    pub(crate) fn end_revoked(&self) {
        let revoked = |slot: &mut Slot| match &slot.place {
            Place::Waiting { client, .. } => client.stream.is_revoked(),
            Place::Attached(_) => false,
        };
        let ended: Vec<_> = self.slots.lock().extract_if(|_, slot| revoked(slot)).collect();
        for (_, slot) in ended {
            if let Place::Waiting { expiry, mut client, .. } = slot.place {
                expiry.abort();
                client.discard();
            }
        }
    }

    /// Takes over a stream. If it still has a connection, that one is released: the client's
    /// request is newer. `None` if this tenant has no stream of this name in this process.
    pub(super) async fn take(&self, id: &str, tenant: &Tenant) -> Result<Option<Client>, Rejection> {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                match self.try_take(id, tenant) {
                    Ok(Some(client)) => return Some(client),
                    Ok(None) => changed.await,
                    Err(()) => return None,
                }
            }
        };
        timeout(LET_GO, wait).await.map_err(|_| gone())
    }

    /// Reserves the name of a stream that the process before has left, until it is attached or
    /// forgotten. Returns false if there is a stream of this name.
    pub(super) fn reserve(&self, id: &str, tenant: &Tenant, given_up: &Arc<Notify>) -> bool {
        let mut slots = self.slots.lock();
        let vacant = !slots.contains_key(id);
        if vacant {
            let place = Place::Attached(Arc::clone(given_up));
            slots.insert(id.to_owned(), Slot { tenant: Arc::clone(&tenant.name), place });
        }
        vacant
    }

    /// The stream if it waits; `None` if it will soon.
    fn try_take(&self, id: &str, tenant: &Tenant) -> Result<Option<Client>, ()> {
        let mut slots = self.slots.lock();
        // Another tenant's stream does not exist.
        let slot = slots.get(id).filter(|slot| slot.tenant == tenant.name).ok_or(())?;
        if let Place::Attached(given_up) = &slot.place {
            given_up.notify_one();
            return Ok(None);
        }
        match slots.remove(id).map(|slot| slot.place) {
            Some(Place::Waiting { client, expiry, .. }) => {
                expiry.abort();
                Ok(Some(*client))
            }
            _ => Err(()),
        }
    }
}

/// Rejection for a stream that is not here.
pub(super) fn gone() -> Rejection {
    Rejection::malformed("this stream is not here any more; start another one, and send its audio again")
}
