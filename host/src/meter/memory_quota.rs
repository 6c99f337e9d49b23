//! Memory written by sandboxes, and its limit.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::os_memory;

/// Period at which a running sandbox is checked: its pages are queried one by one.
const PERIOD: Duration = Duration::from_millis(100);

/// Memory of all sandboxes under one limit.
#[derive(Debug)]
pub(crate) struct MemoryQuota {
    limit: u64,
    /// Bytes, by the latest look at each.
    bytes: AtomicU64,
    /// The most that one of them had.
    largest: AtomicU64,
}

impl MemoryQuota {
    /// Sets the limit to about `limit` bytes.
    pub(crate) fn limited(limit: u64) -> Self {
        Self { limit, bytes: AtomicU64::new(0), largest: AtomicU64::new(0) }
    }

    /// Returns true if one more may wait with the memory that it has written, beside one for each
    /// thread that has none yet.
    pub(crate) fn has_room(&self, threads: usize) -> bool {
        let more = self.largest.load(Relaxed).saturating_mul(threads as u64 + 1);
        self.bytes.load(Relaxed).saturating_add(more) <= self.limit
    }
}

/// The memory of one sandbox, until it is dropped.
#[derive(Debug)]
pub(crate) struct QuotaUse {
    of: Arc<MemoryQuota>,
    bytes: u64,
    /// Limit of a single sandbox: if each thread runs one of these, they fit.
    most: u64,
    looked: Instant,
}

impl QuotaUse {
    /// Account of a new sandbox: it counts as the largest so far, until its memory is measured.
    pub(crate) fn new(of: &Arc<MemoryQuota>, threads: usize) -> Self {
        let bytes = of.largest.load(Relaxed);
        of.bytes.fetch_add(bytes, Relaxed);
        let most = of.limit / (threads as u64).max(1);
        Self { of: Arc::clone(of), bytes, most, looked: Instant::now() }
    }

    /// Most bytes of one sandbox.
    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    /// Returns true if the last check was a while ago.
    pub(crate) fn is_due(&self) -> bool {
        self.looked.elapsed() >= PERIOD
    }

    /// Measures its memory. Returns the limit if it is exceeded.
    pub(crate) fn look(&mut self, memory: Range<usize>) -> Result<(), u64> {
        let bytes = match os_memory::written(memory.clone()) {
            Ok(bytes) => bytes,
            // A system that never tells: all of it may be written.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => memory.len() as u64,
            // A sandbox of unknown size passes: the unknown is no violation.
            Err(_) => self.bytes,
        };
        self.of.bytes.fetch_add(bytes, Relaxed);
        self.of.bytes.fetch_sub(self.bytes, Relaxed);
        self.of.largest.fetch_max(bytes.min(self.most), Relaxed);
        (self.bytes, self.looked) = (bytes, Instant::now());
        if bytes > self.most { Err(self.most) } else { Ok(()) }
    }

    /// Returns true if all of them together exceed the limit.
    pub(crate) fn is_too_much(&self) -> bool {
        self.of.bytes.load(Relaxed) > self.of.limit
    }
}

impl Drop for QuotaUse {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Makes memory of which `bytes` bytes are written.
    fn memory(bytes: u64) -> (Vec<u8>, Range<usize>) {
        let memory = vec![1; bytes as usize];
        let start = memory.as_ptr().addr();
        (memory, start..start + bytes as usize)
    }

    #[test]
    fn there_is_room_for_what_the_largest_one_had() {
        let of = Arc::new(MemoryQuota::limited(100 * MIB));
        assert!(of.has_room(1));
        let mut first = QuotaUse::new(&of, 1);
        let (_kept, range) = memory(30 * MIB);
        first.look(range).unwrap();
        assert!(of.has_room(1), "30, and 30 more, and 30 for a final text");
        let second = QuotaUse::new(&of, 1);
        assert!(!of.has_room(1), "nobody has looked at the second one yet");
        assert!(!second.is_too_much());
        drop(first);
        assert!(of.has_room(1));
        drop(second);
        assert_eq!(of.bytes.load(Relaxed), 0);
    }

    #[test]
    fn a_sandbox_over_its_quota_gets_an_error() {
        let of = Arc::new(MemoryQuota::limited(100 * MIB));
        let mut holding = QuotaUse::new(&of, 4);
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
        let of = Arc::new(MemoryQuota::limited(0));
        let mut holding = QuotaUse::new(&of, 1);
        let (_kept, range) = memory(MIB);
        assert_eq!(holding.look(range), Err(0));
        assert!(holding.is_too_much());
    }
}
