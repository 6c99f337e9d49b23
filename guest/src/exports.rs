//! The functions that the host calls ([`hearken_proto::abi`]).

use std::cell::RefCell;

use hearken_proto::abi::{MAX_REQUEST, Status, VERSION};
use hearken_proto::{LoadOptions, Request};

use crate::recognizer::Recognizer;
use crate::ring::Ring;

/// Everything that lives as long as the instance, and is baked into the snapshot.
struct Instance {
    ring: Box<Ring>,
    buffer: Vec<u8>,
    window: Vec<f32>,
    recognizer: Option<Recognizer>,
}

thread_local! {
    // The guest has one thread, so this is a plain static.
    static INSTANCE: RefCell<Instance> = RefCell::new(Instance {
        ring: Ring::boxed(),
        buffer: Vec::new(),
        window: Vec::new(),
        recognizer: None,
    });
}

fn with_instance<R>(f: impl FnOnce(&mut Instance) -> R) -> R {
    INSTANCE.with(|instance| f(&mut instance.borrow_mut()))
}

impl Instance {
    fn message(&self, len: u32) -> Result<&[u8], Status> {
        self.buffer.get(..len as usize).ok_or(Status::Malformed)
    }

    fn load(&mut self, len: u32) -> Result<(), Status> {
        let options: LoadOptions =
            hearken_proto::decode(self.message(len)?).map_err(|_| Status::Malformed)?;
        self.recognizer = Some(Recognizer::load(&options)?);
        Ok(())
    }

    fn call(&mut self, len: u32) -> Result<(), Status> {
        let request: Request = hearken_proto::decode(self.message(len)?).map_err(|_| Status::Malformed)?;
        self.ring.drain_into(&mut self.window);
        let recognizer = self.recognizer.as_mut().ok_or(Status::NoModel)?;
        if self.window.len() > recognizer.max_window() {
            self.window.clear();
            return Err(Status::WindowTooLong);
        }
        match request {
            Request::Drain => return Ok(()),
            Request::Decode(task) => recognizer.decode(&self.window, &task)?,
            Request::Score { language, tokens } => {
                recognizer.score(&self.window, language.as_deref(), &tokens)?;
            }
        }
        self.window.clear();
        Ok(())
    }
}

fn status(result: Result<(), Status>) -> i32 {
    result.err().unwrap_or(Status::Ok) as i32
}

unsafe extern "C" {
    fn __wasm_call_ctors();
}

/// Makes this module a reactor: constructors run once, here. If nobody named `__wasm_call_ctors`, the linker would
/// wrap every export in constructors and exit handlers.
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
