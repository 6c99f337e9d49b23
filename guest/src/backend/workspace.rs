//! Memory for the results of operations: at the end of linear memory, behind everything that the
//! snapshot holds.
//!
//! ggml makes its buffers with the state, and they are empty in the snapshot. In the midst of it,
//! each page of them that a sandbox writes would be a copy of an empty page. Behind it, they are
//! memory like any other, which the host can have on large pages.

use std::arch::wasm32::memory_grow;
use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::ops::Range;
use std::ptr;

use whisper_rs::whisper_rs_sys as sys;

use super::ffi::{
    Buffer, BufferType, BufferTypeInterface, Device, GgmlTensor, Name, ggml_backend_buft_alloc_buffer,
    ggml_backend_buft_get_alignment, ggml_backend_cpu_buffer_from_ptr, ggml_backend_cpu_buffer_type,
};
use super::scores;

const NAME: &CStr = c"hearken";

/// WebAssembly's page.
const PAGE: usize = 64 << 10;
/// Size of a large page on most processors, in bytes.
const LARGE_PAGE: usize = 2 << 20;
/// Smaller buffers stay with all else: they hold constants, the masks of alignment heads.
const LEAST: usize = 256 << 10;

#[derive(Default)]
struct Workspace {
    range: Range<usize>,
    /// New buffers come here.
    is_open: bool,
    /// Made when it is asked for; ggml keeps pointers to it.
    buffer_type: Option<&'static mut BufferType>,
}

thread_local! {
    // The guest has one thread, so this is a plain static, and part of the snapshot.
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

/// Makes all buffers at the end of memory, until [`close`]. `others` are bytes of all other
/// allocations until then: there will be room for them before.
pub(crate) fn open(others: usize) {
    let mut room = Vec::<u8>::new();
    // Without it they would come to lie behind the first buffers, which costs time and nothing
    // else.
    let _ = room.try_reserve_exact(others);
    drop(std::hint::black_box(room));
    WORKSPACE.with_borrow_mut(|workspace| workspace.is_open = true);
}

/// Closes the workspace; returns its addresses.
pub(crate) fn close() -> Range<u32> {
    WORKSPACE.with_borrow_mut(|workspace| {
        workspace.is_open = false;
        if !workspace.range.is_empty() {
            workspace.fill_up();
        }
        // Addresses have 32 bits here.
        workspace.range.start as u32..workspace.range.end as u32
    })
}

/// The type of the buffers that the device makes.
pub(super) fn buffer_type(device: *mut Device) -> *mut c_void {
    WORKSPACE.with_borrow_mut(|workspace| {
        if !workspace.is_open {
            // SAFETY: takes nothing, returns a static of ggml.
            return unsafe { ggml_backend_cpu_buffer_type() };
        }
        let interface = BufferTypeInterface {
            get_name,
            alloc_buffer,
            get_alignment,
            get_max_size: ptr::null(),
            get_alloc_size,
            is_host,
        };
        let make = || Box::leak(Box::new(BufferType { interface, device, context: ptr::null_mut() }));
        ptr::from_mut::<BufferType>(workspace.buffer_type.get_or_insert_with(make)).cast()
    })
}

impl Workspace {
    /// Takes `size` bytes of new memory.
    fn take(&mut self, size: usize) -> Option<*mut c_void> {
        if self.range.is_empty() {
            let end = grow(0)?;
            self.range = end..end;
            self.fill_up();
            self.range.start = self.range.end;
        }
        let start = grow(size)?;
        self.range.end = start + size.next_multiple_of(PAGE);
        Some(ptr::with_exposed_provenance_mut(start))
    }

    /// Lets it end where a large page does.
    fn fill_up(&mut self) {
        let missing = self.range.end.next_multiple_of(LARGE_PAGE) - self.range.end;
        if let Some(start) = grow(missing) {
            self.range.end = start + missing;
        }
    }
}

/// Grows memory by `size` bytes and returns the address.
fn grow(size: usize) -> Option<usize> {
    let before = memory_grow::<0>(size.div_ceil(PAGE));
    (before != usize::MAX).then(|| before * PAGE)
}

unsafe extern "C" fn get_name(_: *mut BufferType) -> Name {
    NAME.as_ptr()
}

unsafe extern "C" fn alloc_buffer(buffer_type: *mut BufferType, size: usize) -> *mut c_void {
    let space = WORKSPACE.with_borrow_mut(|space| {
        let is_here = space.is_open && size >= LEAST;
        if is_here { space.take(size) } else { None }
    });
    // SAFETY: new memory, which nobody else has and which is never freed, aligned to a page; or
    // memory from where ggml takes it otherwise. A buffer is null or ggml's.
    unsafe {
        let buffer = match space {
            Some(start) => ggml_backend_cpu_buffer_from_ptr(start, size),
            None => ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size),
        };
        // ggml asks the buffer's own type for the sizes of tensors in it.
        if let Some(buffer) = buffer.cast::<Buffer>().as_mut() {
            buffer.buffer_type = buffer_type;
        }
        buffer
    }
}

/// Size that a tensor is planned with.
unsafe extern "C" fn get_alloc_size(_: *mut BufferType, tensor: *const GgmlTensor) -> usize {
    // SAFETY: ggml passes a valid tensor.
    unsafe { scores::planned(&*tensor).unwrap_or_else(|| sys::ggml_nbytes(tensor)) }
}

unsafe extern "C" fn get_alignment(_: *mut BufferType) -> usize {
    // SAFETY: a valid buffer type.
    unsafe { ggml_backend_buft_get_alignment(ggml_backend_cpu_buffer_type()) }
}

unsafe extern "C" fn is_host(_: *mut BufferType) -> bool {
    true
}
