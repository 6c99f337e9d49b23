//! Operations that are in order: to the kernels of all instruction sets, which must agree.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hearken_fuzz::compare(bytes));
