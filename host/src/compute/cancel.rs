//! Progress of an operation, and its cancellation.

use std::cell::Cell;
use std::time::Duration;

use crate::preempt::cpu_time;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// Multiplications between two looks at the clock: a tenth of a millisecond on a fast processor,
/// some on a slow one.
const STRETCH: usize = 1 << 23;

/// The operation was cancelled by the caller; its output is unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

/// State that the threads of an operation share.
#[derive(Default)]
pub(super) struct Operation {
    stopped: AtomicBool,
    /// CPU time of helpers in nanoseconds.
    helped: AtomicU64,
}

impl Operation {
    /// CPU time that helpers have spent on it so far.
    pub(super) fn helped(&self) -> Duration {
        Duration::from_nanos(self.helped.load(Ordering::Relaxed))
    }
}

/// Part of an operation that one thread does.
pub(super) struct Progress<'a> {
    operation: &'a Operation,
    done: Cell<usize>,
    role: Role<'a>,
}

enum Role<'a> {
    /// Asks its function if the operation may continue.
    Caller(&'a dyn Fn(Duration) -> bool),
    /// A helper; with the CPU time of its thread that it has reported.
    Helper(Cell<Duration>),
}

impl<'a> Progress<'a> {
    pub(super) fn caller(operation: &'a Operation, go_on: &'a dyn Fn(Duration) -> bool) -> Self {
        Self { operation, done: Cell::new(0), role: Role::Caller(go_on) }
    }

    pub(super) fn helper(operation: &'a Operation) -> Self {
        Self { operation, done: Cell::new(0), role: Role::Helper(Cell::new(cpu_time())) }
    }

    /// Counts multiplications that were done. Asked between tiles.
    pub(super) fn did(&self, work: usize) -> Result<(), Stopped> {
        let done = self.done.get() + work;
        self.done.set(done % STRETCH);
        if done >= STRETCH {
            match &self.role {
                Role::Caller(go_on) => {
                    if !go_on(self.operation.helped()) {
                        self.operation.stopped.store(true, Ordering::Relaxed);
                    }
                }
                Role::Helper(_) => self.tell(),
            }
        }
        if self.operation.stopped.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    fn tell(&self) {
        if let Role::Helper(reported) = &self.role {
            let now = cpu_time();
            let spent = now.saturating_sub(reported.replace(now)).as_nanos();
            self.operation.helped.fetch_add(u64::try_from(spent).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.tell();
    }
}
