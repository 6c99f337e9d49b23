//! Tenants: authentication, limits and usage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use hearken::{Share, ShareLimits};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::config::TenantConfig;
use super::keys::KeyHash;
use super::rejection::Rejection;

/// The tenant of a server that has none in its configuration.
const LOCAL: &str = "local";

/// A tenant as it was configured when its client came.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) name: Arc<str>,
    pub(super) limits: TenantConfig,
    /// Share of the recognizer's threads.
    pub(super) share: Share,
    /// Current usage; it survives when the configuration is read again.
    usage: Arc<Usage>,
}

#[derive(Debug, Default)]
struct Usage {
    streams: AtomicU32,
    watchers: AtomicU32,
    /// Size of its uploads on disk, in bytes.
    stored: AtomicU64,
    /// Memory of its long messages, in bytes.
    messages: AtomicU64,
    credit: Mutex<Option<Credit>>,
}

/// Seconds of audio that may still be sent: refilled as time passes, up to a minute's worth.
#[derive(Debug, Clone, Copy)]
struct Credit {
    seconds: f64,
    at: Instant,
}

impl Tenant {
    /// Takes one of its streams, if one is free.
    pub(super) fn take_stream(&self) -> Result<(), Rejection> {
        let limit = self.limits.streams;
        let taken = self
            .usage
            .streams
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < limit).then_some(open + 1));
        taken.map(drop).map_err(|_| Rejection::TooManyStreams(limit))
    }

    pub(super) fn give_stream_back(&self) {
        self.usage.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes one of its places for connections that watch, if one is free.
    pub(super) fn take_watcher(&self) -> Result<(), Rejection> {
        let limit = self.limits.watchers;
        let taken = self
            .usage
            .watchers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < limit).then_some(open + 1));
        taken.map(drop).map_err(|_| Rejection::TooManyWatchers(limit))
    }

    pub(super) fn give_watcher_back(&self) {
        self.usage.watchers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Reserves `bytes` bytes of the disk, if the tenant may have them.
    pub(super) fn store(&self, bytes: u64) -> Result<(), Rejection> {
        let limit = self.limits.uploads_bytes();
        let taken = self.usage.stored.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |stored| {
            stored.checked_add(bytes).filter(|sum| *sum <= limit)
        });
        taken.map(drop).map_err(|_| Rejection::TooManyUploads(limit))
    }

    pub(super) fn give_bytes_back(&self, bytes: u64) {
        self.usage.stored.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes `bytes` bytes of memory for a long message; fails with the limit of them in bytes.
    pub(super) fn take_memory(&self, bytes: u64) -> Result<(), u64> {
        let limit = u64::from(self.limits.messages_mib) << 20;
        let taken = self.usage.messages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            taken.checked_add(bytes).filter(|sum| *sum <= limit)
        });
        taken.map(drop).map_err(|_| limit)
    }

    pub(super) fn give_memory_back(&self, bytes: u64) {
        self.usage.messages.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Checks the token bucket: audio is rejected once there is no credit left, so that a client
    /// that sends a long piece is charged in full, and waits afterwards.
    pub(super) fn check_credit(&self, now: Instant) -> Result<(), Rejection> {
        let Some(allowed) = self.limits.audio_seconds_per_minute else { return Ok(()) };
        let left = self.spend(0.0, allowed, now);
        if left > 0.0 {
            return Ok(());
        }
        Err(Rejection::too_much_audio(left, allowed))
    }

    /// Charges for audio before it comes, as long as there is credit; the unused part is to be
    /// given back, as a negative amount.
    pub(super) fn reserve(&self, seconds: f64, now: Instant) -> Result<(), Rejection> {
        // One check and one charge: of simultaneous requests only the first may find credit.
        let Some(allowed) = self.limits.audio_seconds_per_minute else { return Ok(()) };
        let full = f64::from(allowed);
        let mut credit = self.usage.credit.lock();
        let left = refilled(*credit, full, now);
        if left <= 0.0 {
            return Err(Rejection::too_much_audio(left, allowed));
        }
        *credit = Some(Credit { seconds: left - seconds, at: now });
        Ok(())
    }

    /// Returns true if it owes more than the longest recording that it may send: output is charged
    /// as input is.
    pub(super) fn owes_a_recording(&self, now: Instant) -> Option<Rejection> {
        let allowed = self.limits.audio_seconds_per_minute?;
        let left = self.spend(0.0, allowed, now);
        (left < -60.0 * f64::from(self.limits.recording_minutes))
            .then(|| Rejection::too_much_audio(left, allowed))
    }

    /// Charges for audio, also when there is no credit left.
    pub(super) fn debit(&self, seconds: f64, now: Instant) {
        if let Some(allowed) = self.limits.audio_seconds_per_minute {
            self.spend(seconds, allowed, now);
        }
    }

    /// Returns the credit left after this.
    fn spend(&self, seconds: f64, allowed: u32, now: Instant) -> f64 {
        let full = f64::from(allowed);
        let mut credit = self.usage.credit.lock();
        let left = (refilled(*credit, full, now) - seconds).min(full);
        *credit = Some(Credit { seconds: left, at: now });
        left
    }

    pub(super) fn may_use(&self, model: &str) -> bool {
        self.limits.models.as_ref().is_none_or(|models| models.iter().any(|name| name == model))
    }
}

