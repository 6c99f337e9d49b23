//! Metrics for Prometheus.
//!
//! The prefix `hearken_` and suffixes such as `_total` are added by the registry, so the full name
//! stands beside each registration.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::webhook::Deliveries;

/// Content type of [`Metrics::text`].
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds as a counter.
pub(super) type Seconds = Counter<f64, std::sync::atomic::AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByTenant {
    pub(super) tenant: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByProtocol {
    pub(super) tenant: Arc<str>,
    pub(super) protocol: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

/// All metrics. Cloning shares them.
#[derive(Clone)]
pub(super) struct Metrics {
    registry: Arc<Registry>,
    /// Streams and recordings that are open.
    pub(super) open: Family<ByProtocol, Gauge>,
    /// Number of streams that were ever opened.
    pub(super) opened: Family<ByProtocol, Counter>,
    /// Seconds of audio that came.
    pub(super) audio: Family<ByTenant, Seconds>,
    /// Seconds of audio that were not recognized.
    pub(super) dropped: Family<ByTenant, Seconds>,
    pub(super) unrecognized: Family<ByTenant, Seconds>,
    /// Time from the end of an utterance, as it was detected, to its final text.
    pub(super) final_latency: Family<ByTenant, Histogram>,
    /// Time that a recording took, for each second of it.
    pub(super) recording_factor: Family<ByTenant, Histogram>,
    refused: Family<ByReason, Counter>,
    pub(super) connections: Gauge,
    /// Connections that watch broadcasts.
    pub(super) watchers: Family<ByTenant, Gauge>,
    /// Bytes on disk: uploads and kept streams.
    pub(super) stored: Family<ByTenant, Gauge>,
    /// Streams that wait for their client to come back.
    pub(super) parked: Gauge,
    /// Streams that could not be kept for a restart.
    pub(super) state_failures: Counter,
    /// Texts for the webhook.
    pub(super) webhook: Deliveries,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("hearken");
        // 10 ms to 20 s.
        let latency: fn() -> Histogram = || Histogram::new(exponential_buckets(0.01, 2.0, 12));
        let factor: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 12));
        let mut metrics = Self {
            registry: Arc::default(),
            open: Family::default(),
            opened: Family::default(),
            audio: Family::default(),
            dropped: Family::default(),
            unrecognized: Family::default(),
            final_latency: Family::new_with_constructor(latency),
            recording_factor: Family::new_with_constructor(factor),
            refused: Family::default(),
            connections: Gauge::default(),
            watchers: Family::default(),
            stored: Family::default(),
            parked: Gauge::default(),
            state_failures: Counter::default(),
            webhook: Deliveries::default(),
        };
        let r = &mut registry;
        // hearken_open
        r.register("open", "Streams and recordings that are open", metrics.open.clone());
        // hearken_opened_total
        r.register("opened", "Streams and recordings that were opened", metrics.opened.clone());
        // hearken_audio_seconds_total
        r.register("audio_seconds", "Audio that was received", metrics.audio.clone());
        // hearken_dropped_seconds_total
        r.register("dropped_seconds", "Audio that was not recognized, in seconds", metrics.dropped.clone());
        // hearken_unrecognized_seconds_total
        r.register(
            "unrecognized_seconds",
            "Voice in which no words were recognized",
            metrics.unrecognized.clone(),
        );
        // hearken_final_latency_seconds
        r.register(
            "final_latency_seconds",
            "From the detected end of an utterance to its final text",
            metrics.final_latency.clone(),
        );
        // hearken_recording_real_time_factor
        r.register(
            "recording_real_time_factor",
            "Computing time of recordings, for each second of audio",
            metrics.recording_factor.clone(),
        );
        // hearken_refusals_total
        r.register("refusals", "Rejections, by reason", metrics.refused.clone());
        // hearken_connections
        r.register("connections", "Connections that are open", metrics.connections.clone());
        // hearken_watchers
        r.register("watchers", "Connections that watch broadcasts", metrics.watchers.clone());
        // hearken_stored_bytes
        r.register("stored_bytes", "Uploads and kept streams on disk", metrics.stored.clone());
        // hearken_parked
        r.register("parked", "Streams whose client lost its connection", metrics.parked.clone());
        // hearken_state_failures_total
        r.register(
            "state_failures",
            "Streams that would not survive a restart, because their state could not be written",
            metrics.state_failures.clone(),
        );
        let webhook = &metrics.webhook;
        // hearken_webhook_delivered_total
        r.register("webhook_delivered", "Texts of calls that the webhook took", webhook.delivered.clone());
        // hearken_webhook_given_up_total
        r.register(
            "webhook_given_up",
            "Texts of calls that were not delivered: rejected, tried too often, or beyond the queue",
            webhook.given_up.clone(),
        );
        metrics.registry = Arc::new(registry);
        metrics
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ByReason { reason }).inc();
    }

    /// Formats all metrics, and those in `more`, in OpenMetrics' text format.
    pub(super) fn text(&self, more: &Registry) -> String {
        text(&[&self.registry, more])
    }
}

/// The text that Prometheus reads.
pub(super) fn text(registries: &[&Registry]) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    for registry in registries {
        let _ = encode_registry(&mut text, registry);
    }
    let _ = encode_eof(&mut text);
    text
}

/// Adds one to a gauge as long as it lives.
pub(super) struct Counted(Gauge);

impl Counted {
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
