//! The host functions that the guest may call, behind safe wrappers.

use hearken_proto::Event;

#[link(wasm_import_module = "hearken")]
unsafe extern "C" {
    fn model_read(dst: *mut u8, len: u32) -> u32;
    fn emit(ptr: *const u8, len: u32);
}

/// Fills `dst` with the model's next bytes; returns how many there were.
pub(crate) fn read_model(dst: &mut [u8]) -> usize {
    // SAFETY: the host writes at most `len` bytes at `dst`, which is exactly this exclusive slice.
    let read = unsafe { model_read(dst.as_mut_ptr(), dst.len() as u32) };
    (read as usize).min(dst.len())
}

/// Hands one event to the host.
pub(crate) fn emit_event(event: &Event) {
    let bytes = hearken_proto::encode(event);
    // SAFETY: the host reads `len` bytes at `ptr`, which is exactly this slice, before the call
    // returns.
    unsafe { emit(bytes.as_ptr(), bytes.len() as u32) }
}
