//! Why a model cannot be imported.

use std::io;
use std::path::{Path, PathBuf};

use super::super::StoreError;
use crate::text::sanitize;

/// Error of an import. Messages are one line: the file, the defect, and the remedy. Text quoted
/// from a file is without control characters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file cannot be opened or read.
    #[error("cannot read {}: {cause}; check the path and its permissions", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The format, or its variant, is not supported.
    #[error("{} is {what}; {remedy}", path.display())]
    Unsupported {
        /// The file or folder.
        path: PathBuf,
        /// Description of the source.
        what: String,
        /// Alternative to import.
        remedy: &'static str,
    },
    /// A folder lacks a file.
    #[error("{} has no {file}; {remedy}", folder.display())]
    MissingFile {
        /// The folder.
        folder: PathBuf,
        /// The file, or the files of which one would do.
        file: &'static str,
        /// Remedy: a source for it.
        remedy: &'static str,
    },
    /// A file ends before its announced content.
    #[error("{} is cut off: {what} would end at byte {end} and the file has {len}; fetch it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Description of the mismatch.
        what: String,
        /// Computed end, in bytes.
        end: u64,
        /// Length of the file in bytes.
        len: u64,
    },
    /// A field of a header or of a configuration is wrong.
    #[error("{}: {field} {problem}; fetch or convert it again", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// Description of the defect.
        problem: String,
    },
    /// A tensor is wrong.
    #[error("{}: the tensor {name} {problem}; fetch or convert it again", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
        /// Description of the defect.
        problem: String,
    },
    /// Tensors are missing.
    #[error("{} lacks {count} tensors, {first} among them; fetch or convert it again", path.display())]
    Missing {
        /// The file, or the folder of several.
        path: PathBuf,
        /// OpenAI's name of the first.
        first: String,
        /// Number of defects.
        count: usize,
    },
    /// The vocabulary does not belong to the weights, or is damaged.
    #[error("{}: the vocabulary {problem}; name the model's own with --vocabulary", path.display())]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// Description of the defect.
        problem: String,
    },
    /// Another model has that name.
    #[error("another model named {name} is in the store; choose another --name, or replace it with --force")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The name is that of an official model, and the content is another.
    #[error("{name} is the name of an official model, and this is not its file; choose another --name")]
    NotOfficial {
        /// The name.
        name: String,
    },
    /// The import was interrupted. The store is as it was.
    #[error("interrupted; the store is as it was")]
    Interrupted,
    /// The sandbox failed to quantize.
    #[error("cannot quantize: {0}")]
    Quantize(crate::sandbox::SandboxError),
}

impl From<crate::sandbox::SandboxError> for ImportError {
    fn from(cause: crate::sandbox::SandboxError) -> Self {
        Self::Quantize(cause)
    }
}

impl ImportError {
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
        let path = path.to_owned();
        move |cause| Self::Read { path, cause }.into()
    }

    pub(super) fn field(path: &Path, field: impl Into<String>, problem: impl Into<String>) -> StoreError {
        let (path, field, problem) = (path.to_owned(), quoted(&field.into()), quoted(&problem.into()));
        Self::Field { path, field, problem }.into()
    }

    pub(super) fn tensor(path: &Path, name: &str, problem: impl Into<String>) -> StoreError {
        Self::Tensor { path: path.to_owned(), name: quoted(name), problem: problem.into() }.into()
    }

    pub(super) fn vocabulary(path: &Path, problem: impl Into<String>) -> StoreError {
        Self::Vocabulary { path: path.to_owned(), problem: problem.into() }.into()
    }

    pub(super) fn unsupported(path: &Path, what: impl Into<String>, remedy: &'static str) -> StoreError {
        Self::Unsupported { path: path.to_owned(), what: what.into(), remedy }.into()
    }
}

/// The beginning of something out of a file, fit for a message of one line.
pub(super) fn quoted(text: &str) -> String {
    sanitize(text).chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect()
}
