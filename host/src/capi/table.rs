//! Lock-free lookup of the rings that audio threads write to.
//!
//! A slot's state is one number: its generation, which is the handle's too, and whether it is free,
//! idle or in use. A thread uses a slot by changing idle to in use in one step, and then has the
//! slot to itself. A handle that was freed has another generation than its slot, so the step fails;
//! so it does while another thread uses the slot.

use std::sync::OnceLock;

use parking_lot::Mutex;

use crate::sync::{AtomicU64, Ordering, UnsafeCell, thread};

/// Slots that are made at once, and how often that can be: 4096 inputs at a time.
const CHUNK: usize = 64;
const CHUNKS: usize = 64;

/// The state's lowest bits.
const FREE: u64 = 0;
const IDLE: u64 = 1;
const USED: u64 = 2;

/// Bits of a handle that name the slot. The others are the generation, of which no slot sees the
/// last.
const INDEX_BITS: u32 = 16;
const _: () = assert!(CHUNK * CHUNKS <= 1 << INDEX_BITS);

/// Values of `T`, each to be used by one thread at a time.
pub(super) struct Table<T> {
    chunks: [OnceLock<Box<[Slot<T>]>>; CHUNKS],
    free: Mutex<Free>,
}

struct Slot<T> {
    /// `generation << 2 | FREE, IDLE or USED`.
    state: AtomicU64,
    value: UnsafeCell<Option<T>>,
}

#[derive(Default)]
struct Free {
    indexes: Vec<usize>,
    /// Slots that were made.
    made: usize,
}

// SAFETY: a value is reached only by the one thread that has changed its slot's state to `USED` or,
// with the generation moved on, to `FREE`; the state orders the accesses of one thread before those
// of the next.
unsafe impl<T: Send> Sync for Slot<T> {}

/// Why a value cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The handle is none, or was freed.
    Unknown,
    /// Another thread uses it now.
    Busy,
}

/// Gives the slot back, however its use ends.
struct InUse<'a>(&'a AtomicU64, u64);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.store(self.1 << 2 | IDLE, Ordering::Release);
    }
}

impl<T> Table<T> {
    pub(super) const fn new() -> Self {
        Self {
            chunks: [const { OnceLock::new() }; CHUNKS],
            free: Mutex::new(Free { indexes: Vec::new(), made: 0 }),
        }
    }

    fn slot(&self, handle: u64) -> Option<(&Slot<T>, u64)> {
        let index = handle as usize & ((1 << INDEX_BITS) - 1);
        let slot = self.chunks.get(index / CHUNK)?.get()?.get(index % CHUNK)?;
        Some((slot, handle >> INDEX_BITS))
    }

    /// Keeps a value; answers its handle, which is never 0. `None` when the table is full.
    pub(super) fn insert(&self, value: T) -> Option<u64> {
        let mut free = self.free.lock();
        let index = match free.indexes.pop() {
            Some(index) => index,
            None => {
                let index = free.made;
                let chunk = self.chunks.get(index / CHUNK)?;
                chunk.get_or_init(|| {
                    // Generations begin with 1, so that no handle is 0.
                    let empty =
                        || Slot { state: AtomicU64::new(1 << 2 | FREE), value: UnsafeCell::new(None) };
                    (0..CHUNK).map(|_| empty()).collect()
                });
                free.made += 1;
                index
            }
        };
        let (slot, _) = self.slot(index as u64)?;
        let generation = slot.state.load(Ordering::Acquire) >> 2;
        // SAFETY: the slot is free, and its index was taken from the list of free ones under its
        // lock: nobody else has it.
        slot.value.with_mut(|kept| unsafe { *kept = Some(value) });
        slot.state.store(generation << 2 | IDLE, Ordering::Release);
        Some(generation << INDEX_BITS | index as u64)
    }

