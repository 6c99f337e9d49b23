//! Metrics of the engine and of this process's memory, read at each scrape.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearken::service::{FAILURES, sandbox_memory};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::App;
use super::metrics::{ByTenant, Seconds};

/// A number that may go down and have a fraction.
type Level = Gauge<f64, std::sync::atomic::AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    tenant: Arc<str>,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByModel {
    model: String,
}

/// Registers the current values.
pub(super) fn registry(app: &App) -> Registry {
    let mut registry = Registry::with_prefix("hearken");
    tenants(app, &mut registry);
    models(app, &mut registry);
    memory(app, &mut registry);
    registry
}

fn tenants(app: &App, registry: &mut Registry) {
    let (decodes, cpu) = (Family::<ByKind, Counter>::default(), Family::<ByKind, Seconds>::default());
    let (encodes, joined) = (Family::<ByTenant, Counter>::default(), Family::<ByTenant, Counter>::default());
    let failures = Family::<ByKind, Counter>::default();
    let sandboxes = Family::<ByTenant, Gauge>::default();
    let intake = Family::<ByTenant, Seconds>::default();
    for tenant in app.tenants.all() {
        let (stats, name) = (tenant.share.stats(), &tenant.name);
        let by_kind = |kind| ByKind { tenant: Arc::clone(name), kind };
        let by_tenant = ByTenant { tenant: Arc::clone(name) };
        for (kind, done) in
            [("partial", stats.partial), ("final", stats.r#final), ("recording", stats.recording)]
        {
            decodes.get_or_create(&by_kind(kind)).inc_by(done.count);
            cpu.get_or_create(&by_kind(kind)).inc_by(done.cpu.as_secs_f64());
        }
        for (kind, count) in FAILURES.into_iter().zip(stats.failures) {
            failures.get_or_create(&by_kind(kind)).inc_by(count);
        }
        encodes.get_or_create(&by_tenant).inc_by(stats.encoder_calls);
        joined.get_or_create(&by_tenant).inc_by(stats.partials_joined);
        sandboxes.get_or_create(&by_tenant).set(stats.sandboxes as i64);
        intake.get_or_create(&by_tenant).inc_by(stats.intake.as_secs_f64());
    }
    // hearken_decodes_total
    registry.register("decodes", "Decodes, by purpose", decodes);
    let help = "CPU time of decodes, by purpose";
    // hearken_decode_cpu_seconds_total
    registry.register_with_unit("decode_cpu", help, Unit::Seconds, cpu);
    let help = "CPU time of the audio intake: decoding, resampling, voice activity";
    // hearken_intake_cpu_seconds_total
    registry.register_with_unit("intake_cpu", help, Unit::Seconds, intake);
    // hearken_encoder_calls_total
    registry.register("encoder_calls", "Windows that went through the encoder", encodes);
    let help = "Partial texts that were due and replaced by a later one";
    // hearken_partials_joined_total
    registry.register("partials_joined", help, joined);
    // hearken_sandbox_failures_total
    registry.register("sandbox_failures", "Sandbox failures, by reason", failures);
    // hearken_sandboxes
    registry.register("sandboxes", "Living sandboxes", sandboxes);
}

fn models(app: &App, registry: &mut Registry) {
    let (speaking, cost) = (Family::<ByModel, Gauge>::default(), Family::<ByModel, Level>::default());
    for model in app.models.all() {
        let by_model = ByModel { model: app.models.name(&model) };
        let stats = model.stats();
        speaking.get_or_create(&by_model).set(stats.speaking as i64);
        if let Some(seconds) = stats.cost_of_speech {
            cost.get_or_create(&by_model).set(seconds);
        }
    }
    // hearken_speaking
    registry.register("speaking", "Active streams", speaking);
    let help = "CPU time that final texts take for each second of speech without partial texts";
    // hearken_speech_cost
    registry.register("speech_cost", help, cost);
    let (load, limit) = (Level::default(), Level::default());
    load.set(app.capacity.load(&app.models.all()));
    limit.set(app.capacity.limit());
    // hearken_load
    registry.register("load", "Fraction of the recognizer's time that final texts need", load);
    // hearken_load_limit
    registry.register("load_limit", "Load at which new streams are rejected", limit);
    if let Some(count) = app.capacity.workers() {
        let workers = Gauge::<i64>::default();
        workers.set(i64::try_from(count).unwrap_or(i64::MAX));
        // hearken_workers
        registry.register("workers", "Workers that were heard lately", workers);
    }
}

fn memory(app: &App, registry: &mut Registry) {
    let models = app.models.all();
    let packed: usize = models.iter().map(hearken::Model::packed_bytes).sum();
    let snapshots: u64 = models.iter().map(hearken::Model::snapshot_bytes).sum();
    let held = Family::<OfKind, Gauge>::default();
    let set = |kind, bytes: u64| {
        held.get_or_create(&OfKind { kind }).set(bytes as i64);
    };
    set("packed_weights", packed as u64);
    set("snapshots", snapshots);
    let tenants = app.tenants.all();
    let by_tenant = Family::<ByTenant, Gauge>::default();
    // Elsewhere than on Linux the system does not say.
    if let Some(written) = sandbox_memory(&models, tenants.iter().map(|tenant| &tenant.share)) {
        set("sandboxes", written.all);
        for (tenant, bytes) in tenants.iter().zip(&written.by_share) {
            let tenant = ByTenant { tenant: Arc::clone(&tenant.name) };
            by_tenant.get_or_create(&tenant).set(*bytes as i64);
        }
    }
    for (kind, bytes) in resident().unwrap_or_default() {
        set(kind, bytes);
    }
    let help = "Resident memory of the process, as a whole and by kind, and known parts of it";
    // hearken_memory_bytes
    registry.register_with_unit("memory", help, Unit::Bytes, held);
    let help = "Memory that a tenant's sandboxes have written";
    // hearken_sandbox_memory_bytes
    registry.register_with_unit("sandbox_memory", help, Unit::Bytes, by_tenant);
}

/// Resident memory of this process: all of it, its own, and that mapped from files and from
/// snapshots.
fn resident() -> Option<BTreeMap<&'static str, u64>> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let names = [
        ("VmRSS:", "resident"),
        ("RssAnon:", "anonymous"),
        ("RssFile:", "files"),
        ("RssShmem:", "snapshots_mapped"),
    ];
    let field = |(name, kind)| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some((kind, kilobytes << 10))
    };
    Some(names.into_iter().filter_map(field).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_knows_what_is_resident() {
        let all = resident().unwrap();
        assert!(all["resident"] > 0 && all["anonymous"] <= all["resident"], "{all:?}");
    }
}
