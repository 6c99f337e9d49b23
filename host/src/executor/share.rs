//! Shares of the threads: limits and usage of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::waits::Waits;
use crate::meter::{MemoryQuota, Meter, QuotaUse};
use crate::moving_average::MovingAverage;

/// Time constant of the average of recent use.
const MEMORY: Duration = Duration::from_secs(1);

/// Limits of the sandboxes of a [`Share`] that live at the same time. Each utterance with partial
/// texts holds one until its final text. An utterance beyond the limit has no partial texts until
/// another one is complete. Final texts, and recordings, are made all the same, as many at once as
/// the engine has threads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShareLimits {
    /// Approximate maximum number. Default: no limit.
    pub sandboxes: Option<u32>,
    /// Maximum memory that they may have written together, in bytes. A sandbox that has written
    /// more than this over the number of the engine's threads, or asks for more besides its model's
    /// memory, is ended, with [`SandboxError::Held`](crate::sandbox::SandboxError::Held); waiting
    /// ones are dropped and made anew when all together exceed the limit. A hostile guest can also
    /// overwrite its model's memory before it is ended: for a moment each thread may hold its part
    /// and a copy of that. Where the system does not tell what is written, all of a guest's
    /// memory counts. Default: no limit.
    pub memory_bytes: Option<u64>,
}

impl ShareLimits {
    /// Sets the approximate maximum number of sandboxes.
    pub fn sandboxes(mut self, sandboxes: u32) -> Self {
        self.sandboxes = Some(sandboxes);
        self
    }

    /// Sets the approximate maximum memory, in bytes.
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = Some(bytes);
        self
    }
}

/// A share of an engine's threads, for one of several users: a tenant of a server, say. When all
/// threads are busy, each share gets time in proportion to its weight, regardless of demand; time
/// that one does not use goes to the others. A clone is the same share.
#[derive(Debug, Clone)]
pub struct Share(Arc<Account>);

#[derive(Debug)]
struct Account {
    /// Empty where nobody asks for it.
    name: String,
    weight: u32,
    limits: ShareLimits,
    /// Sandboxes that may live at once before partial texts wait for one of them to end.
    sandboxes: u64,
    /// The memory that they may hold.
    memory_quota: Option<Arc<MemoryQuota>>,
    meter: Arc<Meter>,
    waits: Mutex<Waits>,
    /// Mean number of threads over the last second or so.
    recent: Mutex<MovingAverage>,
    /// Time used, over the weight, in nanoseconds: its virtual time, the same in all executors.
    used: AtomicU64,
}

impl Share {
    /// A share of this weight, at least 1.
    pub fn new(weight: u32) -> Self {
        Self::limited(weight, &ShareLimits::default())
    }

    /// Makes a share with limits on its sandboxes.
    pub fn limited(weight: u32, limits: &ShareLimits) -> Self {
        Self::named("", weight, limits)
    }

    /// Makes a share with limits, and a name under which it is the same one in other processes: see
    /// [`Place`](crate::place::Place).
    pub fn named(name: &str, weight: u32, limits: &ShareLimits) -> Self {
        Self(Arc::new(Account {
            name: name.to_owned(),
            weight: weight.max(1),
            limits: limits.clone(),
            sandboxes: limits.sandboxes.map_or(u64::MAX, u64::from),
            memory_quota: limits.memory_bytes.map(|bytes| Arc::new(MemoryQuota::limited(bytes))),
            meter: Arc::default(),
            waits: Mutex::default(),
            recent: Mutex::new(MovingAverage::new(MEMORY)),
            used: AtomicU64::new(0),
        }))
    }

    /// Returns true if both are the same share.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Name; empty unless it was [named](Self::named).
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Limits of its sandboxes.
    pub fn limits(&self) -> &ShareLimits {
        &self.0.limits
    }

    /// Records that a final text has waited this long for a thread, on another machine.
    #[cfg(feature = "service")]
    pub fn note_final_wait(&self, wait: Duration) {
        self.waited(Instant::now(), wait);
    }

    /// Weight, at least 1.
    pub fn weight(&self) -> u32 {
        self.0.weight
    }

    /// Returns the increase of its virtual time when it uses a thread for `took`.
    pub(super) fn virtual_time(&self, took: Duration) -> Duration {
        took / self.0.weight
    }

    /// Virtual time [ns].
    pub(super) fn used(&self) -> u64 {
        self.0.used.load(Relaxed)
    }

    /// Raises its virtual time to at least this.
    pub(super) fn catch_up(&self, used: u64) {
        self.0.used.fetch_max(used, Relaxed);
    }

    /// Charges it for a thread that it has used for `took` until now.
    pub(super) fn charge(&self, now: Instant, took: Duration) {
        self.0.used.fetch_add(nanos(self.virtual_time(took)), Relaxed);
        self.0.recent.lock().add(now, took);
    }

    /// Charges CPU time of other threads than an executor's, on which a stream's audio was taken
    /// in.
    #[cfg(feature = "service")]
    pub fn charge_intake(&self, cpu: Duration) {
        self.meter().took_in(cpu);
        self.charge(Instant::now(), cpu);
    }

    /// Mean number of threads used over the last second or so, over its weight.
    pub(super) fn used_lately(&self, now: Instant) -> f64 {
        self.0.recent.lock().at(now, 0.0) / f64::from(self.0.weight)
    }

    /// Records that a final text has waited for a thread.
    pub(super) fn waited(&self, now: Instant, wait: Duration) {
        self.0.waits.lock().add(now, wait);
    }

    /// Waits that are remembered.
    #[cfg(test)]
    pub(super) fn waits(&self) -> usize {
        self.0.waits.lock().len()
    }

    /// Counters of its sandboxes.
    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.0.meter
    }

    /// Returns true if one more sandbox may live for partial texts, in an engine of `threads`
    /// threads.
    pub(crate) fn has_room(&self, threads: usize) -> bool {
        let memory_quota = &self.0.memory_quota;
        self.0.meter.live() < self.0.sandboxes
            && memory_quota.as_ref().is_none_or(|memory_quota| memory_quota.has_room(threads))
    }

    /// Counts the memory of a sandbox that is made, if it is limited.
    pub(crate) fn holding(&self, threads: usize) -> Option<QuotaUse> {
        self.0.memory_quota.as_ref().map(|memory_quota| QuotaUse::new(memory_quota, threads))
    }

    /// Recent wait of final texts for a thread: the 95th percentile, `None` without any.
    #[cfg_attr(not(feature = "service"), expect(dead_code, reason = "only a service admits by it"))]
    pub(crate) fn final_wait_at(&self, now: Instant) -> Option<Duration> {
        self.0.waits.lock().percentile(now)
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::new(1)
    }
}

/// As the executor counts time.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
