//! The file that an import writes, and the name that it gets.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::store::StoreError;
use crate::store::part::{self, Part};

/// Period at which a lock that another process has is tried.
const LOOK: Duration = Duration::from_millis(50);

/// A file of an import's own, locked, and removed unless it gets its name.
pub(super) struct Draft(Option<Part>);

impl Draft {
    /// Opens it empty; while another import has it `wait` is called again and again, and may end
    /// that.
    pub(super) fn lock(
        model: &Path,
        wait: impl FnMut() -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        let mut part = claim(&part::import_path(model), wait)?;
        part.clear().map_err(StoreError::io("write", part.path()))?;
        Ok(Self(Some(part)))
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.part().append(bytes)
    }

    /// Overwrites bytes.
    pub(super) fn overwrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.part().overwrite(at, bytes)
    }

    pub(super) fn path(&mut self) -> &Path {
        self.part().path()
    }

    fn part(&mut self) -> &mut Part {
        self.0.as_mut().expect("it is there until it gets its name")
    }

    /// Gives it its name, for good.
    pub(super) fn publish(mut self, model: &Path) -> io::Result<()> {
        // On an error the file is left to `drop`.
        self.part().publish(model)?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(part) = self.0.take() {
            // The error has no receiver, and the next import of that name begins anew.
            let _ = part.discard();
        }
    }
}

/// The right to give a file a model's name: the lock that pulls of that model take, too.
pub(super) struct NameLock {
    part: Option<Part>,
}

impl NameLock {
    pub(super) fn take(
        model: &Path,
        wait: impl FnMut() -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        Ok(Self { part: Some(claim(&part::path(model), wait)?) })
    }

    /// The model is complete: the part kept of a pull is of no use any more.
    pub(super) fn done(mut self) {
        if let Some(part) = self.part.take() {
            let _ = part.discard();
        }
    }
}

impl Drop for NameLock {
    fn drop(&mut self) {
        // What has come of a pull stays; an empty file is this lock's own.
        if let Some(part) = self.part.take().filter(|part| part.len() == 0) {
            let _ = part.discard();
        }
    }
}

fn claim(path: &Path, mut wait: impl FnMut() -> Result<(), StoreError>) -> Result<Part, StoreError> {
    let mut blocked = |file: &File| loop {
        wait().map_err(Blocked::Ended)?;
        // A lock cannot be awaited together with Ctrl-C.
        std::thread::sleep(LOOK);
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(Blocked::Io(error.into())),
        }
    };
    loop {
        match Part::claim(path, &mut blocked) {
            Ok(Some(part)) => return Ok(part),
            Ok(None) => {}
            Err(Blocked::Io(error)) => return Err(StoreError::io("write", path)(error)),
            Err(Blocked::Ended(error)) => return Err(error),
        }
    }
}

/// Why a lock was not had.
enum Blocked {
    Io(io::Error),
    /// The import was cancelled while it waited.
    Ended(StoreError),
}

impl From<io::Error> for Blocked {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
