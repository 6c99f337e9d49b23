//! Pulls a model: fetched in parts, checked as a whole, named at the end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::content::{self, Remedy};
use super::http::{Client, Problem, Trouble, status_error};
use super::part::Part;
use super::receive::receive;
use super::{Entry, Record, Store, StoreError, Stored, disk_space};

/// Endpoint of the official models.
const ENDPOINT: &str = "https://huggingface.co";
/// Minimum number of bytes for the count of vain attempts to start anew: a bad line is no dead one.
const GAIN: u64 = 1 << 20;
/// Longest time between two tries.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// Progress of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullProgress {
    /// The model is on this machine already; nothing is fetched.
    Here,
    /// Another process is pulling it, and is waited for.
    Waiting,
    /// Number of bytes received, including those kept from before.
    Received {
        /// Bytes.
        bytes: u64,
        /// Bytes of the whole file.
        total: u64,
    },
    /// The connection broke, and is tried again.
    Retrying {
        /// Description of the problem.
        problem: String,
        /// Wait before the next attempt.
        wait: Duration,
    },
    /// The file has come and is being checked.
    Checking,
}

/// Fetches models into a store.
///
/// A pull that ends early, for any reason, leaves the received part in `FILE.part`, and the next
/// one resumes from there. The file takes its name only when its SHA-256 is the entry's and
/// hearken's own checker accepts it.
#[derive(Debug, Clone)]
pub struct Puller<'a> {
    store: &'a Store,
    endpoint: String,
    idle: Duration,
    attempts: u32,
    back_off: Duration,
    force: bool,
    direct: bool,
}

