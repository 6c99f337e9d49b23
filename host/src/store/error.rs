//! What can go wrong with stored models.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::CATALOGUE;
use crate::model::ModelError;
use crate::text::sanitise;

/// Why a model could not be found, pulled or verified. Messages are one line: the thing, and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such model.
    #[error("there is no model {name:?}; {remedy}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest names, or how to see them all.
        remedy: String,
    },
    /// The model is in the catalogue, but not on this machine.
    #[error("the model {name} is not on this machine; run `hearken models pull {name}`")]
    NotPulled {
        /// Its name.
        name: String,
    },
    /// No folder for models can be told.
    #[error("there is no home folder to keep models in; set HEARKEN_MODELS_DIR")]
    NoFolder,
    /// An entry describes no model. Not worth a retry.
    #[error("the model {name:?} {problem}")]
    Entry {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It needs more memory than the sandbox can have. Nothing was fetched.
    #[error("{name} cannot be used: {source}")]
    DoesNotFit {
        /// The model.
        name: String,
        /// Why.
        source: ModelError,
    },
    /// The disk is too small. Nothing was fetched.
    #[error("{name} needs {} MiB more in {}, which has {} MiB; make room, or set HEARKEN_MODELS_DIR", .needs.div_ceil(1 << 20), folder.display(), .free >> 20)]
    NoSpace {
        /// The model.
        name: String,
        /// Where it would go.
        folder: PathBuf,
        /// Bytes that are still to come.
        needs: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The server's address is none.
    #[error("the endpoint {endpoint:?} is no http or https address; correct HF_ENDPOINT")]
    Endpoint {
        /// What it is.
        endpoint: String,
    },
    /// The server refused. What was fetched before is kept.
    #[error("{url} answered {status}; {remedy}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The server could not be reached, or the connection broke, as often as was tried. What was fetched is kept.
    #[error("cannot fetch {url}: {problem}; {}", again(*kept))]
    Broken {
        /// What was asked for.
        url: String,
        /// What happened the last time.
        problem: String,
        /// Bytes that need not be fetched again.
        kept: u64,
    },
    /// The server sent nothing for too long, as often as was tried. What was fetched is kept.
    #[error("{url} sent nothing for {idle:?}; {}", again(*kept))]
    Stalled {
        /// What was asked for.
        url: String,
        /// [`Puller::idle_timeout`](super::Puller::idle_timeout).
        idle: Duration,
        /// Bytes that need not be fetched again.
        kept: u64,
    },
    /// A redirect that is not followed. Not worth a retry.
    #[error("{url} redirects {problem}; check HF_ENDPOINT, or the proxy")]
    Redirect {
        /// What was asked for.
        url: String,
        /// Where, or how often.
        problem: &'static str,
    },
    /// The server has a file of another length. Not worth a retry.
    #[error("{url} has {came} bytes and not {expected}; it is another file: check HF_ENDPOINT, or the proxy")]
    Length {
        /// What was asked for.
        url: String,
        /// What it should have.
        expected: u64,
        /// What the server announced, or more than was expected.
        came: u64,
    },
    /// The content is not what it should be. What was fetched is removed.
    #[error("{name} is not what it should be: its SHA-256 is {came} and not {expected}; {remedy}")]
    Content {
        /// The model, or its file.
        name: String,
        /// What it should be.
        expected: String,
        /// What it is.
        came: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A stored file is not the one that was pulled.
    #[error("{name} has changed since it came; pull or import it again with --force, or remove it")]
    Changed {
        /// The model.
        name: String,
    },
    /// The file is not one that whisper.cpp will load.
    #[error("{name}: {source}")]
    Model {
        /// The model, or its file.
        name: String,
        /// What is wrong with it.
        source: ModelError,
    },
    /// It cannot be imported.
    #[cfg(feature = "import")]
    #[error(transparent)]
    Import(#[from] super::import::ImportError),
    /// The store cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was attempted: `read`, `write`, `remove`.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// What to do when a connection broke.
fn again(kept: u64) -> String {
    match kept {
        0 => "check the network, HF_ENDPOINT and the proxy, then run it again".to_owned(),
        kept => format!("{kept} bytes are kept: run it again to go on from there"),
    }
}

/// How near a name must be to be meant (Jaro-Winkler similarity, 0..=1).
const NEAR: f64 = 0.85;

impl StoreError {
    /// Names the nearest of the catalogue and of `others`.
    pub(super) fn unknown<'a>(name: &str, others: impl IntoIterator<Item = &'a str>) -> Self {
        let names = CATALOGUE.iter().map(super::Entry::name).chain(others);
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
        Self::Unknown { name: sanitise(name), remedy }
    }

    pub(super) fn io(what: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
