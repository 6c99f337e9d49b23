//! Examination of a file: read once, hashed twice, checked for its form.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::StoreError;
use crate::model::{self, Checked};

/// Result of examining a model file.
pub(super) struct Examined {
    pub(super) checked: Checked,
    /// SHA-256 in hexadecimal.
    pub(super) sha256: String,
}

/// Reads a model file, with the checker that loading it uses.
pub(super) fn examine(name: &str, path: &Path) -> Result<Examined, StoreError> {
    let file = File::open(path).map_err(StoreError::io("read", path))?;
    let len = file.metadata().map_err(StoreError::io("read", path))?.len();
    let mut reader = Hashing { file, sha256: Sha256::new() };
    let checked =
        model::check(&mut reader, len).map_err(|cause| StoreError::Model { name: name.to_owned(), cause })?;
    Ok(Examined { checked, sha256: hex(&reader.sha256.finalize()) })
}

/// SHA-256 of a file, whatever it is, in hexadecimal.
pub(super) fn sha256(path: &Path) -> Result<String, StoreError> {
    let mut reader =
        Hashing { file: File::open(path).map_err(StoreError::io("read", path))?, sha256: Sha256::new() };
    io::copy(&mut reader, &mut io::sink()).map_err(StoreError::io("read", path))?;
    Ok(hex(&reader.sha256.finalize()))
}

/// Remedy for wrong content.
pub(super) enum Remedy {
    PullAgain,
    #[cfg(feature = "pull")]
    Removed,
}

/// Fails if a hash is not the one expected.
pub(super) fn compare(name: &str, expected: &str, came: &str, remedy: Remedy) -> Result<(), StoreError> {
    if expected == came {
        return Ok(());
    }
    Err(StoreError::Content {
        name: name.to_owned(),
        expected: expected.to_owned(),
        came: came.to_owned(),
        remedy: match remedy {
            Remedy::PullAgain => "pull it again with --force, or remove it",
            #[cfg(feature = "pull")]
            Remedy::Removed => "what came was removed: check HF_ENDPOINT, or the proxy",
        },
    })
}

/// Writes bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reader that hashes the bytes.
struct Hashing {
    file: File,
    sha256: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.sha256.update(&into[..count]);
        Ok(count)
    }
}
