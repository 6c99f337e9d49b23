//! A client that sends anything: to every parser of the server, and as a recording.

#![no_main]

use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;

use libfuzzer_sys::fuzz_target;

static HOOKED: Once = Once::new();

fuzz_target!(|bytes: &[u8]| {
    HOOKED.call_once(|| {
        let abort = take_hook();
        set_hook(Box::new(move |panic| {
            if !is_caught(panic) {
                abort(panic);
            }
        }));
    });
    hearken::server::fuzz::attack(bytes);
});

/// Returns true if hearken expects it: a panic of a parser of recordings is caught, and is a
/// damaged file (`audio/decode/container.rs`). One that is not caught there ends the process all
/// the same.
fn is_caught(panic: &PanicHookInfo<'_>) -> bool {
    panic.location().is_some_and(|location| location.file().contains("/symphonia"))
}
