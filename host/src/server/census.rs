//! Metrics of the engine and of this process's memory, read at each scrape.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::App;
use super::metrics::{ByTenant, Seconds};
use crate::meter::{FAILURES, WORK};
use crate::pages;

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
        let (meter, name) = (tenant.share.meter(), &tenant.name);
        let by_kind = |kind| ByKind { tenant: Arc::clone(name), kind };
        let by_tenant = ByTenant { tenant: Arc::clone(name) };
        for (work, kind) in WORK {
            decodes.get_or_create(&by_kind(kind)).inc_by(meter.decodes(work));
            cpu.get_or_create(&by_kind(kind)).inc_by(meter.cpu(work).as_secs_f64());
        }
        for (kind, count) in FAILURES.into_iter().zip(meter.failures()) {
            failures.get_or_create(&by_kind(kind)).inc_by(count);
        }
        encodes.get_or_create(&by_tenant).inc_by(meter.encodes());
        joined.get_or_create(&by_tenant).inc_by(meter.joins());
        sandboxes.get_or_create(&by_tenant).set(meter.live() as i64);
        intake.get_or_create(&by_tenant).inc_by(meter.intake().as_secs_f64());
    }
    registry.register("decodes", "Decodes that were made, by what they were for", decodes);
    let help = "CPU time of decodes, by what they were for";
    registry.register_with_unit("decode_cpu", help, Unit::Seconds, cpu);
    let help =
        "CPU time of what happens to audio before it is recognised: decoding, resampling, voice activity";
    registry.register_with_unit("intake_cpu", help, Unit::Seconds, intake);
    registry.register("encoder_calls", "Windows that went through the encoder", encodes);
    let help = "Partial texts that were due and not made, since a later text says more";
    registry.register("partials_joined", help, joined);
    registry.register("sandbox_failures", "Sandboxes that ended before their speech did, by why", failures);
    registry.register("sandboxes", "Sandboxes that live", sandboxes);
}

fn models(app: &App, registry: &mut Registry) {
    let (speaking, cost) = (Family::<ByModel, Gauge>::default(), Family::<ByModel, Level>::default());
    for model in app.models.all() {
        let by_model = ByModel { model: app.models.name(&model) };
        speaking.get_or_create(&by_model).set(model.meter().speaking() as i64);
        if let Some(seconds) = model.meter().cost_of_speech() {
            cost.get_or_create(&by_model).set(seconds);
        }
    }
    registry.register("speaking", "Streams in which somebody speaks", speaking);
    let help =
        "CPU time that final texts take for each second of speech, where there is no time for partial ones";
    registry.register("speech_cost", help, cost);
    let (load, limit) = (Level::default(), Level::default());
    load.set(app.capacity.load(&app.models.all()));
    limit.set(app.capacity.limit());
    registry.register("load", "What final texts need of the recogniser's time, as a part of it", load);
    registry.register("load_limit", "The load at which new streams are refused", limit);
}

fn memory(app: &App, registry: &mut Registry) {
    let models = app.models.all();
    let packed: usize = models.iter().map(crate::Model::packed_bytes).sum();
    let snapshots: u64 = models.iter().map(crate::Model::snapshot_bytes).sum();
    let held = Family::<OfKind, Gauge>::default();
    let set = |kind, bytes: u64| {
        held.get_or_create(&OfKind { kind }).set(bytes as i64);
    };
    set("packed_weights", packed as u64);
    set("snapshots", snapshots);
    let tenants = app.tenants.all();
    let all = models.iter().flat_map(|model| model.meter().spaces()).collect();
    let each = tenants.iter().map(|tenant| tenant.share.meter().spaces());
    let by_tenant = Family::<ByTenant, Gauge>::default();
    // Elsewhere than on Linux the system does not say.
    if let Some(private) = pages::written_in(&std::iter::once(all).chain(each).collect::<Vec<_>>()) {
        set("sandboxes", private[0]);
        for (tenant, bytes) in tenants.iter().zip(&private[1..]) {
            let tenant = ByTenant { tenant: Arc::clone(&tenant.name) };
            by_tenant.get_or_create(&tenant).set(*bytes as i64);
        }
    }
    for (kind, bytes) in resident().unwrap_or_default() {
        set(kind, bytes);
    }
    let help =
        "Memory of the process that is resident, as a whole and by kind, and what is known of its parts";
    registry.register_with_unit("memory", help, Unit::Bytes, held);
    let help = "What a tenant's sandboxes have written";
    registry.register_with_unit("sandbox_memory", help, Unit::Bytes, by_tenant);
}

/// Resident memory of this process: all of it, what is its own, and what it maps from files and
/// from snapshots.
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
