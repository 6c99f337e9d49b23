//! The functions that the host calls ([`hearken_proto::abi`]).

use std::cell::RefCell;

use hearken_proto::abi::{MAX_REQUEST, Quantization, Status, VERSION};
use hearken_proto::{Event, LoadOptions, Request, Task};

use crate::imports;
use crate::quantize;
use crate::recognizer::Recognizer;
use crate::ring::Ring;
use crate::stream::{Effort, Stream, Window};

/// Everything that lives as long as the instance, and is baked into the snapshot.
struct Instance {
    ring: Box<Ring>,
    buffer: Vec<u8>,
    window: Window,
    stream: Stream,
    recognizer: Option<Recognizer>,
}

thread_local! {
    // The guest has one thread, so this is a plain static.
    static INSTANCE: RefCell<Instance> = RefCell::new(Instance {
        ring: Ring::boxed(),
        buffer: Vec::new(),
        window: Window::new(0),
        stream: Stream::default(),
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
        let recognizer = Recognizer::load(&options)?;
        let window = if options.window == 0 { usize::MAX } else { options.window as usize };
        self.window = Window::new(recognizer.max_window().min(window));
        self.recognizer = Some(recognizer);
        Ok(())
    }

    fn quantize(&mut self, kind: u32, len: u32) -> Result<(), Status> {
        let weights = self.buffer.get_mut(..len as usize).ok_or(Status::Malformed)?;
        let kind = Quantization::from_raw(kind).ok_or(Status::Malformed)?;
        quantize::in_place(kind, weights)
    }

    fn call(&mut self, len: u32) -> Result<(), Status> {
        let request: Request = hearken_proto::decode(self.message(len)?).map_err(|_| Status::Malformed)?;
        self.ring.drain_into(self.window.samples_mut());
        let recognizer = self.recognizer.as_mut().ok_or(Status::NoModel)?;
        if self.window.samples().len() > recognizer.max_window() {
            self.window.clear();
            return Err(Status::WindowTooLong);
        }
        match request {
            Request::Drain => {}
            Request::Partial(task) => self.step(&task, Effort::Partial)?,
            Request::Final(task) => self.step(&task, Effort::Final)?,
            Request::Decode(task) => {
                recognizer.decode(self.window.samples(), &task)?;
                self.window.clear();
            }
            Request::Detect(task) => {
                let detected = recognizer.detect_language(self.window.samples(), &task);
                self.window.clear();
                detected?;
            }
            Request::LearnPadding => {
                let learned = recognizer.learn_padding(self.window.samples());
                self.window.clear();
                learned?;
            }
            Request::Media(_) => return Err(Status::Unsupported),
            Request::Score { language, tokens } => {
                recognizer.score(self.window.samples(), language.as_deref(), &tokens)?;
                self.window.clear();
            }
        }
        Ok(())
    }

    fn step(&mut self, task: &Task, effort: Effort) -> Result<(), Status> {
        let recognizer = self.recognizer.as_mut().ok_or(Status::NoModel)?;
        let heard = self.window.end();
        let mut streaming = recognizer.streaming(task);
        let hypothesis = self.stream.step(&mut self.window, &mut streaming, task, effort)?;
        imports::emit_event(&Event::Hypothesis {
            committed: hypothesis.committed,
            tentative: hypothesis.tentative,
            window: self.window.start(),
            heard,
            no_speech: hypothesis.no_speech,
            avg_logprob: hypothesis.avg_logprob,
            encodes: hypothesis.encodes,
        });
        Ok(())
    }
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
