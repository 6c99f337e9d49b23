//! Files that are in order, from which the fuzzer starts.

use std::path::PathBuf;

use hearken::store::import::fuzz;

/// Writes those of a target into the folder that `HEARKEN_SEEDS` names, before libFuzzer reads it.
pub(crate) fn write(target: &str) {
    let Some(folder) = std::env::var_os("HEARKEN_SEEDS").map(PathBuf::from) else { return };
    for (number, seed) in fuzz::seeds(target).into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed)
            .expect("the folder of the corpus can be written");
    }
}
