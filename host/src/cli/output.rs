//! Where transcripts go: standard output, or files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};

/// A sink for one transcript.
pub(crate) enum Output {
    /// Standard output, written as it comes.
    Stdout(StdoutLock<'static>),
    /// A file that takes its name when it is complete.
    File(Draft),
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
        let name = destination.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut draft = std::ffi::OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}.part", std::process::id()));
        let path = destination.with_file_name(draft);
        let file = BufWriter::new(File::create(&path)?);
        Ok(Self::File(Draft { file, path, destination: destination.to_owned(), kept: false }))
    }

    /// Makes what was written visible.
    pub(crate) fn commit(self) -> io::Result<()> {
        match self {
            Self::Stdout(mut out) => out.flush(),
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
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(draft) => draft.file.flush(),
        }
    }
}
