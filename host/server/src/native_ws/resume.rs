//! Clients that come back to their streams.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::Client;
use super::slots::{Slots, Taken};
use crate::App;
use crate::metrics::Counted;
use crate::rejection::Rejection;
use crate::tenants::Tenant;

/// Time limit for a connection to release its stream when another one asks for it.
const LET_GO: Duration = Duration::from_secs(5);

/// All streams of hearken's own protocol, connected or not. A connection is released when its
/// notification comes.
#[derive(Default)]
pub(crate) struct Parked {
    slots: Slots<Arc<Notify>, Waiting>,
    /// A stream was parked or forgotten.
    changed: Notify,
}

/// A stream that waits for its client, until its time is over.
struct Waiting {
    client: Box<Client>,
    _counted: Counted,
    expiry: AbortHandle,
}

impl Waiting {
    /// Its client comes no more.
    fn discard(mut self) {
        self.expiry.abort();
        self.client.discard();
    }
}

impl Parked {
    /// A stream has a connection.
    pub(super) fn attach(&self, id: &str, tenant: &Tenant, given_up: &Arc<Notify>) {
        self.slots.attach(id, &tenant.name, given_up);
    }

    /// A stream lost its connection, and waits for another one.
    pub(super) fn park(&self, app: &Arc<App>, client: Client, tenant: &Tenant) {
        let id = client.id.clone();
        self.slots.park(&id, &tenant.name, |ticket| {
            let expiry = tokio::spawn({
                let (app, id) = (Arc::clone(app), id.clone());
                async move {
                    tokio::time::sleep(Duration::from_secs(app.config.resume_seconds)).await;
                    if let Some(waiting) = app.parked.slots.expire(&id, ticket) {
                        waiting.discard();
                        app.parked.changed.notify_waiters();
                    }
                }
            });
            Waiting {
                client: Box::new(client),
                _counted: Counted::new(&app.metrics.parked),
                expiry: expiry.abort_handle(),
            }
        });
        self.changed.notify_waiters();
    }

    /// A stream is over; called by the connection that has it.
    pub(super) fn forget(&self, id: &str) {
        self.slots.forget(id);
        self.changed.notify_waiters();
    }

    /// Ends all waiting streams: no client can come back to a process that shuts down. What is kept
    /// of them is there for the next one.
    pub(crate) fn clear(&self) {
        for waiting in self.slots.extract(|_| true) {
            waiting.expiry.abort();
        }
    }

    /// Ends those that wait and whose key is not valid any more.
    pub(crate) fn end_revoked(&self) {
        for waiting in self.slots.extract(|waiting| waiting.client.stream.is_revoked()) {
            waiting.discard();
        }
    }

    /// Takes a stream over, for the connection that `given_up` releases. If it still has another
    /// one, that is released: the client's request is newer. `None` if this tenant has no stream of
    /// this name in this process.
    pub(super) async fn take(
        &self,
        id: &str,
        tenant: &Tenant,
        given_up: &Arc<Notify>,
    ) -> Result<Option<Client>, Rejection> {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                match self.slots.take(id, &tenant.name, given_up) {
                    Taken::Stream(Waiting { client, expiry, .. }) => {
                        expiry.abort();
                        return Some(*client);
                    }
                    Taken::Attached(other) => {
                        other.notify_one();
                        changed.await;
                    }
                    Taken::Unknown => return None,
                }
            }
        };
        timeout(LET_GO, wait).await.map_err(|_| gone())
    }

    /// Reserves the name of a stream that the process before has left, until it is forgotten.
    /// Returns false if there is a stream of this name.
    pub(super) fn reserve(&self, id: &str, tenant: &Tenant, given_up: &Arc<Notify>) -> bool {
        self.slots.reserve(id, &tenant.name, given_up)
    }
}

/// Rejection for a stream that is not here.
pub(super) fn gone() -> Rejection {
    Rejection::malformed("this stream is not here any more; start another one, and send its audio again")
}
