//! The recognizer, as this crate sees it.

use std::cell::RefCell;
use std::rc::Rc;

use hearken_proto::abi::Status;
use hearken_proto::{Event, Request};

/// Samples that are handed over at once: the recognizer's ring holds twice as many.
const PIECE: usize = 1 << 18;

/// A recognizer with a model, wherever it runs.
pub trait Recognize {
    /// Appends audio, 16 kHz mono, to what the next request is about.
    fn write(&mut self, samples: &[f32]);

    /// Answers a request.
    ///
    /// # Errors
    /// The recognizer refused it, or has ended.
    fn call(&mut self, request: &Request) -> Result<Vec<Event>, SandboxError>;
}

/// A reason for which the recognizer does not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// It refused the request, or failed at it.
    #[error("the recognizer failed ({0:?}); if it happens again, use another model file")]
    Failed(Status),
    /// It has ended, and answers nothing any more.
    #[error("the recognizer has ended ({0}); load the model again, or another one")]
    Ended(String),
    /// Its answer makes no sense.
    #[error("the recognizer's answer makes no sense: {0}")]
    Misbehaved(String),
}

impl SandboxError {
    /// Returns true if only the utterance at hand is lost.
    pub(crate) fn ends_one_utterance(&self) -> bool {
        matches!(self, Self::Failed(Status::DecodeFailed | Status::WindowTooLong) | Self::Misbehaved(_))
    }
}

/// The recognizer while one utterance or chunk is its subject: as good as fresh.
pub(crate) struct Instance(Rc<RefCell<dyn Recognize>>);

impl Instance {
    /// Makes the recognizer forget what it heard before.
    pub(crate) fn new(recognizer: &Rc<RefCell<dyn Recognize>>) -> Result<Self, SandboxError> {
        recognizer.borrow_mut().call(&Request::Forget)?;
        Ok(Self(Rc::clone(recognizer)))
    }

    pub(crate) async fn write(&mut self, samples: &[f32]) -> Result<(), SandboxError> {
        let mut recognizer = self.0.borrow_mut();
        let mut pieces = samples.chunks(PIECE).peekable();
        while let Some(piece) = pieces.next() {
            recognizer.write(piece);
            if pieces.peek().is_some() {
                recognizer.call(&Request::Drain)?;
            }
        }
        Ok(())
    }

    pub(crate) async fn call(&mut self, request: &Request) -> Result<Vec<Event>, SandboxError> {
        self.0.borrow_mut().call(request)
    }

    /// Notes that a final text is wanted: in the host that counts for the cost of speech.
    pub(crate) fn for_final(&mut self) {}

    /// Returns true if it holds too much memory to wait: in the host it may.
    pub(crate) fn is_too_much(&self) -> bool {
        false
    }
}
