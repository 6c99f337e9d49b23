//! A stream that the server before has left on disk, damaged or changed: to its reader.

#![no_main]

use hearken_server::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: hearken_fuzz::write_seeds(fuzz::state_seeds()), |bytes: &[u8]| fuzz::attack_state(bytes));
