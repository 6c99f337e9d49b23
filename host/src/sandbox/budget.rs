//! The CPU time of one call.

use std::time::Duration;

use crate::preempt::cpu_time;

/// A call was stopped; carried through wasmtime as the cause of the trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("CPU time used up")]
pub(super) struct UsedUp {
    pub(super) limit: Duration,
}

/// Counts the task's CPU time from the start of a call. Epochs tick by wall time, so a guest that
/// shares its core is asked more often, not stopped earlier.
pub(super) struct Budget {
    limit: Duration,
    end: Duration,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { limit: Duration::ZERO, end: Duration::ZERO }
    }

    /// Begins a call of this thread's task.
    pub(super) fn begin(&mut self, limit: Duration) {
        self.limit = limit;
        self.end = cpu_time().saturating_add(limit);
    }

    /// Returns an error if the call is over its budget.
    pub(super) fn check(&self) -> Result<(), UsedUp> {
        if self.allows(Duration::ZERO) { Ok(()) } else { Err(self.used_up()) }
    }

    /// Returns true if the call is within its budget when other threads have spent this much on it.
    pub(super) fn allows(&self, elsewhere: Duration) -> bool {
        cpu_time().saturating_add(elsewhere) <= self.end
    }

    /// Adds the CPU time that other threads have spent on the call.
    pub(super) fn charge(&mut self, elsewhere: Duration) -> Result<(), UsedUp> {
        self.end = self.end.saturating_sub(elsewhere);
        self.check()
    }

    /// CPU time that the call has used so far, other threads' part included.
    pub(super) fn spent(&self) -> Duration {
        let started = self.end.saturating_sub(self.limit);
        // What others spent moved the end, and with it the start.
        cpu_time().saturating_sub(started)
    }

    /// Error of a call that is over its budget.
    pub(super) fn used_up(&self) -> UsedUp {
        UsedUp { limit: self.limit }
    }
}
