//! A folder of Hugging Face's whose configuration and weights say anything.

#![no_main]

use hearken::store::import::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: hearken_fuzz::write_seeds(fuzz::seeds("hugging_face")), |bytes: &[u8]| fuzz::hugging_face(bytes));
