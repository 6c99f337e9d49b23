//! Errors, and their remedies.

use crate::audio::AudioError;
use crate::model::ModelError;
use crate::place::Fault;
use crate::sandbox::SandboxError;

/// A reason for which something could not be done. Messages are one line: the thing, and the
/// remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recording cannot be read.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// The model file is not one that whisper.cpp will load.
    #[error("{name}: {cause}")]
    Model {
        /// Name of the file.
        name: String,
        /// Defect of the model.
        cause: ModelError,
    },
    /// The recognizer failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The language is not one that Whisper has a token for.
    #[error(
        "{language:?} is not a language code that Whisper knows; use an ISO 639-1 code such as en, or leave it out"
    )]
    Language {
        /// Requested language.
        language: String,
    },
    /// The model knows only English, and was asked for something else.
    #[error("{name} knows only English; use a multilingual model to {wanted}")]
    EnglishOnly {
        /// Name of the file.
        name: String,
        /// `translate`, or `recognize de`.
        wanted: String,
    },
}

impl Error {
    /// The cause of a failure to recognize.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Sandbox(error) if error.ends_one_utterance() => Fault::Guest,
            Self::Sandbox(_) => Fault::Machine,
            _ => Fault::Other,
        }
    }
}
