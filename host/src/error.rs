//! Errors of the library.

use std::path::PathBuf;

use crate::audio::AudioError;
use crate::model::ModelError;
use crate::place::{Fault, PlaceError};
use crate::sandbox::SandboxError;

/// Why something could not be done. Messages are one line: the thing, the cause, and the remedy.
/// Since the cause is in the message, [`source`](std::error::Error::source) gives none: a program
/// that prints chains of causes prints each once.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recording cannot be read. Not worth a retry.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// The model file cannot be opened or read.
    #[error("cannot read the model {}: {cause}; check the path and its permissions", path.display())]
    ModelRead {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The model file is not one that whisper.cpp will load. Not worth a retry.
    #[error("{name}: {cause}")]
    Model {
        /// Path of the file, or a name that stands for it.
        name: String,
        /// Defect of the model.
        cause: ModelError,
    },
    /// The model needs more memory than a guest may have.
    #[error(
        "{name} needs about {} MiB inside the sandbox, which may have {} MiB; use a smaller or quantized model",
        .needs >> 20, .limit >> 20
    )]
    ModelTooLarge {
        /// Path of the file, or a name that stands for it.
        name: String,
        /// Estimate in bytes.
        needs: u64,
        /// [`Limits::memory_bytes`](crate::sandbox::Limits::memory_bytes).
        limit: u64,
    },
    /// The model file changed between being checked and being loaded. Worth a retry.
    #[error("{name} changed while it was read; try again when it is complete")]
    ModelChanged {
        /// Path of the file, or a name that stands for it.
        name: String,
    },
    /// The guest failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A place elsewhere did not do its part.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The language is not one that Whisper has a token for.
    #[error(
        "{language:?} is not a language code that Whisper knows; use an ISO 639-1 code such as en, or leave it out"
    )]
    Language {
        /// Requested language.
        language: String,
    },
    /// A session does not take that.
    #[error(transparent)]
    Session(#[from] crate::session::SessionError),
    /// The model knows only English, and was asked for something else.
    #[error("{name} knows only English; use a multilingual model to {wanted}")]
    EnglishOnly {
        /// Path of the file, or a name that stands for it.
        name: String,
        /// `translate`, or `recognize de`.
        wanted: String,
    },
    /// A defect in hearken itself; please report it. Nothing else is affected.
    #[error("a recognizer thread panicked; this is a defect in hearken")]
    Panicked,
    /// The operating system refused something.
    #[error("{what}: {cause}")]
    System {
        /// Attempted operation.
        what: String,
        /// Why it failed.
        cause: std::io::Error,
    },
}

impl Error {
    /// The cause of a failure to recognize.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Sandbox(error) if error.ends_one_utterance() => Fault::Guest,
            Self::Place(PlaceError::Guest { fatal: false, .. }) => Fault::Guest,
            Self::Place(PlaceError::Lost(_)) => Fault::Worker,
            Self::Place(PlaceError::HandedOver) => Fault::Nobody,
            Self::Sandbox(_) | Self::Place(PlaceError::Guest { .. }) => Fault::Machine,
            _ => Fault::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io;

    use super::*;

    #[test]
    fn a_message_has_its_cause_and_a_chain_has_it_once() {
        let cause = || io::Error::other("no such thing");
        let path = PathBuf::from("model.bin");
        let errors = [
            Error::ModelRead { path, cause: cause() },
            Error::Model { name: "model.bin".to_owned(), cause: cause().into() },
            Error::System { what: "cannot start a thread".to_owned(), cause: cause() },
            AudioError::Open { name: "a.wav".to_owned(), cause: cause() }.into(),
        ];
        for error in errors {
            assert!(error.to_string().contains("no such thing"), "{error}");
            assert!(error.source().is_none(), "{error}");
        }
    }
}
