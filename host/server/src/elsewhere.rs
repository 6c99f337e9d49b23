//! The place of a server's models: this process, or other machines.

use std::collections::BTreeMap;

use hearken::Model;
use tokio::sync::watch;

use super::models::NamedModel;

/// Recognition on other machines. The crate `hearken-cluster` gives all of it.
pub struct Elsewhere {
    /// The models that are there, by name; it may change at any time.
    pub models: watch::Receiver<BTreeMap<String, Model>>,
    /// Returns the number of threads that recognize there, each as far as it has a core.
    pub capacity: Box<dyn Fn() -> f64 + Send + Sync>,
    /// Returns the number of threads that final texts of other servers' streams need there, and the
    /// number of these streams that are active.
    pub demand: Box<dyn Fn() -> (f64, u64) + Send + Sync>,
    /// Returns the number of machines that recognize.
    pub workers: Box<dyn Fn() -> usize + Send + Sync>,
}

/// The models of a server, before they are loaded.
pub(super) enum Source {
    Here(Vec<NamedModel>),
    Elsewhere(watch::Receiver<BTreeMap<String, Model>>),
}

impl Source {
    /// Those whose names are known.
    pub(super) fn named(&self) -> &[NamedModel] {
        match self {
            Self::Here(models) => models,
            Self::Elsewhere(_) => &[],
        }
    }
}
