//! Official models, where they are on this machine.

use std::path::PathBuf;

use hearken::store::Store;

/// The file of an official model of the user's store (`HEARKEN_MODELS_DIR`, else the default), if it is there and whole.
pub fn official(name: &str) -> Option<PathBuf> {
    let model = Store::open().ok()?.find(name).ok()?;
    let entry = model.entry.filter(|entry| entry.bytes() == model.bytes)?;
    (entry.name() == name).then_some(model.path)
}
