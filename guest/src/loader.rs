//! The model's way from the host into whisper.cpp.

use std::cell::RefCell;
use std::ffi::{c_char, c_void};

use whisper_rs::whisper_rs_sys as sys;

use crate::backend::spectrogram::BEGINNING;
use crate::imports;

thread_local! {
    // The guest has one thread, so this is a plain static.
    static BEGUN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The beginning of the latest model; whisper.cpp offers no access to it.
pub(crate) fn take_beginning() -> Vec<u8> {
    BEGUN.take()
}

/// Takes the place of whisper.cpp's file loader (the linker's `--wrap`), so that weights stream
/// from the host into tensors without a second copy in linear memory, and whisper-rs's safe API
/// serves for the rest.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_whisper_init_from_file_with_params_no_state(
    _path: *const c_char,
    params: sys::whisper_context_params,
) -> *mut sys::whisper_context {
    let mut ended = false;
    let mut loader = sys::whisper_model_loader {
        context: (&raw mut ended).cast(),
        read: Some(loader_read),
        eof: Some(loader_eof),
        close: Some(loader_close),
    };
    // SAFETY: the loader and its context outlive the call, which keeps neither.
    unsafe { sys::whisper_init_with_params_no_state(&mut loader, params) }
}

unsafe extern "C" fn loader_read(context: *mut c_void, output: *mut c_void, len: usize) -> usize {
    // SAFETY: whisper.cpp passes the context given above and `len` writable bytes.
    let (ended, output) =
        unsafe { (&mut *context.cast::<bool>(), std::slice::from_raw_parts_mut(output.cast(), len)) };
    let read = imports::read_model(output);
    BEGUN.with_borrow_mut(|begun| {
        let missing = BEGINNING.saturating_sub(begun.len()).min(read);
        begun.extend_from_slice(&output[..missing]);
    });
    // whisper.cpp ignores short reads; the rest of the buffer must at least be the same every time.
    output[read..].fill(0);
    *ended = read < len;
    read
}

unsafe extern "C" fn loader_eof(context: *mut c_void) -> bool {
    // SAFETY: whisper.cpp passes the context given above.
    unsafe { *context.cast::<bool>() }
}

unsafe extern "C" fn loader_close(_: *mut c_void) {}
