//! Where transcripts go: standard output, or files that appear whole or not at all.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::BuildHasher;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};

/// A sink for one transcript.
pub(crate) enum Output {
    /// Standard output, written as it comes.
    Stdout(StdoutLock<'static>),
    /// A file that takes its name when it is complete.
    File(Draft),
    /// A device or a pipe, written as it comes: it must not be replaced by a file.
    Special(BufWriter<File>),
}

/// A file in the making, beside its destination.
pub(crate) struct Draft {
    file: BufWriter<File>,
    path: PathBuf,
    destination: PathBuf,
    kept: bool,
}

impl Output {
    pub(crate) fn stdout() -> Self {
        Self::Stdout(io::stdout().lock())
    }

    /// Starts a file.
    pub(crate) fn file(destination: &Path) -> io::Result<Self> {
        match fs::metadata(destination) {
            Ok(existing) if existing.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(existing) if !existing.is_file() => {
                return Ok(Self::Special(BufWriter::new(File::options().write(true).open(destination)?)));
            }
            _ => {}
        }
        // The file behind a symbolic link is what is written, not the link.
        let destination = &fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        let name = destination.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut draft = std::ffi::OsString::from(".");
        draft.push(name);
        // A name that nobody can guess, and that no dead process has left.
        let unique = RandomState::new().hash_one(std::process::id());
        draft.push(format!(".{unique:016x}.part"));
        let path = destination.with_file_name(draft);
        let file = BufWriter::new(File::create_new(&path)?);
        Ok(Self::File(Draft { file, path, destination: destination.to_owned(), kept: false }))
    }

    /// Makes what was written visible.
    pub(crate) fn commit(self) -> io::Result<()> {
        match self {
            Self::Stdout(mut out) => out.flush(),
            Self::Special(mut file) => file.flush(),
            Self::File(mut draft) => {
                draft.file.flush()?;
                draft.file.get_ref().sync_all()?;
                fs::rename(&draft.path, &draft.destination)?;
                draft.kept = true;
                Ok(())
            }
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(draft) => draft.file.write(bytes),
            Self::Special(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(draft) => draft.file.flush(),
            Self::Special(file) => file.flush(),
        }
    }
}
