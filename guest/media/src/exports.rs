//! The functions that the host calls ([`hearken_proto::abi`]).

use std::cell::RefCell;

use hearken_proto::abi::{MAX_REQUEST, Status, VERSION};
use hearken_proto::media::{Report, Request};
use hearken_proto::{Event, Request as Call};

use crate::Container;
use crate::imports::{Host, emit_event};
use crate::source::Source;

/// Everything that lives as long as the instance.
struct Instance {
    buffer: Vec<u8>,
    container: Option<Container>,
    /// Samples of the latest packet, which the host reads after the call.
    block: Vec<f32>,
}

thread_local! {
    // The guest has one thread, so this is a plain static.
    static INSTANCE: RefCell<Instance> =
        const { RefCell::new(Instance { buffer: Vec::new(), container: None, block: Vec::new() }) };
}

fn with_instance<R>(f: impl FnOnce(&mut Instance) -> R) -> R {
    INSTANCE.with(|instance| f(&mut instance.borrow_mut()))
}

impl Instance {
    fn call(&mut self, len: u32) -> Result<(), Status> {
        let message = self.buffer.get(..len as usize).ok_or(Status::Malformed)?;
        let Ok(Call::Media(request)) = hearken_proto::decode(message) else {
            return Err(Status::Malformed);
        };
        let report = match request {
            Request::Open { extension, len, seekable, track } => {
                let source = Source::new(Host, len, seekable);
                match Container::open(source, extension.as_deref(), &track) {
                    Ok(container) => Report::Opened(self.container.insert(container).facts()),
                    Err(failure) => Report::Failed(failure),
                }
            }
            Request::Next => {
                let container = self.container.as_mut().ok_or(Status::Unsupported)?;
                container.next(&mut self.block)
            }
        };
        emit_event(&Event::Media(report));
        Ok(())
    }
}

unsafe extern "C" {
    fn __wasm_call_ctors();
}

/// Makes this module a reactor: constructors run once, here. If nobody named `__wasm_call_ctors`,
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
extern "C" fn hearken_call(len: u32) -> i32 {
    with_instance(|instance| instance.call(len).err().unwrap_or(Status::Ok) as i32)
}
