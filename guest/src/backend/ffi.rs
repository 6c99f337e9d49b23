//! ggml's backend interface (`ggml-backend-impl.h` of ggml 0.9.5, interface version 2), as far as a
//! backend that works on the CPU's memory fills it in. whisper-rs is pinned to the version that
//! this mirrors.

use std::ffi::{c_char, c_void};

pub(super) use whisper_rs::whisper_rs_sys::ggml_tensor as GgmlTensor;

pub(super) const API_VERSION: i32 = 2;
/// `GGML_BACKEND_DEVICE_TYPE_CPU`.
pub(super) const DEVICE_TYPE_CPU: i32 = 0;
/// `GGML_BACKEND_DEVICE_TYPE_ACCEL`.
pub(super) const DEVICE_TYPE_ACCEL: i32 = 3;

/// `GGML_STATUS_SUCCESS`.
pub(super) const STATUS_SUCCESS: i32 = 0;
/// `GGML_STATUS_FAILED`.
pub(super) const STATUS_FAILED: i32 = -1;

/// A function that this backend does not have, or an object that only ggml looks into.
pub(super) type Absent = *const c_void;
/// A C string that lives for ever.
pub(super) type Name = *const c_char;

/// `struct ggml_cgraph` (`ggml-impl.h`), as far as this backend reads it.
#[repr(C)]
pub(super) struct Graph {
    size: i32,
    pub(super) n_nodes: i32,
    n_leaves: i32,
    pub(super) nodes: *mut *mut GgmlTensor,
    gradients: [Absent; 2],
    leaves: Absent,
    /// Use counts by slot of `visited`.
    use_counts: *const i32,
    visited: Set,
}

/// `struct ggml_hash_set`.
#[repr(C)]
struct Set {
    size: usize,
    used: *const u32,
    keys: *const *mut GgmlTensor,
}

impl Graph {
    /// Number of tensor slots of the whole graph.
    pub(super) fn slots(&self) -> usize {
        self.visited.size
    }

    /// The slot of a tensor, if it is the graph's: `ggml_hash_find`.
    ///
    /// # Safety
    ///
    /// The graph is a valid one of ggml's, or a view of one.
    pub(super) unsafe fn slot(&self, tensor: *const GgmlTensor) -> Option<usize> {
        let Set { size, used, keys } = self.visited;
        // ggml's hash: the lowest four bits of all tensors are the same.
        let start = (tensor.addr() >> 4) % size;
        for slot in (start..size).chain(0..start) {
            // SAFETY: the caller's: there are `size` slots, with a bit of `used` for each.
            unsafe {
                if *used.add(slot / 32) >> (slot % 32) & 1 == 0 {
                    return None;
                }
                if std::ptr::eq(*keys.add(slot), tensor) {
                    return Some(slot);
                }
            }
        }
        None
    }

    /// Number of reads of a slot's tensor in the whole graph: `ggml_node_get_use_count`.
    ///
    /// # Safety
    ///
    /// As [`slot`](Self::slot), of which it is one.
    pub(super) unsafe fn uses(&self, slot: usize) -> usize {
        // SAFETY: the caller's.
        usize::try_from(unsafe { *self.use_counts.add(slot) }).unwrap_or(usize::MAX)
    }
}

#[repr(C)]
pub(super) struct BackendInterface {
    pub(super) get_name: unsafe extern "C" fn(*mut Backend) -> Name,
    pub(super) free: unsafe extern "C" fn(*mut Backend),
    /// set_tensor_async, get_tensor_async, cpy_tensor_async, synchronize, and the graph plans'
    /// create, free, update and compute.
    pub(super) absent: [Absent; 8],
    pub(super) graph_compute: unsafe extern "C" fn(*mut Backend, *mut Graph) -> i32,
    /// event_record, event_wait, graph_optimize.
    pub(super) absent_too: [Absent; 3],
}

#[repr(C)]
pub(super) struct Backend {
    pub(super) guid: *mut [u8; 16],
    pub(super) interface: BackendInterface,
    pub(super) device: *mut Device,
    pub(super) context: *mut c_void,
}

