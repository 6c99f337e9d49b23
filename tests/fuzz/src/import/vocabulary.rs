//! A hostile vocabulary, in each of its forms.

#![no_main]

use hearken::store::import::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: hearken_fuzz::write_seeds(fuzz::seeds("vocabulary")), |bytes: &[u8]| fuzz::vocabulary(bytes));
