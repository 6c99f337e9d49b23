//! Official Whisper models, where this machine has them.

use std::path::PathBuf;

use hearken::store::Store;

/// The file of an official model in the user's store; `make models` puts tiny.en and base there.
/// Says what is skipped if it is not there.
///
/// # Panics
///
/// When it is not there and `CI` is set: continuous integration skips nothing.
pub fn official(name: &str) -> Option<PathBuf> {
    let found = Store::open().and_then(|store| store.find(name));
    match found {
        Ok(stored) => Some(stored.path),
        Err(error) if std::env::var_os("CI").is_some_and(|value| !value.is_empty()) => {
            panic!("{name}: {error}")
        }
        Err(error) => {
            println!("skipped, for want of the official model {name}: {error} (`make models` gets it)");
            None
        }
    }
}
