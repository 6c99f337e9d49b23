//! The engine, which all elements of a process share, and its models.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use hearken::{Engine, Error, Model, ModelSource};

/// Stays until the process ends: elements come and go, and its threads cost nothing while they
/// wait.
static ENGINE: Mutex<Option<Engine>> = Mutex::new(None);

/// Loads a model file, or the small model inside hearken. Elements with the same file share its
/// weights.
pub(crate) fn load(path: Option<&Path>) -> Result<Model, Error> {
    let mut kept = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = match &*kept {
        Some(engine) => engine.clone(),
        None => kept.insert(Engine::new()?).clone(),
    };
    drop(kept);
    engine.load(&path.map_or(ModelSource::Embedded, |path| ModelSource::File(path.to_owned())))
}
