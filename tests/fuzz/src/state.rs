//! A stream that the server before has left on disk, damaged or changed: to its reader.

#![no_main]

use std::path::PathBuf;

use hearken_server::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seed(), |bytes: &[u8]| fuzz::attack_state(bytes));

/// Writes files that are in order into the folder that `HEARKEN_SEEDS` names, before libFuzzer
/// reads it.
fn seed() {
    let Some(folder) = std::env::var_os("HEARKEN_SEEDS").map(PathBuf::from) else { return };
    for (number, seed) in fuzz::state_seeds().into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed)
            .expect("the folder of the corpus can be written");
    }
}