/// Returns the credit that there is now, at most a minute's worth.
fn refilled(credit: Option<Credit>, full: f64, now: Instant) -> f64 {
    let before = credit.unwrap_or(Credit { seconds: full, at: now });
    let refill = now.saturating_duration_since(before.at).as_secs_f64() * full / 60.0;
    (before.seconds + refill).min(full)
}

/// A tenant, and the key with which its client came.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    pub(super) tenant: Arc<Tenant>,
    /// `None` where no key is required.
    pub(super) key: Option<KeyHash>,
}

impl std::ops::Deref for Admitted {
    type Target = Arc<Tenant>;

    fn deref(&self) -> &Arc<Tenant> {
        &self.tenant
    }
}

/// All tenants. Read by every request, replaced when the configuration is read again.
pub(super) struct Tenants {
    directory: RwLock<Arc<Directory>>,
    replaced: watch::Sender<()>,
}

struct Directory {
    /// True if the configuration has none, and any program on this machine may connect.
    open: bool,
    tenants: Vec<Arc<Tenant>>,
}

impl Tenants {
    pub(super) fn new(configured: &BTreeMap<String, TenantConfig>) -> Self {
        Self {
            directory: RwLock::new(Arc::new(Directory::new(configured, &[]))),
            replaced: watch::Sender::new(()),
        }
    }

    /// Takes over another configuration. Streams that run keep the limits that they began with, as
    /// long as their key is there.
    pub(super) fn replace(&self, configured: &BTreeMap<String, TenantConfig>) {
        let mut directory = self.directory.write();
        *directory = Arc::new(Directory::new(configured, &directory.tenants));
        drop(directory);
        self.replaced.send_replace(());
    }

    fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory.read())
    }

    /// Returns true if the client that came with this key, or without one, to this tenant may stay.
    pub(super) fn still_admits(&self, tenant: &str, key: Option<&KeyHash>) -> bool {
        let directory = self.directory();
        let Some(key) = key else { return directory.open };
        let same = directory.tenants.iter().filter(|known| &*known.name == tenant);
        // Compares all of them, in constant time, as at authentication.
        same.flat_map(|known| &known.limits.keys)
            .fold(false, |found, known| found | bool::from(known.matches(key)))
    }

    /// Notified whenever the tenants are replaced.
    pub(super) fn replaced(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }

    /// All tenants.
    pub(super) fn all(&self) -> Vec<Arc<Tenant>> {
        self.directory().tenants.clone()
    }

    /// Returns true if no key is required.
    pub(super) fn is_open(&self) -> bool {
        self.directory().open
    }

    /// The tenant of this name, if there still is one.
    pub(super) fn named(&self, name: &str) -> Result<Arc<Tenant>, Rejection> {
        let directory = self.directory();
        directory.tenants.iter().find(|tenant| &*tenant.name == name).cloned().ok_or(Rejection::WrongKey)
    }

    /// Finds the tenant of a key. All hashes are compared, each in constant time: the duration
    /// reveals nothing.
    pub(super) fn find(&self, key: Option<&str>) -> Result<Admitted, Rejection> {
        let directory = self.directory();
        if directory.open {
            let tenant = directory.tenants.first().cloned().ok_or(Rejection::WrongKey)?;
            return Ok(Admitted { tenant, key: None });
        }
        let hash = KeyHash::of(key.ok_or(Rejection::NoKey)?);
        let mut found = None;
        for tenant in &directory.tenants {
            for known in &tenant.limits.keys {
                if bool::from(known.matches(&hash)) {
                    found = Some(tenant);
                }
            }
        }
        found.cloned().map(|tenant| Admitted { tenant, key: Some(hash) }).ok_or(Rejection::WrongKey)
    }
}

