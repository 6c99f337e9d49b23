//! Destinations of transcripts: standard output, or files that appear whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, IntoInnerError, StdoutLock, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Random characters in a draft's name.
const UNIQUE: usize = 16;

/// A sink for one transcript.
pub(crate) enum Output {
    /// Standard output, written as it comes.
    Stdout(StdoutLock<'static>),
    /// A file that takes its name when it is complete.
    File(Draft),
    /// A device or a pipe, written as it comes: it must not be replaced by a file.
    Special(BufWriter<File>),
}

/// A file in the making, beside its destination; removed unless it takes its place.
pub(crate) struct Draft {
    file: BufWriter<NamedTempFile>,
    destination: PathBuf,
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
        // Writes to the file behind a symbolic link, not to the link.
        let destination = &fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        let name = destination.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut draft = std::ffi::OsString::from(".");
        draft.push(name);
        draft.push(".");
        sweep(destination, &draft);
        let file = tempfile::Builder::new()
            .prefix(&draft)
            .rand_bytes(UNIQUE)
            .suffix(".part")
            // As for any new file; the user's mask takes its part.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder(destination))?;
        Ok(Self::File(Draft { file: BufWriter::new(file), destination: destination.to_owned() }))
    }

    /// Makes the output visible under its name.
    pub(crate) fn commit(self) -> io::Result<()> {
        match self {
            Self::Stdout(mut out) => out.flush(),
            Self::Special(mut file) => file.flush(),
            Self::File(draft) => {
                let file = draft.file.into_inner().map_err(IntoInnerError::into_error)?;
                file.as_file().sync_all()?;
                file.persist(&draft.destination)?;
                // So that the name is there after a power cut. Some file systems cannot, and need
                // not.
                if let Ok(folder) = File::open(folder(&draft.destination)) {
                    let _ = folder.sync_all();
                }
                Ok(())
            }
        }
    }
}

/// Parent folder of a file.
pub(super) fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes drafts of the same file, whose names begin like this one's, that were left by a process
/// that died: nothing has been written to them for an hour.
fn sweep(destination: &Path, beginning: &std::ffi::OsStr) {
    for entry in fs::read_dir(folder(destination)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let unique = name
            .as_encoded_bytes()
            .strip_prefix(beginning.as_encoded_bytes())
            .and_then(|rest| rest.strip_suffix(b".part"));
        let is_draft = unique
            .is_some_and(|unique| unique.len() == UNIQUE && unique.iter().all(u8::is_ascii_alphanumeric));
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if is_draft && age().is_some_and(|age| age.as_secs() > 3600) {
            let _ = fs::remove_file(entry.path());
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn what_dead_processes_left_of_a_file_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, hours: u64| {
            let path = folder.path().join(name);
            let file = File::create(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(3600 * hours)).unwrap();
            path
        };
        let dead = file(".a.txt.0123456789abcdef.part", 2);
        let kept = [
            file(".a.txt.0123456789abcde0.part", 0),
            file(".b.txt.0123456789abcdef.part", 2),
            file(".a.txt.part", 2),
            file(".a.txt.0123456789abcde-.part", 2),
            file("a.txt.0123456789abcdef.part", 2),
        ];
        let mut output = Output::file(&folder.path().join("a.txt")).unwrap();
        assert!(!dead.exists());
        assert!(kept.iter().all(|path| path.exists()), "{kept:?}");
        output.write_all(b"text").unwrap();
        output.commit().unwrap();
        assert_eq!(fs::read(folder.path().join("a.txt")).unwrap(), b"text");
        drop(Output::file(&folder.path().join("a.txt")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), kept.len() + 1);
    }
}
