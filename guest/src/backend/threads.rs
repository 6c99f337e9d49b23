//! One thread, where ggml would start four: WASI has no other, and a CPU backend without this
//! setting aborts.

use super::ffi::{Backend, DEVICE_TYPE_CPU, Name};

unsafe extern "C" {
    fn __real_ggml_backend_init_by_type(kind: i32, parameters: Name) -> *mut Backend;
    fn ggml_backend_cpu_set_n_threads(backend: *mut Backend, threads: i32);
}

/// Takes the place of ggml's function (the linker's `--wrap`). whisper.cpp tells every backend how
/// many threads it may use but the one that it makes for dynamic time warping, which keeps ggml's
/// default.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_ggml_backend_init_by_type(kind: i32, parameters: Name) -> *mut Backend {
    // SAFETY: the arguments are the caller's own, passed on as they came.
    let backend = unsafe { __real_ggml_backend_init_by_type(kind, parameters) };
    if kind == DEVICE_TYPE_CPU && !backend.is_null() {
        // SAFETY: a backend of this type is ggml's own for the processor, and was just made.
        unsafe { ggml_backend_cpu_set_n_threads(backend, 1) };
    }
    backend
}