impl Directory {
    fn new(configured: &BTreeMap<String, TenantConfig>, before: &[Arc<Tenant>]) -> Self {
        let tenant = |name: &str, limits: TenantConfig| {
            let same = before.iter().find(|tenant| &*tenant.name == name);
            let usage = same.map_or_else(Arc::default, |tenant| Arc::clone(&tenant.usage));
            let kept = same.filter(|tenant| {
                let of = |limits: &TenantConfig| (limits.weight, limits.sandboxes, limits.memory_mib);
                of(&tenant.limits) == of(&limits)
            });
            let share = kept.map_or_else(
                || {
                    let mut of_sandboxes = ShareLimits::default();
                    if let Some(sandboxes) = limits.sandboxes {
                        of_sandboxes = of_sandboxes.sandboxes(sandboxes);
                    }
                    if let Some(mib) = limits.memory_mib {
                        of_sandboxes = of_sandboxes.memory_bytes(u64::from(mib) << 20);
                    }
                    Share::named(name, limits.weight, &of_sandboxes)
                },
                |tenant| tenant.share.clone(),
            );
            Arc::new(Tenant { name: name.into(), limits, share, usage })
        };
        if configured.is_empty() {
            // The one user of the machine is limited by the machine.
            let unlimited = TenantConfig {
                streams: u32::MAX,
                upload_mib: 4096,
                uploads_mib: Some(u32::MAX),
                ..TenantConfig::default()
            };
            return Self { open: true, tenants: vec![tenant(LOCAL, unlimited)] };
        }
        let tenants = configured.iter().map(|(name, limits)| tenant(name, limits.clone())).collect();
        Self { open: false, tenants }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn configured(limits: TenantConfig) -> BTreeMap<String, TenantConfig> {
        BTreeMap::from([("a".to_owned(), TenantConfig { keys: vec![KeyHash::of("key a")], ..limits })])
    }

    #[test]
    fn a_key_opens_its_own_tenant_and_nothing_else_does() {
        let mut two = configured(TenantConfig::default());
        two.insert("b".into(), TenantConfig { keys: vec![KeyHash::of("key b")], ..TenantConfig::default() });
        let tenants = Tenants::new(&two);
        assert_eq!(&*tenants.find(Some("key a")).unwrap().name, "a");
        assert_eq!(&*tenants.find(Some("key b")).unwrap().name, "b");
        assert!(matches!(tenants.find(Some("key c")), Err(Rejection::WrongKey)));
        assert!(matches!(tenants.find(Some("")), Err(Rejection::WrongKey)));
        assert!(matches!(tenants.find(None), Err(Rejection::NoKey)));
        two.remove("a");
        tenants.replace(&two);
        assert!(matches!(tenants.find(Some("key a")), Err(Rejection::WrongKey)), "revoked");
        assert!(!tenants.still_admits("a", Some(&KeyHash::of("key a"))));
        assert!(tenants.still_admits("b", Some(&KeyHash::of("key b"))));
        assert!(!tenants.still_admits("b", Some(&KeyHash::of("key a"))));
        assert!(!tenants.still_admits("b", None), "a key is asked for");
        assert!(Tenants::new(&BTreeMap::new()).still_admits(LOCAL, None));
    }

    #[test]
    fn streams_are_counted_across_a_reload() {
        let tenants = Tenants::new(&configured(TenantConfig { streams: 2, ..TenantConfig::default() }));
        let first = tenants.find(Some("key a")).unwrap();
        first.take_stream().unwrap();
        first.take_stream().unwrap();
        assert!(matches!(first.take_stream(), Err(Rejection::TooManyStreams(2))));
        tenants.replace(&configured(TenantConfig { streams: 3, ..TenantConfig::default() }));
        let second = tenants.find(Some("key a")).unwrap();
        second.take_stream().unwrap();
        assert!(second.take_stream().is_err());
        first.give_stream_back();
        second.take_stream().unwrap();
    }

    #[test]
    fn audio_is_paid_for_from_a_credit_that_fills_with_time() {
        let limits = TenantConfig { audio_seconds_per_minute: Some(60), ..TenantConfig::default() };
        let tenants = Tenants::new(&configured(limits));
        let tenant = tenants.find(Some("key a")).unwrap();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let spend = |seconds, now| tenant.check_credit(now).map(|()| tenant.debit(seconds, now));
        spend(50.0, at(0)).unwrap();
        // The rest is charged in full, and waited for.
        spend(30.0, at(0)).unwrap();
        let Err(Rejection::TooMuchAudio { retry, .. }) = spend(1.0, at(0)) else { panic!("no credit") };
        assert_eq!(retry.as_secs(), 21);
        assert!(spend(1.0, at(19)).is_err());
        spend(1.0, at(22)).unwrap();
        // Of simultaneous requests one finds credit, and gets the unused part back.
        let tenant = tenants.find(Some("key a")).unwrap();
        let later = at(5_000);
        tenant.reserve(1000.0, later).unwrap();
        assert!(matches!(tenant.reserve(1.0, later), Err(Rejection::TooMuchAudio { .. })));
        assert!(tenant.owes_a_recording(later).is_none());
        tenant.debit(20_000.0, later);
        assert!(tenant.owes_a_recording(later).is_some());
        tenant.debit(-21_000.0, later);
        assert!(tenant.reserve(59.0, later).is_ok() && tenant.reserve(1.0, later).is_ok());
        assert!(tenant.reserve(1.0, later).is_err());
        // At most a minute's worth is saved: the capacity of the token bucket.
        spend(61.0, at(10_000)).unwrap();
        assert!(spend(1.0, at(10_000)).is_err());
    }
}
