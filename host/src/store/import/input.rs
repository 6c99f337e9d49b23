//! A file that is read at offsets.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::ImportError;
use crate::store::StoreError;

/// An open file of a known length. Nothing outside it is read, whatever it claims about itself.
#[derive(Debug)]
pub(super) struct Input {
    path: PathBuf,
    bytes: Bytes,
    len: u64,
}

#[derive(Debug)]
enum Bytes {
    File(File),
    /// Bytes in memory, for tests and fuzzers.
    #[cfg(any(test, fuzzing))]
    Memory(Vec<u8>),
}

impl Input {
    /// Opens a regular file, through links.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let open = || {
            // Without waiting for the writer of a pipe.
            let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
            let file = File::options().read(true).custom_flags(flags).open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(ErrorKind::IsADirectory.into());
            }
            if !metadata.is_file() {
                return Err(io::Error::other("it is not a regular file"));
            }
            Ok((metadata.len(), file))
        };
        let (len, file) = open().map_err(ImportError::read(path))?;
        Ok(Self { path: path.to_owned(), bytes: Bytes::File(file), len })
    }

    /// A file that is not on a disk.
    #[cfg(any(test, fuzzing))]
    pub(super) fn memory(path: &str, bytes: &[u8]) -> Self {
        Self { path: path.into(), bytes: Bytes::Memory(bytes.to_vec()), len: bytes.len() as u64 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fails unless `len` bytes from `at` on are in the file; returns where they end.
    pub(super) fn expect(&self, at: u64, len: u64, what: impl FnOnce() -> String) -> Result<u64, StoreError> {
        let end = at.checked_add(len);
        end.filter(|end| *end <= self.len).ok_or_else(|| {
            let (path, what, end) =
                (self.path.clone(), super::error::quoted(&what()), end.unwrap_or(u64::MAX));
            ImportError::Truncated { path, what, end, len: self.len }.into()
        })
    }

    /// Fills `into` from `at` on.
    pub(super) fn read(
        &self,
        at: u64,
        into: &mut [u8],
        what: impl FnOnce() -> String,
    ) -> Result<(), StoreError> {
        self.expect(at, into.len() as u64, what)?;
        match &self.bytes {
            // The file may have become shorter.
            Bytes::File(file) => file.read_exact_at(into, at).map_err(ImportError::read(&self.path)),
            #[cfg(any(test, fuzzing))]
            Bytes::Memory(bytes) => {
                // `expect` has compared with the length.
                into.copy_from_slice(&bytes[at as usize..][..into.len()]);
                Ok(())
            }
        }
    }

    /// `len` bytes from `at` on. The caller has capped `len`.
    pub(super) fn bytes(&self, at: u64, len: u64, what: impl Fn() -> String) -> Result<Vec<u8>, StoreError> {
        self.expect(at, len, &what)?;
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        self.read(at, &mut bytes, what)?;
        Ok(bytes)
    }

    /// The whole file, of at most `cap` bytes.
    pub(super) fn whole(&self, cap: u64) -> Result<Vec<u8>, StoreError> {
        if self.len > cap {
            let problem = format!("of {} bytes is longer than any such file ({cap} at most)", self.len);
            return Err(ImportError::field(&self.path, "the content", problem));
        }
        self.bytes(0, self.len, || "the content".to_owned())
    }
}

/// Reads one thing after the other.
pub(super) struct Cursor<'a> {
    pub(super) input: &'a Input,
    pub(super) at: u64,
}

impl Cursor<'_> {
    pub(super) fn array<const N: usize>(
        &mut self,
        what: impl FnOnce() -> String,
    ) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        self.input.read(self.at, &mut bytes, what)?;
        self.at += N as u64;
        Ok(bytes)
    }

    pub(super) fn u8(&mut self, what: impl FnOnce() -> String) -> Result<u8, StoreError> {
        self.array(what).map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self, what: impl FnOnce() -> String) -> Result<u16, StoreError> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, what: impl FnOnce() -> String) -> Result<u32, StoreError> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// The next `len` bytes; the caller has capped `len`.
    pub(super) fn bytes(&mut self, len: u64, what: impl Fn() -> String) -> Result<Vec<u8>, StoreError> {
        let bytes = self.input.bytes(self.at, len, what)?;
        self.at += len;
        Ok(bytes)
    }

    /// Passes `len` bytes by; returns where they begin.
    pub(super) fn skip(&mut self, len: u64, what: impl FnOnce() -> String) -> Result<u64, StoreError> {
        let end = self.input.expect(self.at, len, what)?;
        Ok(std::mem::replace(&mut self.at, end))
    }
}
