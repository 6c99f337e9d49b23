//! The recognizer with all that it keeps between requests.

#[cfg(not(feature = "command"))]
use hearken_proto::abi::Quantization;
use hearken_proto::abi::Status;
use hearken_proto::{Event, LoadOptions, Request, Task};

use crate::imports;
#[cfg(not(feature = "command"))]
use crate::quantize;
use crate::recognizer::Recognizer;
use crate::ring::Ring;
use crate::stream::{Effort, Stream, Window};

/// Everything that lives as long as the instance, and is baked into the snapshot.
pub(crate) struct Instance {
    pub(crate) ring: Box<Ring>,
    #[cfg(not(feature = "command"))]
    pub(crate) buffer: Vec<u8>,
    pub(crate) window: Window,
    /// Longest window, in samples.
    longest: usize,
    stream: Stream,
    recognizer: Option<Recognizer>,
}

impl Instance {
    /// An instance without a model.
    pub(crate) fn new() -> Self {
        Self {
            ring: Ring::boxed(),
            #[cfg(not(feature = "command"))]
            buffer: Vec::new(),
            window: Window::new(0),
            longest: 0,
            stream: Stream::default(),
            recognizer: None,
        }
    }

    #[cfg(not(feature = "command"))]
    fn message(&self, len: u32) -> Result<&[u8], Status> {
        self.buffer.get(..len as usize).ok_or(Status::Malformed)
    }

    #[cfg(not(feature = "command"))]
    pub(crate) fn load(&mut self, len: u32) -> Result<(), Status> {
        let options: LoadOptions =
            hearken_proto::decode(self.message(len)?).map_err(|_| Status::Malformed)?;
        self.load_model(&options)
    }

    /// Loads the model that the host gives.
    pub(crate) fn load_model(&mut self, options: &LoadOptions) -> Result<(), Status> {
        let recognizer = Recognizer::load(options)?;
        let window = if options.window == 0 { usize::MAX } else { options.window as usize };
        self.longest = recognizer.max_window().min(window);
        self.window = Window::new(self.longest);
        self.recognizer = Some(recognizer);
        Ok(())
    }

    #[cfg(not(feature = "command"))]
    pub(crate) fn quantize(&mut self, kind: u32, len: u32) -> Result<(), Status> {
        let weights = self.buffer.get_mut(..len as usize).ok_or(Status::Malformed)?;
        let kind = Quantization::from_raw(kind).ok_or(Status::Malformed)?;
        quantize::in_place(kind, weights)
    }

    #[cfg(not(feature = "command"))]
    pub(crate) fn call(&mut self, len: u32) -> Result<(), Status> {
        let request: Request = hearken_proto::decode(self.message(len)?).map_err(|_| Status::Malformed)?;
        self.answer(request)
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, request: Request) -> Result<(), Status> {
        self.ring.drain_into(self.window.samples_mut());
        let recognizer = self.recognizer.as_mut().ok_or(Status::NoModel)?;
        if self.window.samples().len() > recognizer.max_window() && request != Request::Forget {
            self.window.clear();
            return Err(Status::WindowTooLong);
        }
        match request {
            Request::Drain => {}
            Request::Partial(task) if task.pause => self.step(&task, Effort::Final)?,
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
            Request::Forget => {
                recognizer.forget();
                self.window = Window::new(self.longest);
                self.stream = Stream::default();
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
            tokens: hypothesis.tokens,
            window: self.window.start(),
            heard,
            no_speech: hypothesis.no_speech,
            avg_logprob: hypothesis.avg_logprob,
            encodes: hypothesis.encodes,
        });
        Ok(())
    }
}
