//! The functions that the host calls ([`hearken_proto::abi`]).

use std::cell::RefCell;

use hearken_proto::abi::{MAX_REQUEST, Status, VERSION};

use crate::instance::Instance;

thread_local! {
    // The guest has one thread, so this is a plain static.
    static INSTANCE: RefCell<Instance> = RefCell::new(Instance::new());
}

fn with_instance<R>(f: impl FnOnce(&mut Instance) -> R) -> R {
    INSTANCE.with(|instance| f(&mut instance.borrow_mut()))
}

fn status(result: Result<(), Status>) -> i32 {
    result.err().unwrap_or(Status::Ok) as i32
}

unsafe extern "C" {
    fn __wasm_call_ctors();
}

/// Makes this module a reactor: constructors run once, here. Without a call of `__wasm_call_ctors`,
/// the linker would wrap every export in constructors and exit handlers.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the linker defines it; the host calls this once, before anything else.
    unsafe { __wasm_call_ctors() }
}

#[unsafe(no_mangle)]
extern "C" fn hearken_abi() -> u32 {
    VERSION
}

#[unsafe(no_mangle)]
extern "C" fn hearken_ring() -> *const u8 {
    with_instance(|instance| (&raw const *instance.ring).cast())
}

#[unsafe(no_mangle)]
extern "C" fn hearken_buffer(len: u32) -> *mut u8 {
    if len > MAX_REQUEST {
        return std::ptr::null_mut();
    }
    with_instance(|instance| {
        instance.buffer.resize(len as usize, 0);
        instance.buffer.as_mut_ptr()
    })
}

#[unsafe(no_mangle)]
extern "C" fn hearken_load(len: u32) -> i32 {
    with_instance(|instance| status(instance.load(len)))
}

#[unsafe(no_mangle)]
extern "C" fn hearken_call(len: u32) -> i32 {
    with_instance(|instance| status(instance.call(len)))
}

#[unsafe(no_mangle)]
extern "C" fn hearken_quantize(kind: u32, len: u32) -> i32 {
    with_instance(|instance| status(instance.quantize(kind, len)))
}
