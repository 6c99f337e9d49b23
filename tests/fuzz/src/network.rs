//! A client that sends anything: to every parser of the server.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hearken_server::fuzz::attack(bytes));
