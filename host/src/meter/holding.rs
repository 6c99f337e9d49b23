//! What sandboxes have written, against what they may hold together.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::pages;

/// How often a sandbox that runs is looked at: its pages are asked for one by one.
const PERIOD: Duration = Duration::from_millis(100);

/// The memory of all sandboxes of somebody who may hold so much.
#[derive(Debug)]
pub(crate) struct Holdings {
    limit: u64,
    /// Bytes, by the latest look at each.
    bytes: AtomicU64,
    /// The most that one of them had.
    largest: AtomicU64,
}

impl Holdings {
    /// At most about so many bytes.
    pub(crate) fn limited(limit: u64) -> Self {
        Self { limit, bytes: AtomicU64::new(0), largest: AtomicU64::new(0) }
    }

    /// Whether one more may wait with what it has written, beside one for each thread that has none yet.
    pub(crate) fn has_room(&self, threads: usize) -> bool {
        let more = self.largest.load(Relaxed).saturating_mul(threads as u64 + 1);
        self.bytes.load(Relaxed).saturating_add(more) <= self.limit
    }
}

/// The memory of one sandbox, until it is dropped.
#[derive(Debug)]
pub(crate) struct Holding {
    of: Arc<Holdings>,
    bytes: u64,
    /// What one may have: if each thread runs one of these, they fit.
    most: u64,
    looked: Instant,
}

impl Holding {
    /// Of a sandbox that was just made: it counts as the largest so far, until somebody looks.
    pub(crate) fn new(of: &Arc<Holdings>, threads: usize) -> Self {
        let bytes = of.largest.load(Relaxed);
        of.bytes.fetch_add(bytes, Relaxed);
        let most = of.limit / (threads as u64).max(1);
        Self { of: Arc::clone(of), bytes, most, looked: Instant::now() }
    }

    /// What one sandbox may have, in bytes.
    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    /// Whether nobody has looked for a while.
    pub(crate) fn is_due(&self) -> bool {
        self.looked.elapsed() >= PERIOD
    }

    /// Looks at its memory. Says what it may have if it has more.
    pub(crate) fn look(&mut self, memory: Range<usize>) -> Result<(), u64> {
        let bytes = match pages::written(memory.clone()) {
            Ok(bytes) => bytes,
            // A system that never tells: all of it may be written.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => memory.len() as u64,
            // For once it does not: what is not known is no violation.
            Err(_) => self.bytes,
        };
        self.of.bytes.fetch_add(bytes, Relaxed);
        self.of.bytes.fetch_sub(self.bytes, Relaxed);
        self.of.largest.fetch_max(bytes.min(self.most), Relaxed);
        (self.bytes, self.looked) = (bytes, Instant::now());
        if bytes > self.most { Err(self.most) } else { Ok(()) }
    }

    /// Whether all of them together have more than they may.
    pub(crate) fn is_too_much(&self) -> bool {
        self.of.bytes.load(Relaxed) > self.of.limit
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// Memory of the host's own that is kept for somebody: audio that waits, say. It counts with that of his sandboxes, until this is
/// dropped.
#[cfg(feature = "server")]
#[derive(Debug, Default)]
pub(crate) struct Kept {
    of: Option<Arc<Holdings>>,
    bytes: u64,
}

#[cfg(feature = "server")]
impl Kept {
    /// Nothing so far; without a limit everything is allowed.
    pub(crate) fn new(of: Option<&Arc<Holdings>>) -> Self {
        Self { of: of.cloned(), bytes: 0 }
    }

    /// Counts so many bytes instead of those before. Returns false, and changes nothing, if that is more than may be.
    pub(crate) fn set(&mut self, bytes: u64) -> bool {
        let Some(of) = &self.of else { return true };
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let all = of.bytes.fetch_add(more, Relaxed).saturating_add(more);
            if all > of.limit {
                of.bytes.fetch_sub(more, Relaxed);
                return false;
            }
        } else {
            of.bytes.fetch_sub(self.bytes - bytes, Relaxed);
        }
        self.bytes = bytes;
        true
    }
}

#[cfg(feature = "server")]
impl Drop for Kept {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Memory of which so many bytes are written.
    fn memory(bytes: u64) -> (Vec<u8>, Range<usize>) {
        let memory = vec![1; bytes as usize];
        let start = memory.as_ptr().addr();
        (memory, start..start + bytes as usize)
    }

    #[test]
    fn there_is_room_for_what_the_largest_one_had() {
        let of = Arc::new(Holdings::limited(100 * MIB));
        assert!(of.has_room(1));
        let mut first = Holding::new(&of, 1);
        let (_kept, range) = memory(30 * MIB);
        first.look(range).unwrap();
        assert!(of.has_room(1), "30, and 30 more, and 30 for a final text");
        let second = Holding::new(&of, 1);
        assert!(!of.has_room(1), "nobody has looked at the second one yet");
        assert!(!second.is_too_much());
        drop(first);
        assert!(of.has_room(1));
        drop(second);
        assert_eq!(of.bytes.load(Relaxed), 0);
    }

    #[cfg(feature = "server")]
    #[test]
    fn what_the_host_keeps_counts_with_what_sandboxes_have_written() {
        let of = Arc::new(Holdings::limited(100 * MIB));
        let mut holding = Holding::new(&of, 1);
        let (_kept, range) = memory(30 * MIB);
        holding.look(range).unwrap();
        let (mut one, mut other) = (Kept::new(Some(&of)), Kept::new(Some(&of)));
        assert!(one.set(20 * MIB) && one.set(40 * MIB));
        assert!(!other.set(31 * MIB), "30, 40 and 31");
        // The sandbox has a page or two more than was written.
        assert!(other.set(29 * MIB));
        assert!(!of.has_room(1) && !holding.is_too_much());
        drop(one);
        assert!(other.set(69 * MIB));
        drop((other, holding));
        assert_eq!(of.bytes.load(Relaxed), 0);
        assert!(Kept::new(None).set(u64::MAX));
    }

    #[test]
    fn one_that_has_too_much_is_told() {
        let of = Arc::new(Holdings::limited(100 * MIB));
        let mut holding = Holding::new(&of, 4);
        let (_kept, range) = memory(24 * MIB);
        holding.look(range).unwrap();
        let (_kept, range) = memory(30 * MIB);
        assert_eq!(holding.look(range), Err(25 * MIB));
        assert!(!holding.is_too_much());
        let (_kept, range) = memory(101 * MIB);
        assert_eq!(holding.look(range), Err(25 * MIB));
        assert!(holding.is_too_much());
    }

    #[test]
    fn empty_limits_leave_no_room() {
        let of = Arc::new(Holdings::limited(0));
        let mut holding = Holding::new(&of, 1);
        let (_kept, range) = memory(MIB);
        assert_eq!(holding.look(range), Err(0));
        assert!(holding.is_too_much());
    }
}
