//! The CPU time of one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Why a call was stopped; carried through wasmtime as the cause of the trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stopped {
    #[error("CPU time used up")]
    CpuTime(Duration),
    #[error("cancelled")]
    Cancelled,
}

/// Counts this thread's CPU time from the start of a call. Epochs tick by wall time, so a guest that shares its
/// core is asked more often, not stopped earlier.
pub(super) struct Budget {
    limit: Duration,
    end: Duration,
    /// Raised from outside to stop the call.
    pub(super) cancelled: Arc<AtomicBool>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { limit: Duration::ZERO, end: Duration::ZERO, cancelled: Arc::default() }
    }

    /// Begins a call on this thread.
    pub(super) fn begin(&mut self, limit: Duration) {
        self.limit = limit;
        self.end = thread_cpu_time().saturating_add(limit);
    }

    /// Whether the call may go on.
    pub(super) fn check(&self) -> Result<(), Stopped> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Stopped::Cancelled);
        }
        if thread_cpu_time() > self.end {
            return Err(Stopped::CpuTime(self.limit));
        }
        Ok(())
    }
}

/// CPU time that this thread has used.
fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.clamp(0, 999_999_999) as u32)
}
