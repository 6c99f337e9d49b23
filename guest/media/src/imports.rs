//! The host functions that this guest may call, behind safe wrappers.

use std::io;

use hearken_proto::Event;

use crate::source::Bytes;

#[link(wasm_import_module = "hearken")]
unsafe extern "C" {
    fn source_read(position: u64, dst: *mut u8, len: u32) -> i32;
    fn emit(ptr: *const u8, len: u32);
}

/// The recording's bytes, which the host has.
pub(crate) struct Host;

impl Bytes for Host {
    fn read_at(&mut self, position: u64, out: &mut [u8]) -> io::Result<usize> {
        let len = u32::try_from(out.len()).unwrap_or(u32::MAX);
        // SAFETY: the host writes at most `len` bytes at `dst`, and `out` is at least as long and
        // exclusive.
        let read = unsafe { source_read(position, out.as_mut_ptr(), len) };
        usize::try_from(read)
            .map(|read| read.min(out.len()))
            .map_err(|_| io::Error::other("the host cannot read the source"))
    }
}

/// Hands one event to the host.
pub(crate) fn emit_event(event: &Event) {
    let bytes = hearken_proto::encode(event);
    // SAFETY: the host reads `len` bytes at `ptr`, which is exactly this slice, before the call
    // returns.
    unsafe { emit(bytes.as_ptr(), bytes.len() as u32) }
}
