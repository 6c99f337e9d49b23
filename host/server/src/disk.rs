//! Uploads and kept streams on disk: their total size, and the space left.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::gauge::Gauge;

use super::App;
use super::config::Config;
use super::metrics::ByTenant;
use super::rejection::Rejection;
use super::tenants::Tenant;
use super::ticket::Ticket;
use super::upload::Room;

/// Bytes that are taken from the account at once: the system is asked for the free space as often.
const STEP: u64 = 1 << 20;
/// As [`STEP`], for a kept stream: most of them are small.
const KEPT_STEP: u64 = 64 << 10;

/// The account of all files.
#[derive(Debug)]
pub(super) struct Disk {
    stored: AtomicU64,
    limit: u64,
    floor: u64,
}

impl Disk {
    pub(super) fn new(config: &Config) -> Self {
        let bytes = |mib| u64::from(mib) << 20;
        Self { stored: AtomicU64::new(0), limit: bytes(config.uploads_mib), floor: bytes(config.free_mib) }
    }

    fn take(&self, bytes: u64) -> Result<(), Rejection> {
        let sum = |stored: u64| stored.checked_add(bytes).filter(|sum| *sum <= self.limit);
        let taken = self.stored.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
        taken.map(drop).map_err(|_| Rejection::NoRoom)
    }

    fn give_back(&self, bytes: u64) {
        self.stored.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Returns true if the file system of `file` has room for `bytes` bytes more. One that does not
    /// say has.
    fn is_free(&self, file: impl AsFd, bytes: u64) -> bool {
        rustix::fs::fstatvfs(file).map_or(true, |system| {
            let free = system.f_bavail.saturating_mul(system.f_frsize);
            let all = system.f_blocks.saturating_mul(system.f_frsize);
            free >= self.floor.min(all / 10).saturating_add(bytes)
        })
    }
}

/// Disk space of one file, in bytes.
#[derive(Debug, Default)]
pub(super) struct Stored(AtomicU64);

impl Stored {
    /// Takes space for a file of `len` bytes, as far as it has none yet: whole steps.
    fn grow(
        &self,
        app: &App,
        tenant: &Tenant,
        file: impl AsFd,
        len: u64,
        step: u64,
    ) -> Result<(), Rejection> {
        let has = self.0.load(Ordering::Relaxed);
        if len <= has {
            return Ok(());
        }
        let more = (len - has).next_multiple_of(step);
        tenant.store(more)?;
        let taken = app.disk.take(more).and_then(|()| {
            let free = app.disk.is_free(file, more);
            free.then_some(()).ok_or(Rejection::NoRoom).inspect_err(|_| app.disk.give_back(more))
        });
        taken.inspect_err(|_| tenant.give_bytes_back(more))?;
        self.0.fetch_add(more, Ordering::Relaxed);
        Self::gauge(app, tenant).inc_by(more.cast_signed());
        Ok(())
    }

    fn give_back(&self, app: &App, tenant: &Tenant) {
        let bytes = self.0.swap(0, Ordering::Relaxed);
        app.disk.give_back(bytes);
        tenant.give_bytes_back(bytes);
        if bytes > 0 {
            Self::gauge(app, tenant).dec_by(bytes.cast_signed());
        }
    }

    fn gauge(app: &App, tenant: &Tenant) -> Gauge {
        app.metrics.stored.get_or_create(&ByTenant { tenant: Arc::clone(&tenant.name) }).clone()
    }
}

/// Disk space of a kept stream, until this is dropped.
pub(super) struct Space {
    app: Arc<App>,
    tenant: Arc<Tenant>,
    stored: Stored,
}

impl Space {
    /// An account of a file that is empty.
    pub(super) fn new(app: &Arc<App>, tenant: &Arc<Tenant>) -> Self {
        Self { app: Arc::clone(app), tenant: Arc::clone(tenant), stored: Stored::default() }
    }

    /// Makes sure that the file may have `len` bytes.
    pub(super) fn grow(&self, file: impl AsFd, len: u64) -> Result<(), Rejection> {
        self.stored.grow(&self.app, &self.tenant, file, len, KEPT_STEP)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.stored.give_back(&self.app, &self.tenant);
    }
}

impl Room for Ticket {
    fn limit(&self) -> u64 {
        u64::from(self.tenant.limits.upload_mib) << 20
    }

    fn store(&self, file: BorrowedFd<'_>, len: u64) -> Result<(), Rejection> {
        self.stored.grow(&self.app, &self.tenant, file, len, STEP)
    }
}

impl Ticket {
    /// Gives back the bytes of an upload that is gone: when all that is to be done with it is done.
    pub(super) fn give_bytes_back(&self) {
        self.stored.give_back(&self.app, &self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_bounded() {
        let disk = Disk { stored: AtomicU64::new(0), limit: 10, floor: 0 };
        disk.take(6).unwrap();
        assert!(matches!(disk.take(5), Err(Rejection::NoRoom)));
        assert!(matches!(disk.take(u64::MAX), Err(Rejection::NoRoom)));
        disk.give_back(6);
        disk.take(10).unwrap();
    }

    #[test]
    fn some_of_the_disk_stays_free() {
        let file = tempfile::tempfile().unwrap();
        let disk = |floor| Disk { stored: AtomicU64::new(0), limit: u64::MAX, floor };
        assert!(disk(0).is_free(&file, 1));
        assert!(!disk(0).is_free(&file, u64::MAX));
        // A tenth of it at most, so that a small disk is of use.
        let system = rustix::fs::fstatvfs(&file).unwrap();
        let (free, all) = (system.f_bavail * system.f_frsize, system.f_blocks * system.f_frsize);
        assert!(!disk(u64::MAX).is_free(&file, free - all / 20));
    }
}