    /// Uses a value on this thread. Neither waits, locks, allocates nor calls the system.
    pub(super) fn with<R>(&self, handle: u64, work: impl FnOnce(&mut T) -> R) -> Result<R, Refused> {
        let (slot, generation) = self.slot(handle).ok_or(Refused::Unknown)?;
        let (idle, used) = (generation << 2 | IDLE, generation << 2 | USED);
        match slot.state.compare_exchange(idle, used, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => {}
            Err(state) if state == used => return Err(Refused::Busy),
            Err(_) => return Err(Refused::Unknown),
        }
        let _in_use = InUse(&slot.state, generation);
        slot.value.with_mut(|value| {
            // SAFETY: this thread has changed the state from idle to used, so it has the value to
            // itself until it is changed back, which is after this reference is gone.
            let value = unsafe { &mut *value };
            value.as_mut().map(work).ok_or(Refused::Unknown)
        })
    }

    /// Takes a value out; the handle is of no use any more. Waits for the thread that uses it, if
    /// there is one: no longer than one use takes.
    pub(super) fn remove(&self, handle: u64) -> Option<T> {
        let (slot, generation) = self.slot(handle)?;
        let (idle, used, gone) =
            (generation << 2 | IDLE, generation << 2 | USED, (generation + 1) << 2 | FREE);
        loop {
            match slot.state.compare_exchange_weak(idle, gone, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(state) if state == used || state == idle => thread::yield_now(),
                Err(_) => return None,
            }
        }
        // SAFETY: this thread has changed the state from idle to free, and the index is not in the
        // list of free slots yet.
        let value = slot.value.with_mut(|value| unsafe { (*value).take() });
        let index = handle as usize & ((1 << INDEX_BITS) - 1);
        self.free.lock().indexes.push(index);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_good_until_it_is_freed_and_never_again() {
        let table = Table::new();
        let handles: Vec<u64> = (0..200).map(|n| table.insert(n).unwrap()).collect();
        for (n, handle) in handles.iter().enumerate() {
            assert_eq!(table.with(*handle, |value| *value), Ok(n));
        }
        assert_eq!(table.remove(handles[7]), Some(7));
        assert_eq!((table.remove(handles[7]), table.with(handles[7], |_| ())), (None, Err(Refused::Unknown)));
        let again = table.insert(1000).unwrap();
        assert_ne!(again, handles[7], "the slot is the same, the handle is not");
        assert_eq!(table.with(handles[7], |_| ()), Err(Refused::Unknown));
        assert_eq!(table.with(again, |value| *value), Ok(1000));
        for wild in [0, 1, u64::MAX, again + 1, again + (1 << 60), 65_535] {
            assert!(handles.contains(&wild) || table.with(wild, |_| ()).is_err(), "{wild}");
        }
    }

    #[test]
    fn a_full_table_says_so() {
        let table = Table::new();
        let handles: Vec<u64> = std::iter::from_fn(|| table.insert(())).collect();
        assert_eq!(handles.len(), CHUNK * CHUNKS);
        table.remove(handles[0]);
        assert!(table.insert(()).is_some());
        assert!(table.insert(()).is_none());
    }

    #[test]
    fn a_use_that_panics_gives_the_value_back() {
        let table = Table::new();
        let handle = table.insert(1).unwrap();
        let panicking = || table.with(handle, |_| panic!("expected by this test"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err());
        assert_eq!(table.with(handle, |value| *value), Ok(1));
    }

    /// Two threads use one value, a third frees it: each use is whole, and none comes after the
    /// value is out.
    #[test]
    fn threads_have_a_value_one_at_a_time() {
        for _ in 0..200 {
            let table = Table::new();
            let handle = table.insert((0u64, 0u64)).unwrap();
            let (uses, value) = thread::scope(|scope| {
                let user = || {
                    let mut uses = 0;
                    loop {
                        // Two halves that differ while one thread is between them.
                        let used = table.with(handle, |(first, second)| {
                            assert_eq!(first, second);
                            *first += 1;
                            std::hint::black_box(&first);
                            *second += 1;
                        });
                        match used {
                            Ok(()) => uses += 1,
                            Err(Refused::Busy) => {}
                            Err(Refused::Unknown) => return uses,
                        }
                    }
                };
                let users = [scope.spawn(user), scope.spawn(user)];
                thread::yield_now();
                let value = table.remove(handle).unwrap();
                (users.map(|user| user.join().unwrap()).iter().sum::<u64>(), value)
            });
            assert_eq!(value, (uses, uses));
        }
    }
}
