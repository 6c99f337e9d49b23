//! A hostile `model.bin` of CTranslate2.

#![no_main]

use hearken::store::import::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: hearken_fuzz::write_seeds(fuzz::seeds("ctranslate2")), |bytes: &[u8]| fuzz::ctranslate2(bytes));
