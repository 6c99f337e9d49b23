//! Metrics of the engine and of this process's memory, read at each scrape: of a server, and of a
//! worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearken::service::{FAILURES, sandbox_memory};
use hearken::{Model, Share};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::App;
use super::metrics::{ByTenant, Seconds};
use super::operations::Observed;

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

/// The registry of a server's current values.
pub(super) fn of_server(app: &App) -> Registry {
    let shares: Vec<_> =
        app.tenants.all().iter().map(|tenant| (Arc::clone(&tenant.name), tenant.share.clone())).collect();
    let named: Vec<_> = app.models.all().into_iter().map(|model| (app.models.name(&model), model)).collect();
    let mut registry = of_engine(&shares, &named);
    admission(app, &mut registry);
    registry
}

/// The registry of a worker's current values.
pub(super) fn of_worker(worker: &dyn Observed) -> Registry {
    let mut registry = of_engine(&worker.shares(), &worker.models());
    let (room, sandboxes) = (Gauge::<i64>::default(), Gauge::<i64>::default());
    room.set(worker.room().into());
    sandboxes.set(worker.sandboxes() as i64);
    // hearken_worker_room
    registry.register("worker_room", "Utterances that it serves at the same time, at most", room);
    // hearken_worker_sandboxes
    registry.register("worker_sandboxes", "Sandboxes of gateways", sandboxes);
    registry
}

fn of_engine(tenants: &[(Arc<str>, Share)], named: &[(String, Model)]) -> Registry {
    let mut registry = Registry::with_prefix("hearken");
    decoding(tenants, &mut registry);
    models(named, &mut registry);
    memory(tenants, named, &mut registry);
    registry
}

fn decoding(tenants: &[(Arc<str>, Share)], registry: &mut Registry) {
    let (decodes, cpu) = (Family::<ByKind, Counter>::default(), Family::<ByKind, Seconds>::default());
    let (encodes, joined) = (Family::<ByTenant, Counter>::default(), Family::<ByTenant, Counter>::default());
    let failures = Family::<ByKind, Counter>::default();
    let sandboxes = Family::<ByTenant, Gauge>::default();
    let intake = Family::<ByTenant, Seconds>::default();
    for (name, share) in tenants {
        let stats = share.stats();
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
        // A worker may have two shares of one name, of gateways whose configurations differ.
        sandboxes.get_or_create(&by_tenant).inc_by(stats.sandboxes as i64);
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

fn models(named: &[(String, Model)], registry: &mut Registry) {
    let (speaking, cost) = (Family::<ByModel, Gauge>::default(), Family::<ByModel, Level>::default());
    for (name, model) in named {
        let by_model = ByModel { model: name.clone() };
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
}

fn admission(app: &App, registry: &mut Registry) {
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

fn memory(tenants: &[(Arc<str>, Share)], named: &[(String, Model)], registry: &mut Registry) {
    let models: Vec<Model> = named.iter().map(|(_, model)| model.clone()).collect();
    let packed: usize = models.iter().map(hearken::Model::packed_bytes).sum();
    let snapshots: u64 = models.iter().map(hearken::Model::snapshot_bytes).sum();
    let held = Family::<OfKind, Gauge>::default();
    let set = |kind, bytes: u64| {
        held.get_or_create(&OfKind { kind }).set(bytes as i64);
    };
    set("packed_weights", packed as u64);
    set("snapshots", snapshots);
    let by_tenant = Family::<ByTenant, Gauge>::default();
    // Elsewhere than on Linux the system does not say.
    if let Some(written) = sandbox_memory(&models, tenants.iter().map(|(_, share)| share)) {
        set("sandboxes", written.all);
        for ((name, _), bytes) in tenants.iter().zip(&written.by_share) {
            let tenant = ByTenant { tenant: Arc::clone(name) };
            by_tenant.get_or_create(&tenant).inc_by(*bytes as i64);
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
