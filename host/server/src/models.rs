//! The models that the server has, and under which names.

use std::collections::BTreeMap;
use std::time::SystemTime;

use hearken::Error;
use hearken::{Engine, Model, ModelSource};
use tokio::sync::watch;

use super::config::Config;
use super::families::is_usual;
use super::rejection::{Rejection, quote};
use super::tenants::Tenant;

/// Source of a model, and its name.
#[derive(Debug, Clone)]
pub struct NamedModel {
    /// Name for clients.
    pub name: String,
    /// Source of the model.
    pub source: ModelSource,
}

/// The models, once they are loaded.
pub(super) struct Models {
    loaded: watch::Sender<Option<Loaded>>,
    default: String,
    aliases: BTreeMap<String, String>,
}

#[derive(Clone)]
struct Loaded {
    models: BTreeMap<String, Model>,
    since: u64,
}

/// A model under its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    /// Time of loading [s since 1970].
    pub(super) created: u64,
}

impl Models {
    /// Makes the set of models; nothing is loaded yet.
    pub(super) fn new(config: &Config, models: &[NamedModel]) -> Self {
        let first = models.first().map(|model| model.name.clone()).unwrap_or_default();
        let default = config.default_model.clone().unwrap_or(first);
        Self { aliases: config.aliases.clone(), default, loaded: watch::Sender::new(None) }
    }

    /// Loads them; takes seconds where one was never used before.
    pub(super) fn load(&self, engine: &Engine, models: &[NamedModel]) -> Result<(), Error> {
        let load = |named: &NamedModel| {
            let model = engine.load(&named.source)?;
            // What a stream costs is known before the first comes.
            if let Err(error) = model.rehearse() {
                tracing::warn!(model = named.name, %error, "what its speech costs could not be measured yet");
            }
            Ok((named.name.clone(), model))
        };
        self.set(models.iter().map(load).collect::<Result<_, Error>>()?);
        Ok(())
    }

    /// Takes over these models, and no others.
    pub(super) fn set(&self, models: BTreeMap<String, Model>) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let since = since.map_or(0, |since| since.as_secs());
        self.loaded.send_replace(Some(Loaded { models, since }));
    }

    /// Takes over models of other machines as they come.
    pub(super) async fn follow(&self, mut models: watch::Receiver<BTreeMap<String, Model>>) {
        loop {
            let now = models.borrow_and_update().clone();
            if !now.is_empty() {
                self.set(now);
            }
            if models.changed().await.is_err() {
                return;
            }
        }
    }

    /// All loaded models, each once, however many names it has.
    pub(super) fn all(&self) -> Vec<Model> {
        let loaded = self.loaded.borrow();
        let mut all: Vec<Model> = Vec::new();
        for model in loaded.iter().flat_map(|loaded| loaded.models.values()) {
            if !all.iter().any(|other| other.is(model)) {
                all.push(model.clone());
            }
        }
        all
    }

    /// The first of a model's names.
    pub(super) fn name(&self, model: &Model) -> String {
        let loaded = self.loaded.borrow();
        let mut models = loaded.iter().flat_map(|loaded| &loaded.models);
        let found = models.find(|(_, other)| other.is(model));
        found.map(|(name, _)| name.clone()).unwrap_or_default()
    }

    pub(super) fn are_loaded(&self) -> bool {
        self.loaded.borrow().is_some()
    }

    /// Waits until they are.
    pub(super) async fn ready(&self) {
        // The sender lives as long as `self`.
        let _ = self.loaded.subscribe().wait_for(Option::is_some).await;
    }

    /// The model that a client means, and its name here. Without a name, or under one of those that
    /// clients send unasked, the default one, or the first that it may use.
    pub(super) fn find(&self, tenant: &Tenant, asked: Option<&str>) -> Result<(String, Model), Rejection> {
        let loaded = self.loaded.borrow();
        let models = &loaded.as_ref().ok_or(Rejection::NotReady)?.models;
        let allowed = |name: &str| {
            let model = models.get(name).filter(|_| tenant.may_use(name))?;
            Some((name.to_owned(), model.clone()))
        };
        let default = || allowed(&self.default).or_else(|| models.keys().find_map(|name| allowed(name)));
        let found = match asked {
            Some(name) => allowed(name).or_else(|| match self.aliases.get(name) {
                Some(alias) => allowed(alias),
                None => default().filter(|_| is_usual(name)),
            }),
            None => default(),
        };
        found.ok_or_else(|| Rejection::UnknownModel(quote(asked.unwrap_or(&self.default))))
    }

    /// The models of a tenant, by name.
    pub(super) fn list(&self, tenant: &Tenant) -> Result<Vec<Listed>, Rejection> {
        let loaded = self.loaded.borrow();
        let loaded = loaded.as_ref().ok_or(Rejection::NotReady)?;
        let names = loaded.models.keys().filter(|name| tenant.may_use(name));
        Ok(names.map(|name| Listed { name: name.clone(), created: loaded.since }).collect())
    }
}