#[repr(C)]
pub(super) struct Capabilities {
    pub(super) asynchronous: bool,
    pub(super) host_buffer: bool,
    pub(super) buffer_from_host_ptr: bool,
    pub(super) events: bool,
}

#[repr(C)]
pub(super) struct Properties {
    pub(super) name: Name,
    pub(super) description: Name,
    pub(super) memory_free: usize,
    pub(super) memory_total: usize,
    pub(super) kind: i32,
    pub(super) device_id: Name,
    pub(super) capabilities: Capabilities,
}

#[repr(C)]
pub(super) struct DeviceInterface {
    pub(super) get_name: unsafe extern "C" fn(*mut Device) -> Name,
    pub(super) get_description: unsafe extern "C" fn(*mut Device) -> Name,
    pub(super) get_memory: unsafe extern "C" fn(*mut Device, *mut usize, *mut usize),
    pub(super) get_type: unsafe extern "C" fn(*mut Device) -> i32,
    pub(super) get_props: unsafe extern "C" fn(*mut Device, *mut Properties),
    pub(super) init_backend: unsafe extern "C" fn(*mut Device, Name) -> *mut Backend,
    pub(super) get_buffer_type: unsafe extern "C" fn(*mut Device) -> *mut c_void,
    /// get_host_buffer_type, buffer_from_host_ptr.
    pub(super) absent: [Absent; 2],
    pub(super) supports_op: unsafe extern "C" fn(*mut Device, *const GgmlTensor) -> bool,
    pub(super) supports_buft: unsafe extern "C" fn(*mut Device, *mut c_void) -> bool,
    /// offload_op, event_new, event_free, event_synchronize.
    pub(super) absent_too: [Absent; 4],
}

#[repr(C)]
pub(super) struct Device {
    pub(super) interface: DeviceInterface,
    pub(super) registry: *mut Registry,
    pub(super) context: *mut c_void,
}

#[repr(C)]
pub(super) struct RegistryInterface {
    pub(super) get_name: unsafe extern "C" fn(*mut Registry) -> Name,
    pub(super) get_device_count: unsafe extern "C" fn(*mut Registry) -> usize,
    pub(super) get_device: unsafe extern "C" fn(*mut Registry, usize) -> *mut Device,
    pub(super) get_proc_address: Absent,
}

#[repr(C)]
pub(super) struct Registry {
    pub(super) api_version: i32,
    pub(super) interface: RegistryInterface,
    pub(super) context: *mut c_void,
}

#[repr(C)]
pub(super) struct BufferTypeInterface {
    pub(super) get_name: unsafe extern "C" fn(*mut BufferType) -> Name,
    pub(super) alloc_buffer: unsafe extern "C" fn(*mut BufferType, usize) -> *mut c_void,
    pub(super) get_alignment: unsafe extern "C" fn(*mut BufferType) -> usize,
    pub(super) get_max_size: Absent,
    pub(super) get_alloc_size: unsafe extern "C" fn(*mut BufferType, *const GgmlTensor) -> usize,
    pub(super) is_host: unsafe extern "C" fn(*mut BufferType) -> bool,
}

/// `struct ggml_backend_buffer_type`.
#[repr(C)]
pub(super) struct BufferType {
    pub(super) interface: BufferTypeInterface,
    pub(super) device: *mut Device,
    pub(super) context: *mut c_void,
}

/// The beginning of `struct ggml_backend_buffer`.
#[repr(C)]
pub(super) struct Buffer {
    /// Nine functions.
    interface: [Absent; 9],
    pub(super) buffer_type: *mut BufferType,
}

unsafe extern "C" {
    pub(super) fn ggml_backend_register(registry: *mut Registry);
    pub(super) fn ggml_backend_cpu_buffer_type() -> *mut c_void;
    pub(super) fn ggml_backend_cpu_buffer_from_ptr(start: *mut c_void, size: usize) -> *mut c_void;
    pub(super) fn ggml_backend_buft_is_host(buffer_type: *mut c_void) -> bool;
    pub(super) fn ggml_backend_buft_alloc_buffer(buffer_type: *mut c_void, size: usize) -> *mut c_void;
    pub(super) fn ggml_backend_buft_get_alignment(buffer_type: *mut c_void) -> usize;
}
