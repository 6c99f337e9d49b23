//! The thread that writes the logs of streams: no other one waits for the disk.
//!
//! A log is opened for each record, so that ten thousand streams do not hold as many descriptors,
//! and nothing is synced: what a process has written outlives it, though not the machine.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::log::{self, Damage, Header, Kept};
use crate::disk::Space;
use crate::rejection::Rejection;

/// Maximum number of commands that wait. A stream whose record does not fit waits.
const QUEUE: usize = 256;
/// Bytes that a log grows by, and once more its size, before it is compacted.
const SLACK: u64 = 32 << 10;
/// Maximum size of a compacted log: four minutes of speech that is not recognized.
const MAX_KEPT: u64 = 16 << 20;
/// Maximum size of a file that is read.
const MAX_FILE: u64 = 3 * MAX_KEPT;
/// Ends of the names of logs, and of those that are being written.
const LOG: &str = "stream";
const DRAFT: &str = "draft";

/// Why a stream is not kept any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    System(#[from] io::Error),
    #[error(transparent)]
    Space(#[from] Rejection),
    #[error(transparent)]
    Damage(#[from] Damage),
    #[error("more than {} MiB of it are not recognized", MAX_KEPT >> 20)]
    TooLong,
    #[error("the disk does not answer")]
    Slow,
}

/// Work for the thread.
pub(super) enum Command {
    /// Bytes for a log; in place of what it holds if `fresh` is set.
    Write { log: Arc<Log>, bytes: Vec<u8>, fresh: bool, done: oneshot::Sender<Result<(), Failure>> },
    /// A stream is over.
    Remove(Arc<Log>),
    /// Streams of the process before whose client has not come are over.
    Expire,
    /// The process lives.
    Beat,
    /// Tells when everything before it is done.
    Flush(oneshot::Sender<()>),
}

/// Names of the files that belong to streams of this process.
#[derive(Default)]
pub(super) struct Held(Mutex<HashSet<PathBuf>>);

impl Held {
    pub(super) fn insert(&self, path: &Path) {
        self.0.lock().insert(path.to_owned());
    }

    pub(super) fn remove(&self, path: &Path) {
        self.0.lock().remove(path);
    }

    fn has(&self, path: &Path) -> bool {
        self.0.lock().contains(path)
    }
}

/// The file of one stream.
pub(super) struct Log {
    path: PathBuf,
    space: Space,
    size: Mutex<Size>,
}

#[derive(Default)]
struct Size {
    bytes: u64,
    /// Size at which it is compacted.
    limit: u64,
    /// Nothing more is written: the file is gone.
    over: bool,
}

impl Log {
    pub(super) fn new(path: PathBuf, space: Space) -> Self {
        Self { path, space, size: Mutex::default() }
    }

    /// Writes, or removes the file if it cannot: it would be of a moment that has passed.
    fn write(&self, bytes: &[u8], fresh: bool) -> Result<(), Failure> {
        let mut size = self.size.lock();
        if size.over {
            return Err(Failure::Slow);
        }
        let written = if fresh { self.replace(&mut size, bytes) } else { self.append(&mut size, bytes) };
        if written.is_err() {
            size.over = true;
            remove(&self.path);
        }
        written
    }

    fn append(&self, size: &mut Size, bytes: &[u8]) -> Result<(), Failure> {
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        self.space.grow(&file, size.bytes + bytes.len() as u64)?;
        file.write_all(bytes)?;
        size.bytes += bytes.len() as u64;
        if size.bytes > size.limit {
            let (header, kept) = read(&self.path)?;
            let (bytes, _) = log::compact(header, kept);
            if bytes.len() as u64 > MAX_KEPT {
                return Err(Failure::TooLong);
            }
            self.replace(size, &bytes)?;
        }
        Ok(())
    }

    fn replace(&self, size: &mut Size, bytes: &[u8]) -> Result<(), Failure> {
        let draft = self.path.with_extension(DRAFT);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
        let written = file.map_err(Failure::from).and_then(|mut file| {
            self.space.grow(&file, bytes.len() as u64)?;
            file.write_all(bytes)?;
            Ok(fs::rename(&draft, &self.path)?)
        });
        written.inspect_err(|_| remove(&draft))?;
        size.bytes = bytes.len() as u64;
        size.limit = 2 * size.bytes + SLACK;
        Ok(())
    }

    fn remove(&self) {
        let mut size = self.size.lock();
        size.over = true;
        remove(&self.path);
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Starts the thread. It ends with the last sender.
pub(super) fn start(folder: PathBuf, lock: File, held: Arc<Held>) -> io::Result<mpsc::Sender<Command>> {
    let (sender, mut commands) = mpsc::channel(QUEUE);
    thread::Builder::new().name("hearken-state".to_owned()).spawn(move || {
        while let Some(command) = commands.blocking_recv() {
            match command {
                Command::Write { log, bytes, fresh, done } => {
                    // A stream that does not wait any more has given its log up.
                    let _ = done.send(log.write(&bytes, fresh));
                }
                Command::Remove(log) => {
                    log.remove();
                    held.remove(log.path());
                }
                Command::Expire => {
                    let waiting = logs(&folder).into_iter().filter(|path| !held.has(path));
                    waiting.for_each(|path| remove(&path));
                }
                Command::Beat => {
                    // Without it the next process sweeps sooner.
                    let _ = lock.set_modified(SystemTime::now());
                }
                Command::Flush(done) => {
                    let _ = done.send(());
                }
            }
        }
    })?;
    Ok(sender)
}

/// Path of the log with this name.
pub(super) fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(name).with_extension(LOG)
}

/// All logs of a folder. Drafts, which a process that was killed left, are removed.
pub(super) fn logs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let ends = |path: &Path, end: &str| path.extension().is_some_and(|extension| extension == end);
    let (logs, others): (Vec<_>, Vec<_>) = entries.partition(|path| ends(path, LOG));
    // The thread that makes drafts is the one that asks, or has not begun.
    others.iter().filter(|path| ends(path, DRAFT)).for_each(|path| remove(path));
    logs
}

/// Reads a log.
pub(super) fn read(path: &Path) -> Result<(Header, Kept), Failure> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Failure::TooLong);
    }
    Ok(log::read(&bytes)?)
}

pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, file = %path.display(), "a stream that is over could not be removed");
    }
}
