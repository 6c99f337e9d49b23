//! A file that is being fetched or imported, and belongs to one process at a time.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::record::beside;

/// Path of a model while it is fetched.
pub(super) fn path(model: &Path) -> PathBuf {
    beside(model, ".part")
}

/// Path of a model while it is imported.
pub(super) fn import_path(model: &Path) -> PathBuf {
    beside(model, ".import")
}

/// Gives a file that is written beside its destination its name, and returns when that outlives a
/// power cut.
pub(super) fn publish(file: &File, draft: &Path, destination: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(draft, destination)?;
    // The name, too, must outlive it.
    if let Some(folder) = destination.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The part of a model that is there, locked. The lock goes with the process, however that ends.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    len: u64,
}

impl Part {
    /// Opens or makes it; `wait` is called once if another process has it. `None` if it was given
    /// its name meanwhile.
    #[cfg(feature = "pull")]
    pub(super) fn lock(model: &Path, mut wait: impl FnMut()) -> io::Result<Option<Self>> {
        let path = path(model);
        let mut waited = false;
        let mut blocked = |file: &File| -> io::Result<()> {
            if !std::mem::replace(&mut waited, true) {
                wait();
            }
            Ok(rustix::fs::flock(file, FlockOperation::LockExclusive)?)
        };
        loop {
            if let Some(part) = Self::claim(&path, &mut blocked)? {
                return Ok(Some(part));
            }
            if model.exists() {
                return Ok(None);
            }
        }
    }

    /// Opens or makes the file at `path` and locks it; while another process has it `blocked` waits
    /// for the lock. `None` if that process has renamed or removed it meanwhile.
    pub(super) fn claim<E: From<io::Error>>(
        path: &Path,
        blocked: &mut impl FnMut(&File) -> Result<(), E>,
    ) -> Result<Option<Self>, E> {
        // Never through a symbolic link: its target is not ours to cut short.
        let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(flags)
            .open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => blocked(&file)?,
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file; remove it").into());
        }
        // What we hold may have been renamed or removed while we waited.
        let here = fs::symlink_metadata(path);
        let same = here.is_ok_and(|here| (here.dev(), here.ino()) == (metadata.dev(), metadata.ino()));
        Ok(same.then(|| Self { file, path: path.to_owned(), len: metadata.len() }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are there.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Starts again from nothing.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.len = 0;
        Ok(())
    }

    /// Puts more at its end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.len))?;
        // After an error the written length is unknown: `len` counts, and the rest is overwritten.
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Overwrites bytes.
    #[cfg(feature = "import")]
    pub(super) fn overwrite(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.write_all_at(bytes, at)
    }

    /// Gives it its name, for good: see [`publish`].
    pub(super) fn publish(&self, model: &Path) -> io::Result<()> {
        publish(&self.file, &self.path, model)
    }

    /// Removes it.
    pub(super) fn discard(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}
