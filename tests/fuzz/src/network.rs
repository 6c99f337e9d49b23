//! A client that sends anything: to every parser of the server.

#![no_main]

use hearken_server::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: hearken_fuzz::write_seeds(fuzz::message_seeds()), |bytes: &[u8]| fuzz::attack(bytes));