impl<'a> Puller<'a> {
    /// Pulls into this store, from `$HF_ENDPOINT`, else from Hugging Face; through the proxy that
    /// `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY` name, except for the hosts of `NO_PROXY`.
    pub fn new(store: &'a Store) -> Self {
        let endpoint = std::env::var("HF_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty());
        Self {
            store,
            endpoint: endpoint.unwrap_or_else(|| ENDPOINT.to_owned()),
            idle: Duration::from_secs(30),
            attempts: 5,
            back_off: Duration::from_secs(1),
            force: false,
            direct: false,
        }
    }

    /// Pulls from there: `https://host`, with a path if need be. From an https address no redirect
    /// leads to http.
    #[must_use]
    pub fn endpoint(self, endpoint: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), ..self }
    }

    /// Sets the idle timeout: the time for which the server may send nothing. Default: 30 s. There
    /// is no limit for the whole.
    #[must_use]
    pub fn idle_timeout(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// Sets the number of attempts in a row that may bring less than 1 MiB, at least 1. Default: 5.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts: attempts.max(1), ..self }
    }

    /// Sets the wait before the second attempt; twice as long before each further one, at most 30
    /// s. Default: 1 s.
    #[must_use]
    pub fn back_off(self, back_off: Duration) -> Self {
        Self { back_off, ..self }
    }

    /// Pulls models again that are present. The present file stays until the new one is complete.
    #[must_use]
    pub fn force(self, force: bool) -> Self {
        Self { force, ..self }
    }

    /// Uses no proxy, ignoring the environment.
    #[must_use]
    pub fn direct(self) -> Self {
        Self { direct: true, ..self }
    }

    /// Pulls a model, or finds it here already.
    ///
    /// # Errors
    ///
    /// Before any request: when it does not fit the sandbox or the disk. After: when the server
    /// does not give it, gives something else, or cannot be reached as often as is tried.
    pub fn pull(&self, entry: &Entry, mut progress: impl FnMut(PullProgress)) -> Result<Stored, StoreError> {
        if let Some(cause) = entry.refusal() {
            return Err(StoreError::DoesNotFit { name: entry.name.to_string(), cause });
        }
        let path = self.store.path(entry);
        if !self.force && is_here(entry, &path) {
            progress(PullProgress::Here);
            return Ok(stored(entry, &path));
        }
        fs::create_dir_all(&self.store.folder).map_err(StoreError::io("write", &self.store.folder))?;
        let part = Part::lock(&path, || progress(PullProgress::Waiting));
        let Some(mut part) = part.map_err(StoreError::io("write", &super::part::path(&path)))? else {
            // The process that held the lock has given it its name, after the same checks.
            progress(PullProgress::Here);
            return Ok(stored(entry, &path));
        };
        let resumed = part.len() > 0;
        self.fetch(entry, &mut part, &mut progress)?;
        let mut accepted = self.accept(entry, &part, &mut progress);
        if resumed && matches!(accepted, Err(StoreError::Content { .. } | StoreError::Model { .. })) {
            // What was kept from before may have been of another file: once more, from the start.
            part.clear().map_err(StoreError::io("write", part.path()))?;
            self.fetch(entry, &mut part, &mut progress)?;
            accepted = self.accept(entry, &part, &mut progress);
        }
        let record = match accepted {
            Ok(record) => record,
            Err(error) => {
                if matches!(error, StoreError::Content { .. } | StoreError::Model { .. }) {
                    let part_path = part.path().to_owned();
                    part.discard().map_err(StoreError::io("remove", &part_path))?;
                }
                return Err(error);
            }
        };
        // An old record beside a new file would call it changed.
        let _ = fs::remove_file(Record::path(&path));
        part.publish(&path).map_err(StoreError::io("write", &path))?;
        record.write(&path)?;
        Ok(stored(entry, &path))
    }

    /// Checks that the received file is the model.
    fn accept(
        &self,
        entry: &Entry,
        part: &Part,
        progress: &mut impl FnMut(PullProgress),
    ) -> Result<Record, StoreError> {
        progress(PullProgress::Checking);
        let examined = match content::examine(&entry.name, part.path()) {
            // A wrong file is a better explanation than a defect of its form.
            Err(error @ StoreError::Model { .. }) => {
                content::compare(
                    &entry.name,
                    &entry.sha256,
                    &content::sha256(part.path())?,
                    Remedy::Removed,
                )?;
                return Err(error);
            }
            examined => examined?,
        };
        content::compare(&entry.name, &entry.sha256, &examined.sha256, Remedy::Removed)?;
        Ok(Record {
            name: entry.name.to_string(),
            source: self.url(entry),
            bytes: examined.checked.len,
            sha256: examined.sha256,
            blake3: examined.checked.hash.to_hex().to_string(),
        })
    }

    fn url(&self, entry: &Entry) -> String {
        format!("{}/{}", self.endpoint.trim_end_matches('/'), entry.path)
    }

    /// Fetches the missing part.
    fn fetch(
        &self,
        entry: &Entry,
        part: &mut Part,
        progress: &mut impl FnMut(PullProgress),
    ) -> Result<(), StoreError> {
        let secure = match self.endpoint.split_once("://") {
            Some(("https", host)) if !host.is_empty() => true,
            Some(("http", host)) if !host.is_empty() => false,
            _ => return Err(StoreError::Endpoint { endpoint: crate::text::sanitize(&self.endpoint) }),
        };
        if part.len() > entry.bytes {
            part.clear().map_err(StoreError::io("write", part.path()))?;
        }
        disk_space::expect(&self.store.folder, &entry.name, entry.bytes - part.len())?;
        let url = self.url(entry);
        let client = Client::new(secure, self.direct, self.idle);
        let (mut etag, mut vain) = (None, 0);
        while part.len() < entry.bytes {
            progress(PullProgress::Received { bytes: part.len(), total: entry.bytes });
            let before = part.len();
            let trouble = match receive(&client, &url, entry, part, &mut etag, progress) {
                Ok(()) => continue,
                Err(trouble) => trouble,
            };
            let (problem, wait) = match trouble {
                Trouble::Fatal(StoreError::Broken { url, problem, .. }) => {
                    return Err(StoreError::Broken { url, problem, kept: part.len() });
                }
                Trouble::Fatal(error) => return Err(error),
                Trouble::Passing { problem, wait } => (problem, wait),
            };
            vain = if part.len() >= before.saturating_add(GAIN) { 1 } else { vain + 1 };
            if vain >= self.attempts {
                return Err(self.given_up(url, problem, part.len()));
            }
            let back_off = self.back_off.saturating_mul(1 << (vain - 1).min(16)).min(LONGEST_BACK_OFF);
            let wait = wait.unwrap_or(back_off);
            progress(PullProgress::Retrying { problem: self.words(&problem), wait });
            std::thread::sleep(wait);
        }
        Ok(())
    }

    fn words(&self, problem: &Problem) -> String {
        match problem {
            Problem::Broken(problem) => problem.clone(),
            Problem::Stalled => format!("nothing came for {:?}", self.idle),
            Problem::Status(status) => format!("the server answered {status}"),
        }
    }

    fn given_up(&self, url: String, problem: Problem, kept: u64) -> StoreError {
        match problem {
            Problem::Broken(problem) => StoreError::Broken { url, problem, kept },
            Problem::Stalled => StoreError::Stalled { url, idle: self.idle, kept },
            Problem::Status(status) => status_error(&url, status),
        }
    }
}

/// Returns true if a file of the right length has the name. Files get their names only after they
/// were checked; [`Store::verify`] finds later changes.
fn is_here(entry: &Entry, path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == entry.bytes)
}

fn stored(entry: &Entry, path: &Path) -> Stored {
    Stored {
        name: entry.name.to_string(),
        path: path.to_owned(),
        bytes: entry.bytes,
        entry: super::CATALOG.iter().find(|official| *official == entry),
    }
}
