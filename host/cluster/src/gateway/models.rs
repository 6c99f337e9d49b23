//! The models of the workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearken::{Engine, Model};
use tokio::sync::watch;

use super::Desk;
use super::place::Remote;
use crate::news::{Demand, Load};

/// Most models of all workers, and longest name of one, in bytes.
const MOST: usize = 256;
const MOST_NAME: usize = 200;

/// The models of the workers, by name.
pub(super) struct Models {
    engine: Engine,
    desk: Arc<Desk>,
    known: watch::Sender<BTreeMap<String, Model>>,
}

impl Models {
    pub(super) fn new(engine: Engine, desk: Arc<Desk>) -> Self {
        Self { engine, desk, known: watch::Sender::default() }
    }

    pub(super) fn known(&self) -> watch::Receiver<BTreeMap<String, Model>> {
        self.known.subscribe()
    }

    /// Adds the models of a worker that are new.
    pub(super) fn hear(&mut self, load: &Load) {
        for offer in &load.models {
            let (name, hash) = (&offer.name, &offer.facts.hash);
            let known = self.known.borrow();
            let found = known.get(name).map(|model| model.checked().hash.to_hex().to_string());
            let is_full = known.len() >= MOST || name.len() > MOST_NAME;
            drop(known);
            if found.as_ref() == Some(hash) || is_full {
                continue;
            }
            if found.is_some() {
                tracing::debug!(name, hash, "a worker has another model under this name; it is left alone");
                continue;
            }
            let place = offer.token().map(|model| Remote::new(Arc::clone(&self.desk), model));
            let Some(place) = place else { continue };
            match self.engine.elsewhere(&offer.facts, Arc::new(place)) {
                Ok(model) => {
                    tracing::info!(name, hash, "a model is there");
                    self.known.send_modify(|known| drop(known.insert(name.clone(), model)));
                }
                Err(error) => tracing::warn!(%error, "a worker offers what is no model"),
            }
        }
    }

    /// The demand of this gateway's active streams.
    pub(super) fn demand(&self) -> Demand {
        let known = self.known.borrow();
        let all = known.values().map(Model::stats);
        all.fold(Demand { threads: 0.0, speaking: 0 }, |sum, stats| Demand {
            threads: sum.threads + stats.demand(0.0),
            speaking: sum.speaking + stats.speaking,
        })
    }
}
