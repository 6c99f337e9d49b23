//! A guest that asks for anything: to the compute import.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hearken_fuzz::attack(bytes));
