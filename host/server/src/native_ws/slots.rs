//! Streams by name: those with a connection, and those that wait for one.
//!
//! One connection at a time has a name. It has it from the moment in which it takes the stream
//! over, so that no second one can find the name free and restore the stream from disk. A stream
//! that waits has a ticket: its time is over only if it still waits with the same one, however late
//! the timer comes. `tests/loom` tries these steps in every order.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

/// Names of tenants, as far as a slot needs them.
type Owner = Arc<str>;

/// Streams: `G` asks a connection to give its stream up, `W` is a stream that waits.
pub(crate) struct Slots<G, W>(Mutex<State<G, W>>);

struct State<G, W> {
    slots: HashMap<String, Slot<G, W>>,
    tickets: u64,
}

struct Slot<G, W> {
    owner: Owner,
    place: Place<G, W>,
}

enum Place<G, W> {
    /// Connected.
    Attached(G),
    /// Waiting for its client, with its ticket.
    Waiting(Ticket, W),
}

/// Names one time that a stream waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// Result for a client that comes back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<G, W> {
    /// The stream, which is its own from now on.
    Stream(W),
    /// It still has a connection, which this asks to give it up.
    Attached(G),
    /// This owner has no stream of this name.
    Unknown,
}

impl<G, W> Default for Slots<G, W> {
    fn default() -> Self {
        Self(Mutex::new(State { slots: HashMap::new(), tickets: 0 }))
    }
}

impl<G: Clone, W> Slots<G, W> {
    /// A stream begins, with a connection.
    pub(crate) fn attach(&self, id: &str, owner: &Owner, give_up: &G) {
        let slot = Slot { owner: Arc::clone(owner), place: Place::Attached(give_up.clone()) };
        self.0.lock().slots.insert(id.to_owned(), slot);
    }

    /// Attaches a stream that is to be restored from disk. Returns false if there is a stream of
    /// this name.
    pub(crate) fn reserve(&self, id: &str, owner: &Owner, give_up: &G) -> bool {
        let mut state = self.0.lock();
        let vacant = !state.slots.contains_key(id);
        if vacant {
            let slot = Slot { owner: Arc::clone(owner), place: Place::Attached(give_up.clone()) };
            state.slots.insert(id.to_owned(), slot);
        }
        vacant
    }

    /// A stream lost its connection, and waits. `waiting` is called with the lock held, so that a
    /// timer that it starts cannot come before the stream waits.
    pub(crate) fn park(&self, id: &str, owner: &Owner, waiting: impl FnOnce(Ticket) -> W) {
        let mut state = self.0.lock();
        let ticket = Ticket(state.tickets);
        state.tickets += 1;
        let place = Place::Waiting(ticket, waiting(ticket));
        state.slots.insert(id.to_owned(), Slot { owner: Arc::clone(owner), place });
    }

    /// Takes a stream over that waits, for the connection that `give_up` belongs to.
    pub(crate) fn take(&self, id: &str, owner: &Owner, give_up: &G) -> Taken<G, W> {
        let mut state = self.0.lock();
        // Another tenant's stream does not exist.
        let Some(slot) = state.slots.get_mut(id).filter(|slot| slot.owner == *owner) else {
            return Taken::Unknown;
        };
        match mem::replace(&mut slot.place, Place::Attached(give_up.clone())) {
            Place::Waiting(_, waiting) => Taken::Stream(waiting),
            Place::Attached(other) => {
                slot.place = Place::Attached(other.clone());
                Taken::Attached(other)
            }
        }
    }

    /// The time of a stream is over. Returns the stream, if it still waits with this ticket.
    pub(crate) fn expire(&self, id: &str, ticket: Ticket) -> Option<W> {
        let mut state = self.0.lock();
        let waits = |slot: &Slot<G, W>| matches!(&slot.place, Place::Waiting(its, _) if *its == ticket);
        if !state.slots.get(id).is_some_and(waits) {
            return None;
        }
        state.slots.remove(id).and_then(Slot::waiting)
    }

    /// A stream is over; called by the connection that has it.
    pub(crate) fn forget(&self, id: &str) {
        // Dropped without the lock.
        let slot = self.0.lock().slots.remove(id);
        drop(slot);
    }

    /// Takes out the streams that wait and for which `chosen` returns true.
    pub(crate) fn extract(&self, mut chosen: impl FnMut(&W) -> bool) -> Vec<W> {
        let chosen = |_: &String, slot: &mut Slot<G, W>| match &slot.place {
            Place::Waiting(_, waiting) => chosen(waiting),
            Place::Attached(_) => false,
        };
        let taken: Vec<_> = self.0.lock().slots.extract_if(chosen).collect();
        taken.into_iter().filter_map(|(_, slot)| slot.waiting()).collect()
    }
}

impl<G, W> Slot<G, W> {
    fn waiting(self) -> Option<W> {
        match self.place {
            Place::Waiting(_, waiting) => Some(waiting),
            Place::Attached(_) => None,
        }
    }
}
