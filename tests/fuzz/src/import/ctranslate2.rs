//! A hostile `model.bin` of CTranslate2.

#![no_main]

use hearken::store::import::fuzz;
use libfuzzer_sys::fuzz_target;

mod seeds;

fuzz_target!(init: seeds::write("ctranslate2"), |bytes: &[u8]| fuzz::ctranslate2(bytes));
