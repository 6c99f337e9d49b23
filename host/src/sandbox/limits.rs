//! Limits of a guest.

use std::time::Duration;

use wasmtime::ResourceLimiter;

/// Limits of one guest. A guest that asks for more is ended, and with it one utterance.
///
/// ```
/// use hearken::sandbox::Limits;
/// let strict = Limits::default().memory_bytes(512 << 20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Linear memory in bytes, at most 4 GiB. Default: 4 GiB.
    pub memory_bytes: u64,
    /// Stack in bytes. Default: 1 MiB (the C stack lies in linear memory; this is WebAssembly's
    /// own).
    pub stack_bytes: usize,
    /// CPU time of one call, and of taking in one window, counted as CPU time of the thread, and of
    /// those that help it, and not as wall time, so that a busy machine does not end an honest
    /// guest. Default: 2 minutes.
    pub cpu_per_call: Duration,
    /// CPU time to load a model, once. Default: 5 minutes.
    pub cpu_to_load: Duration,
    /// Log bytes kept of one instance; the rest is counted and dropped. Default: 16 KiB.
    pub log_bytes: usize,
    /// Events of one call. Default: 4096.
    pub events_per_call: usize,
    /// Bytes of all events of one call. Default: 4 MiB.
    pub event_bytes_per_call: usize,
}

setters! {
    Limits:
    memory_bytes: u64,
    stack_bytes: usize,
    cpu_per_call: Duration,
    cpu_to_load: Duration,
    log_bytes: usize,
    events_per_call: usize,
    event_bytes_per_call: usize;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 4 << 30,
            stack_bytes: 1 << 20,
            cpu_per_call: Duration::from_secs(120),
            cpu_to_load: Duration::from_secs(300),
            log_bytes: 16 << 10,
            events_per_call: 4096,
            event_bytes_per_call: 4 << 20,
        }
    }
}

/// Table entries that a guest may have; ours has some hundreds of functions in its table.
const TABLE_ELEMENTS: usize = 1 << 16;

/// Enforces [`Limits`] on memory and tables, and remembers that it had to.
pub(super) struct Limiter {
    pub(super) memory_bytes: u64,
    /// Bytes that its share leaves to it, if that is limited.
    pub(super) part: Option<Part>,
    /// Bytes of linear memory.
    pub(super) memory: usize,
    /// Set when growth was refused: the trap that follows is explained by it.
    pub(super) refused: bool,
    /// True if only its share did not allow the growth.
    pub(super) part_refused: bool,
    /// True if the growth of a table was not allowed.
    pub(super) table_refused: bool,
}

/// The memory that a share leaves to one of its sandboxes. One instruction (`memory.fill`) can
/// write all of a guest's memory, and cannot be interrupted; so a guest gets no memory that it may
/// not write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// Memory that the model has, in bytes: it is there before the guest asks for any.
    pub(super) model: u64,
    /// Bytes that it may have besides.
    pub(super) most: u64,
}

impl Limiter {
    /// Returns true if memory may grow to this size.
    fn allows(&mut self, desired: u64) -> bool {
        let allowed = desired <= self.memory_bytes;
        let left = self.part.is_none_or(|part| desired <= part.model.saturating_add(part.most));
        self.refused |= !allowed;
        self.part_refused |= allowed && !left;
        allowed && left
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = self.allows(desired as u64);
        if allowed {
            self.memory = desired;
        }
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= TABLE_ELEMENTS;
        self.table_refused |= !allowed;
        Ok(allowed)
    }

    // One memory and a handful of tables: what the ABI needs, and no more to attack.
    fn memories(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        4
    }

    fn instances(&self) -> usize {
        1
    }
}
