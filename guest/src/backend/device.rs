//! The device that ggml sees.

use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::ptr;

use hearken_proto::Kernels;
use whisper_rs::whisper_rs_sys as sys;

use super::dense::{Dense, Guest};
use super::ffi::{
    API_VERSION, Backend, BackendInterface, Capabilities, DEVICE_TYPE_ACCEL, Device, DeviceInterface,
    GgmlTensor, Graph, Name, Properties, Registry, RegistryInterface, STATUS_FAILED, STATUS_SUCCESS,
    ggml_backend_buft_is_host, ggml_backend_register,
};
use super::host::Host;
use super::run::Runner;
use super::{graph, padding, plan, weights, workspace};

const NAME: &CStr = c"hearken";

/// Selected backend of the dense operations.
enum Executor {
    Guest(Runner<Guest>),
    Host(Runner<Host>),
}

thread_local! {
    // The guest has one thread, so this is a plain static.
    static EXECUTOR: RefCell<Executor> = RefCell::new(Executor::Guest(Runner::default()));
}

/// Registers the backend with ggml, unless its own kernels are asked for. Contexts that are made
/// afterwards use it.
pub(crate) fn register(kernels: Kernels) {
    match kernels {
        Kernels::Stock => return,
        Kernels::Guest => {}
        Kernels::Host | Kernels::Pool => {
            EXECUTOR.set(Executor::Host(Runner::default()));
            weights::open();
        }
    }
    // ggml keeps pointers to both for the life of the module.
    let registry = Box::leak(Box::new(Registry {
        api_version: API_VERSION,
        interface: RegistryInterface {
            get_name: registry_name,
            get_device_count,
            get_device,
            get_proc_address: ptr::null(),
        },
        context: ptr::null_mut(),
    }));
    let device = Box::leak(Box::new(Device {
        interface: DeviceInterface {
            get_name: device_name,
            get_description: device_name,
            get_memory,
            get_type,
            get_props,
            init_backend,
            get_buffer_type,
            absent: [ptr::null(); 2],
            supports_op,
            supports_buft,
            absent_too: [ptr::null(); 4],
        },
        registry,
        context: ptr::null_mut(),
    }));
    registry.context = ptr::from_mut(device).cast();
    // SAFETY: both structures are complete, have ggml's layout, and are never freed.
    unsafe { ggml_backend_register(registry) }
}

unsafe extern "C" fn registry_name(_: *mut Registry) -> Name {
    NAME.as_ptr()
}

unsafe extern "C" fn get_device_count(_: *mut Registry) -> usize {
    1
}

unsafe extern "C" fn get_device(registry: *mut Registry, _: usize) -> *mut Device {
    // SAFETY: ggml passes the registry that `register` gave it, whose context is the device.
    unsafe { (*registry).context.cast() }
}

unsafe extern "C" fn device_name(_: *mut Device) -> Name {
    NAME.as_ptr()
}

unsafe extern "C" fn get_memory(_: *mut Device, free: *mut usize, total: *mut usize) {
    // SAFETY: ggml passes two valid pointers; zero means that there is nothing to report.
    unsafe {
        *free = 0;
        *total = 0;
    }
}

unsafe extern "C" fn get_type(_: *mut Device) -> i32 {
    DEVICE_TYPE_ACCEL
}

unsafe extern "C" fn get_props(_: *mut Device, properties: *mut Properties) {
    let none =
        Capabilities { asynchronous: false, host_buffer: false, buffer_from_host_ptr: false, events: false };
    // SAFETY: ggml passes a valid pointer to the structure to fill in.
    unsafe {
        properties.write(Properties {
            name: NAME.as_ptr(),
            description: NAME.as_ptr(),
            memory_free: 0,
            memory_total: 0,
            kind: DEVICE_TYPE_ACCEL,
            device_id: ptr::null(),
            capabilities: none,
        });
    }
}

unsafe extern "C" fn init_backend(device: *mut Device, _: Name) -> *mut Backend {
    Box::into_raw(Box::new(Backend {
        guid: GUID.as_ptr().cast_mut().cast(),
        interface: BackendInterface {
            get_name: backend_name,
            free,
            absent: [ptr::null(); 8],
            graph_compute,
            absent_too: [ptr::null(); 3],
        },
        device,
        context: ptr::null_mut(),
    }))
}

/// Tells backends apart; the bytes mean nothing.
static GUID: [u8; 16] = *b"hearken-products";

unsafe extern "C" fn backend_name(_: *mut Backend) -> Name {
    NAME.as_ptr()
}

unsafe extern "C" fn free(backend: *mut Backend) {
    // SAFETY: `init_backend` made it with `Box::into_raw`, and ggml frees it once.
    drop(unsafe { Box::from_raw(backend) });
}

unsafe extern "C" fn get_buffer_type(device: *mut Device) -> *mut c_void {
    workspace::buffer_type(device)
}

unsafe extern "C" fn supports_buft(_: *mut Device, buffer_type: *mut c_void) -> bool {
    // SAFETY: ggml passes a valid buffer type.
    unsafe { ggml_backend_buft_is_host(buffer_type) }
}

unsafe extern "C" fn supports_op(_: *mut Device, operation: *const GgmlTensor) -> bool {
    // SAFETY: ggml passes a valid tensor whose sources are null or valid.
    unsafe {
        let operation = &*operation;
        note_weight(operation);
        graph::supports(operation)
    }
}

/// Notes the left operand, if it is a weight of the model.
///
/// # Safety
///
/// The tensor's sources are null or valid.
unsafe fn note_weight(operation: &GgmlTensor) {
    // This is asked of each operation for each token, and the set of weights is known long before.
    if operation.op != sys::ggml_op_GGML_OP_MUL_MAT || !weights::are_noted() {
        return;
    }
    // SAFETY: the caller's; a tensor's buffer is null or valid.
    unsafe {
        let Some(left) = operation.src[0].as_ref() else { return };
        let is_weight = !left.buffer.is_null()
            && sys::ggml_backend_buffer_get_usage(left.buffer)
                == sys::ggml_backend_buffer_usage_GGML_BACKEND_BUFFER_USAGE_WEIGHTS;
        if let Some(left) = graph::describe(left).filter(|_| is_weight) {
            weights::note(&left);
        }
    }
}

unsafe extern "C" fn graph_compute(_: *mut Backend, graph: *mut Graph) -> i32 {
    // SAFETY: ggml passes a valid graph of operations that `supports_op` accepted, with all tensors
    // allocated in host memory, and touches none of them before this returns.
    unsafe {
        let Some(nodes) = graph::nodes(&*graph) else { return STATUS_FAILED };
        let steps = plan::plan(&nodes);
        padding::begin_graph();
        EXECUTOR.with_borrow_mut(|executor| match executor {
            Executor::Guest(runner) => run(runner, &steps),
            Executor::Host(runner) => run(runner, &steps),
        });
    }
    STATUS_SUCCESS
}

/// # Safety
///
/// [`Runner::run`]'s.
unsafe fn run<D: Dense>(runner: &mut Runner<D>, steps: &[plan::Step]) {
    for step in steps {
        // SAFETY: the caller's.
        unsafe { runner.run(step) }
    }
}
