//! State on disk: streams that survive the process.
//!
//! A folder holds one [log](log) for each stream of hearken's own protocol, under a name that does
//! not tell the stream's own, with which it could be resumed. Records are written before the
//! client learns of what is in them, by a [thread of their own](writer). The next server on the
//! folder makes a stream of its log when its client comes back.

mod keeper;
mod log;
mod writer;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

pub(super) use self::keeper::Keeper;
pub(super) use self::log::{Header, Kept};
#[cfg(any(test, fuzzing))]
pub(crate) use self::log::{attack, seeds};
use self::writer::{Command, Failure, Held, Log};
use crate::App;
use crate::disk::Space;
use crate::metrics::Metrics;
use crate::tenants::Tenant;
use crate::values::hex;

/// Name of the file that is locked. Its time of modification is when its process was last seen.
const LOCK: &str = "lock";
/// Time between two of its modifications.
const BEAT: Duration = Duration::from_secs(1);
/// Patience with the disk: nobody waits longer for a record to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a folder cannot hold the state of a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another server has it.
    #[error("another server uses it; end that one, or give each server a folder of its own")]
    Locked,
    /// Others may read it, or it belongs to another user.
    #[error("it is not for its owner alone; `chmod 700` it, or name a folder that does not exist yet")]
    Shared,
    /// The system refuses.
    #[error("{0}; check the path and its permissions")]
    System(io::Error),
}

impl From<io::Error> for StateError {
    fn from(cause: io::Error) -> Self {
        Self::System(cause)
    }
}

/// The folder, and the thread that writes to it.
pub(crate) struct StateFolder {
    folder: PathBuf,
    commands: mpsc::Sender<Command>,
    held: Arc<Held>,
    /// The process before is gone for so long that no client comes back to its streams.
    stale: bool,
    resume: Duration,
    warned: AtomicBool,
}

impl StateFolder {
    /// Opens the folder, or makes it, and locks it. Streams wait for `resume`.
    pub(crate) fn open(folder: &Path, resume: Duration) -> Result<Self, StateError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let metadata = folder.metadata()?;
        if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
            return Err(StateError::Shared);
        }
        let path = folder.join(LOCK);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StateError::Locked,
            TryLockError::Error(error) => StateError::System(error),
        })?;
        let stale = last_seen(&lock)? > resume;
        lock.set_modified(SystemTime::now())?;
        let held = Arc::new(Held::default());
        let commands = writer::start(folder.to_owned(), lock, Arc::clone(&held))?;
        let (folder, warned) = (folder.to_owned(), AtomicBool::new(false));
        Ok(Self { folder, commands, held, stale, resume, warned })
    }

    /// Removes the streams that nobody can resume, and reports damaged ones. To be called before
    /// the first client comes. `admits` is true for a stream whose key is valid.
    pub(crate) fn sweep(&self, admits: impl Fn(&str, Option<&str>) -> bool) {
        let mut kept = 0;
        for path in writer::logs(&self.folder) {
            match writer::read(&path) {
                Ok((header, _)) if !self.stale && admits(&header.tenant, header.key.as_deref()) => kept += 1,
                Ok(_) => writer::remove(&path),
                Err(failure) => report(&path, &failure),
            }
        }
        if kept > 0 {
            tracing::info!(kept, "streams of the server before can be resumed");
        }
    }

    /// Keeps the folder's time, and removes streams of the process before when their time is over,
    /// which begins when the server is `ready`.
    pub(crate) async fn tend(&self, ready: impl Future<Output = ()>) {
        let beat = async {
            let mut beat = interval(BEAT);
            beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                beat.tick().await;
                let _ = self.commands.try_send(Command::Beat);
            }
        };
        let expire = async {
            ready.await;
            tokio::time::sleep(self.resume).await;
            let _ = self.commands.send(Command::Expire).await;
        };
        tokio::join!(beat, expire);
    }

    /// Waits until everything is written: the process ends.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        let flush = async {
            if self.commands.send(Command::Flush(done)).await.is_ok() {
                let _ = flushed.await;
            }
        };
        let _ = timeout(PATIENCE, flush).await;
    }

    /// Makes room for a stream of this name.
    pub(super) fn keep(&self, app: &Arc<App>, tenant: &Arc<Tenant>, id: &str, begin: Begin) -> Keeper {
        let path = self.path(id);
        self.held.insert(&path);
        let log = Arc::new(Log::new(path, Space::new(app, tenant)));
        Keeper::new(self.commands.clone(), log, begin.0)
    }

    /// Reads the stream of this name, which the process before has left. It is held until it is
    /// [let go](Self::let_go) or [kept](Self::keep). Takes time: it reads a file.
    pub(super) fn take(&self, id: &str) -> Option<(Header, Kept)> {
        let path = self.path(id);
        self.held.insert(&path);
        match writer::read(&path) {
            Ok(stream) => return Some(stream),
            Err(Failure::System(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(failure) => report(&path, &failure),
        }
        self.held.remove(&path);
        None
    }

    /// Leaves a stream that was taken where it was.
    pub(super) fn let_go(&self, id: &str) {
        self.held.remove(&self.path(id));
    }

    /// Counts a stream that is not kept any more, and logs the first one.
    pub(super) fn failed(&self, metrics: &Metrics, failure: &Failure) {
        metrics.state_failures.inc();
        if self.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!("a stream is not kept: {failure}");
        } else {
            tracing::warn!(
                "a stream goes on, but will not survive this process: {failure} (a metric counts further ones)"
            );
        }
    }

    fn path(&self, id: &str) -> PathBuf {
        writer::path(&self.folder, &hex(&Sha256::digest(id)[..16]))
    }
}

/// The first bytes of a stream's log.
pub(super) struct Begin(Vec<u8>);

impl Begin {
    /// Of a new stream.
    pub(super) fn new(header: Header) -> Self {
        Self(log::begin(header))
    }

    /// Of a stream that was kept; gives it back.
    pub(super) fn again(header: Header, kept: Kept) -> (Self, Kept) {
        let (bytes, kept) = log::compact(header, kept);
        (Self(bytes), kept)
    }
}

/// Time since the process that had the lock was seen.
fn last_seen(lock: &File) -> io::Result<Duration> {
    let seen = lock.metadata()?.modified()?;
    // A clock that was set back has seen it now.
    Ok(SystemTime::now().duration_since(seen).unwrap_or_default())
}

/// Reports a file that is not the log of a stream, and removes it.
fn report(path: &Path, failure: &Failure) {
    tracing::warn!(file = %path.display(), "a stream of the server before is lost: {failure}");
    writer::remove(path);
}
