//! The functions that the host calls ([`hearken_proto::abi`]).

use std::alloc::{Layout, alloc_zeroed};
use std::cell::RefCell;

use hearken_proto::abi::{MAX_REQUEST, Status, VERSION, WEIGHT_WORDS};
use hearken_proto::compute::{Element, Weight};

use crate::backend::{self, pool};
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

/// Address of `len` bytes, aligned to 16, that are the host's for as long as the instance lives; 0
/// if there are none.
#[unsafe(no_mangle)]
extern "C" fn hearken_reserve(len: u32) -> *mut u8 {
    let Ok(layout) = Layout::from_size_align(len as usize, 16) else { return std::ptr::null_mut() };
    if layout.size() == 0 {
        return std::ptr::null_mut();
    }
    // SAFETY: the size is not 0.
    unsafe { alloc_zeroed(layout) }
}

/// Address of the weights that the host knows by number: how many there are, then
/// [`WEIGHT_WORDS`] words of each.
#[unsafe(no_mangle)]
extern "C" fn hearken_weights() -> *const u64 {
    let weights = backend::known_weights();
    let words = weights.iter().flat_map(|weight| {
        let Weight { address, rows, depth, row_stride, element } = *weight;
        [address, rows, depth, row_stride, element as u64]
    });
    let table: Vec<u64> = std::iter::once(weights.len() as u64).chain(words).collect();
    table.leak().as_ptr()
}

/// Takes weights that the host has written into this instance's memory, with a table as
/// [`hearken_weights`] gives it. Returns a [`Status`].
#[unsafe(no_mangle)]
unsafe extern "C" fn hearken_adopt(table: *const u64) -> i32 {
    // SAFETY: the host passes the address of such a table, which begins with its length.
    let words = unsafe { std::slice::from_raw_parts(table.add(1), *table as usize * WEIGHT_WORDS) };
    let weights = words.as_chunks::<WEIGHT_WORDS>().0.iter().map(|words| {
        let [address, rows, depth, row_stride, element] = *words;
        Some(Weight { address, rows, depth, row_stride, element: Element::from_raw(element)? })
    });
    let weights: Option<Vec<Weight>> = weights.collect();
    status(weights.map(backend::adopt_weights).ok_or(Status::Malformed))
}

/// Does one operation of [`compute`](hearken_proto::compute) in this instance's memory: a product,
/// or an attention if `kind` is not 0. Returns a [`Status`].
#[unsafe(no_mangle)]
unsafe extern "C" fn hearken_operate(descriptor: *const u64, kind: u32) -> i32 {
    // SAFETY: the host passes the address of a descriptor, and vouches for what it names, which is
    // in this memory: it can damage nothing but this instance.
    let done = unsafe {
        match kind {
            0 => pool::product(&*descriptor.cast()),
            _ => pool::attention(&*descriptor.cast()),
        }
    };
    status(if done { Ok(()) } else { Err(Status::Malformed) })
}

#[unsafe(no_mangle)]
extern "C" fn hearken_quantize(kind: u32, len: u32) -> i32 {
    with_instance(|instance| status(instance.quantize(kind, len)))
}
