//! Record of a pulled or imported model, in a file beside it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::part::publish;

/// Longest record that is read.
const MAX_BYTES: u64 = 64 << 10;

/// Record of a pull or import: content and origin. It lies beside the model as `FILE.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// The model's name.
    pub name: String,
    /// Requested address, before redirects, or path of the imported model.
    pub source: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal, which it was checked against.
    pub sha256: String,
    /// BLAKE3 in hexadecimal: the name of its compiled form in the cache.
    pub blake3: String,
}

impl Record {
    pub(super) fn path(model: &Path) -> PathBuf {
        beside(model, ".json")
    }

    /// Reads the record of a model file; `None` if there is none, or none that can be read.
    pub fn read(model: &Path) -> Option<Self> {
        let mut json = Vec::new();
        File::open(Self::path(model)).ok()?.take(MAX_BYTES).read_to_end(&mut json).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Writes it, whole or not at all. Only the holder of the model's lock may call this.
    pub(super) fn write(&self, model: &Path) -> Result<(), StoreError> {
        let (path, draft) = (Self::path(model), beside(model, ".json.part"));
        let write = || {
            let mut file = File::create(&draft)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            publish(&file, &draft, &path)
        };
        write().map_err(StoreError::io("write", &path))
    }
}

/// The file's name with something after it.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
