//! Errors of the model store.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::CATALOG;
use crate::model::ModelError;
use crate::text::sanitize;

/// Why a model could not be found, pulled or verified. Messages are one line: the thing, and the
/// remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No model has this name.
    #[error("there is no model {name:?}; {remedy}")]
    Unknown {
        /// Requested name.
        name: String,
        /// The nearest names, or how to see them all.
        remedy: String,
    },
    /// The model is in the catalog, but not on this machine.
    #[error("the model {name} is not on this machine; run `hearken models pull {name}`")]
    NotPulled {
        /// Name of the model.
        name: String,
    },
    /// No folder for models is known.
    #[error("there is no home folder to keep models in; set HEARKEN_MODELS_DIR")]
    NoFolder,
    /// An entry describes no model. Not worth a retry.
    #[error("the model {name:?} {problem}")]
    Entry {
        /// Name of the model.
        name: String,
        /// Description of the defect.
        problem: &'static str,
    },
    /// The model needs more memory than the sandbox can have. Nothing was fetched.
    #[error("{name} cannot be used: {cause}")]
    DoesNotFit {
        /// The model.
        name: String,
        /// Why.
        cause: ModelError,
    },
    /// The disk is too small. Nothing was fetched.
    #[error("{name} needs {} MiB more in {}, which has {} MiB; make room, or set HEARKEN_MODELS_DIR", .needs.div_ceil(1 << 20), folder.display(), .free >> 20)]
    NoSpace {
        /// The model.
        name: String,
        /// Destination folder.
        folder: PathBuf,
        /// Bytes that are still to come.
        needs: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The server's address is none.
    #[error("the endpoint {endpoint:?} is no http or https address; correct HF_ENDPOINT")]
    Endpoint {
        /// The endpoint.
        endpoint: String,
    },
    /// The server refused. What was fetched before is kept.
    #[error("{url} answered {status}; {remedy}")]
    Status {
        /// Requested URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Remedy.
        remedy: &'static str,
    },
    /// The server could not be reached, or the connection broke, as often as was tried. What was
    /// fetched is kept.
    #[error("cannot fetch {url}: {problem}; {}", again(*kept))]
    Broken {
        /// Requested URL.
        url: String,
        /// Problem of the last attempt.
        problem: String,
        /// Bytes that need not be fetched again.
        kept: u64,
    },
    /// The server sent nothing for too long, as often as was tried. What was fetched is kept.
    #[error("{url} sent nothing for {idle:?}; {}", again(*kept))]
    Stalled {
        /// Requested URL.
        url: String,
        /// [`Puller::idle_timeout`](super::Puller::idle_timeout).
        idle: Duration,
        /// Bytes that need not be fetched again.
        kept: u64,
    },
    /// A redirect that is not followed. Not worth a retry.
    #[error("{url} redirects {problem}; check HF_ENDPOINT, or the proxy")]
    Redirect {
        /// Requested URL.
        url: String,
        /// Place, or number.
        problem: &'static str,
    },
    /// The server has a file of another length. Not worth a retry.
    #[error("{url} has {came} bytes and not {expected}; it is another file: check HF_ENDPOINT, or the proxy")]
    Length {
        /// Requested URL.
        url: String,
        /// Expected size, in bytes.
        expected: u64,
        /// Size that the server announced, or more than was expected, in bytes.
        came: u64,
    },
    /// The content is another than expected. The fetched file is removed.
    #[error("{name} is not what it should be: its SHA-256 is {came} and not {expected}; {remedy}")]
    Content {
        /// The model, or its file.
        name: String,
        /// Expected value.
        expected: String,
        /// Actual value.
        came: String,
        /// Remedy.
        remedy: &'static str,
    },
    /// A stored file is not the one that was pulled.
    #[error("{name} has changed since it came; pull or import it again with --force, or remove it")]
    Changed {
        /// The model.
        name: String,
    },
    /// The file is not one that whisper.cpp will load.
    #[error("{name}: {cause}")]
    Model {
        /// The model, or its file.
        name: String,
        /// Defect of the model.
        cause: ModelError,
    },
    /// The source cannot be imported.
    #[cfg(feature = "import")]
    #[error(transparent)]
    Import(#[from] super::import::ImportError),
    /// The store cannot be read or written.
    #[error("cannot {what} {}: {cause}", path.display())]
    Io {
        /// Attempted operation: `read`, `write`, `remove`.
        what: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Why it failed.
        cause: io::Error,
    },
}

/// Remedy for a broken connection.
fn again(kept: u64) -> String {
    match kept {
        0 => "check the network, HF_ENDPOINT and the proxy, then run it again".to_owned(),
        kept => format!("{kept} bytes are kept: run it again to go on from there"),
    }
}

/// Minimum similarity of a suggested name (Jaro-Winkler, 0..=1).
const NEAR: f64 = 0.85;

impl StoreError {
    /// Names the nearest of the catalog and of `others`.
    pub(super) fn unknown<'a>(name: &str, others: impl IntoIterator<Item = &'a str>) -> Self {
        let names = CATALOG.iter().map(super::Entry::name).chain(others);
        let mut near: Vec<(f64, &str)> = names
            .map(|other| (strsim::jaro_winkler(name, other), other))
            .filter(|(s, _)| *s >= NEAR)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        let near: Vec<&str> = near.iter().take(3).map(|(_, name)| *name).collect();
        let remedy = match near.as_slice() {
            [] => "`hearken models list` shows all".to_owned(),
            near => format!("did you mean {}?", near.join(", ")),
        };
        Self::Unknown { name: sanitize(name), remedy }
    }

    pub(super) fn io(what: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |cause| Self::Io { what, path, cause }
    }
}
