//! Messages about sandboxes, each to the task that has the sandbox.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::id::Id;

/// Messages that wait for one task. More are dropped, and asked for again.
const QUEUED: usize = 64;

/// The tasks of a process, by their sandboxes.
pub(crate) struct Seats<M>(Arc<Mutex<HashMap<Id, Sender<M>>>>);

/// A task's end: the messages about its sandbox, until it is dropped.
pub(crate) struct Seat<M> {
    pub(crate) id: Id,
    inbox: Receiver<M>,
    seats: Seats<M>,
}

impl<M> Seats<M> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Takes the messages about a sandbox; `None` if another task has them already.
    pub(crate) fn open(&self, id: Id) -> Option<Seat<M>> {
        let (sender, inbox) = mpsc::channel(QUEUED);
        let mut seats = self.0.lock();
        if seats.contains_key(&id) {
            return None;
        }
        seats.insert(id, sender);
        Some(Seat { id, inbox, seats: Self(Arc::clone(&self.0)) })
    }

    /// Delivers a message. Returns false if no task has that sandbox.
    pub(crate) fn deliver(&self, id: Id, message: M) -> bool {
        match self.0.lock().get(&id) {
            Some(sender) => {
                if sender.try_send(message).is_err() {
                    tracing::debug!(%id, "a message was dropped: too many wait");
                }
                true
            }
            None => false,
        }
    }

    /// Number of tasks.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl<M> Seat<M> {
    /// The next message. Cancellation is safe.
    pub(crate) async fn next(&mut self) -> Option<M> {
        self.inbox.recv().await
    }
}

impl<M> Drop for Seat<M> {
    fn drop(&mut self) {
        self.seats.0.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_to_the_task_that_has_the_sandbox_and_to_no_other() {
        let seats = Seats::new();
        let (one, two) = (Id::new(), Id::new());
        let mut seat = seats.open(one).unwrap();
        let _other = seats.open(two).unwrap();
        assert!(seats.open(one).is_none(), "it is taken");
        assert!(seats.deliver(one, 1) && seats.deliver(two, 2) && seats.deliver(one, 3));
        assert_eq!((seat.next().await, seat.next().await, seats.len()), (Some(1), Some(3), 2));
        drop(seat);
        assert!(!seats.deliver(one, 4), "late messages are nobody's");
    }

    #[test]
    fn a_flood_is_cut_off() {
        let seats = Seats::new();
        let id = Id::new();
        let mut seat = seats.open(id).unwrap();
        for n in 0..10 * QUEUED {
            assert!(seats.deliver(id, n));
        }
        let mut left = 0;
        while seat.inbox.try_recv().is_ok() {
            left += 1;
        }
        assert_eq!(left, QUEUED);
    }
}
