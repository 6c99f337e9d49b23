//! Inputs that are in order, from which a fuzzer starts.

use std::path::PathBuf;

/// Writes them into the folder that `HEARKEN_SEEDS` names, before libFuzzer reads it.
///
/// # Panics
///
/// If the folder cannot be written.
pub fn write_seeds(seeds: impl IntoIterator<Item = Vec<u8>>) {
    let Some(folder) = std::env::var_os("HEARKEN_SEEDS").map(PathBuf::from) else { return };
    for (number, seed) in seeds.into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed)
            .expect("the folder of the corpus can be written");
    }
}
