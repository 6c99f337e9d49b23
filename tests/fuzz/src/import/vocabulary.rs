//! A hostile vocabulary, in each of its forms.

#![no_main]

use hearken::store::import::fuzz;
use libfuzzer_sys::fuzz_target;

mod seeds;

fuzz_target!(init: seeds::write("vocabulary"), |bytes: &[u8]| fuzz::vocabulary(bytes));
