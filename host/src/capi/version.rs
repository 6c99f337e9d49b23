//! Version of the interface.

use std::ffi::{CStr, c_char};

/// Version of this interface. It changes when a program that was compiled against an older header
/// would no longer work; functions, fields at the end of structures, and event types are added
/// without changing it.
pub const HEARKEN_ABI_VERSION: u32 = 1;

/// Samples in a second of every position and length in events: 16 000, whatever the rate of the
/// audio that is pushed.
pub const HEARKEN_SAMPLE_RATE: u32 = 16_000;
const _: () = assert!(HEARKEN_SAMPLE_RATE == crate::SAMPLE_RATE);

/// The `HEARKEN_ABI_VERSION` of the library that is loaded.
///
/// Threads: any, audio threads too.
#[unsafe(no_mangle)]
pub extern "C" fn hearken_abi_version() -> u32 {
    HEARKEN_ABI_VERSION
}

/// The version of the library that is loaded, such as "0.1.0". Never NULL, never to be freed.
///
/// Threads: any, audio threads too.
#[unsafe(no_mangle)]
pub extern "C" fn hearken_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a version without a NUL"),
        };
    VERSION.as_ptr()
}
