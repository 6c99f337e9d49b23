//! The recognizer as a library, for a program that it is linked into: what the host does for the
//! module is done here.

use std::cell::RefCell;
use std::io::{ErrorKind, Read};

use hearken_proto::abi::Status;
use hearken_proto::{Event, LoadOptions, Request};

use crate::instance::Instance;

thread_local! {
    // The program has one thread, so these are plain statics.
    static MODEL: RefCell<Option<Box<dyn Read>>> = const { RefCell::new(None) };
    static EVENTS: RefCell<Vec<Event>> = const { RefCell::new(Vec::new()) };
}

/// Fills `dst` with the model's next bytes; returns how many there were.
pub(crate) fn read_model(dst: &mut [u8]) -> usize {
    MODEL.with_borrow_mut(|model| {
        let Some(model) = model else { return 0 };
        let mut filled = 0;
        while filled < dst.len() {
            match model.read(&mut dst[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A model that ends too soon is refused.
                Err(_) => break,
            }
        }
        filled
    })
}

/// Keeps one event for the program.
pub(crate) fn emit_event(event: &Event) {
    EVENTS.with_borrow_mut(|events| events.push(event.clone()));
}

/// The recognizer with its model.
pub struct Guest(Instance);

impl Guest {
    /// Loads the model that `model` reads. The kernels must not be the host's, of which there is
    /// none.
    ///
    /// # Errors
    /// [`Status::BadModel`] if whisper.cpp refuses it.
    pub fn load(model: impl Read + 'static, options: &LoadOptions) -> Result<(Self, Vec<Event>), Status> {
        // What whisper.cpp says of a model is for people who look for defects.
        whisper_rs::install_logging_hooks();
        MODEL.set(Some(Box::new(model)));
        let mut instance = Instance::new();
        let loaded = instance.load_model(options);
        MODEL.take();
        let events = EVENTS.take();
        loaded.map(|()| (Self(instance), events))
    }

    /// Appends audio, 16 kHz mono, to the window.
    pub fn write(&mut self, samples: &[f32]) {
        self.0.window.samples_mut().extend_from_slice(samples);
    }

    /// Answers a request with its events.
    ///
    /// # Errors
    /// As [`Status`] says.
    pub fn call(&mut self, request: Request) -> Result<Vec<Event>, Status> {
        let answered = self.0.answer(request);
        let events = EVENTS.take();
        answered.map(|()| events)
    }
}
