//! Models by name: which there are, which are on this machine, and pulling them.
//!
//! A [`Store`] is a folder of model files. [`CATALOG`] has whisper.cpp's official models; a
//! [`Puller`] fetches one of them, or an [`Entry`] of your own, checks its SHA-256 and its form,
//! and only then gives it its name.
//!
//! ```no_run
//! use hearken::store::{Puller, Store, official};
//! use hearken::{Engine, ModelSource};
//!
//! let store = Store::open()?;
//! let base = official("base.en")?;
//! let pulled = Puller::new(&store).pull(base, |progress| println!("{progress:?}"))?;
//! let model = Engine::new()?.load(&ModelSource::File(pulled.path))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod catalog;
mod content;
mod disk_space;
mod entry;
mod error;
#[cfg(feature = "pull")]
mod http;
#[cfg(feature = "import")]
pub mod import;
mod part;
#[cfg(feature = "pull")]
mod pull;
#[cfg(feature = "pull")]
mod receive;
mod record;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use catalog::{CATALOG, official};
pub use entry::Entry;
pub use error::StoreError;
#[cfg(feature = "pull")]
pub use pull::{PullProgress, Puller};
pub use record::Record;

/// Extension of a model file.
const EXTENSION: &str = "bin";

/// A folder of models.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// A model file in a store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stored {
    /// Name: that in the catalog, or `NAME` of a `ggml-NAME.bin` or `NAME.bin` put there by hand.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Length, in bytes.
    pub bytes: u64,
    /// The entry of the catalog with this name.
    pub entry: Option<&'static Entry>,
}

impl Store {
    /// The user's store: `$HEARKEN_MODELS_DIR`, else `$XDG_DATA_HOME/hearken/models`, else
    /// `~/.local/share/hearken/models`. The folder is made when something is pulled into it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoFolder`] if none of these is known.
    pub fn open() -> Result<Self, StoreError> {
        use etcetera::BaseStrategy;
        if let Some(folder) = std::env::var_os("HEARKEN_MODELS_DIR").filter(|folder| !folder.is_empty()) {
            return Ok(Self::at(folder));
        }
        let strategy = etcetera::choose_base_strategy().map_err(|_| StoreError::NoFolder)?;
        Ok(Self::at(strategy.data_dir().join("hearken/models")))
    }

    /// The store in this folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of an entry's file, present or not.
    pub fn path(&self, entry: &Entry) -> PathBuf {
        self.folder.join(entry.file())
    }

    /// All models of the store: those of the catalog in its order, then the others by name. Names
    /// that are not UTF-8 are left out.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the folder is there and cannot be read.
    pub fn models(&self) -> Result<Vec<Stored>, StoreError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io("read", &self.folder)(error)),
        };
        let mut models: Vec<Stored> = entries.filter_map(|entry| stored(entry.ok()?.path())).collect();
        let rank = |model: &Stored| {
            let at = model.entry.and_then(|entry| CATALOG.iter().position(|other| other == entry));
            at.unwrap_or(CATALOG.len())
        };
        models.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name)));
        Ok(models)
    }

    /// The model of that name.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotPulled`] if it is in the catalog and not here, [`StoreError::Unknown`] if
    /// it is in neither.
    pub fn find(&self, name: &str) -> Result<Stored, StoreError> {
        let models = self.models()?;
        let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
        match models.into_iter().find(|model| model.name == name) {
            Some(model) => Ok(model),
            None if official(name).is_ok() => Err(StoreError::NotPulled { name: name.to_owned() }),
            None => Err(StoreError::unknown(name, names.iter().map(String::as_str))),
        }
    }

    /// The most accurate model of the catalog that is here and fits the sandbox: the last one in
    /// the order of [`CATALOG`]. Files put there by hand are only used by name.
    ///
    /// # Errors
    ///
    /// See [`Store::models`].
    pub fn best(&self) -> Result<Option<Stored>, StoreError> {
        let whole =
            |model: &Stored| model.entry.is_some_and(|entry| entry.fits() && model.bytes == entry.bytes);
        Ok(self.models()?.into_iter().rfind(whole))
    }

    /// Reads a model once and checks it: its form, and its content against the catalog's SHA-256
    /// and against the record of its pull. Needs no network.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn verify(&self, model: &Stored) -> Result<Verified, StoreError> {
        let examined = content::examine(&model.name, &model.path)?;
        if let Some(entry) = model.entry {
            content::compare(&model.name, &entry.sha256, &examined.sha256, content::Remedy::PullAgain)?;
        }
        let record = Record::read(&model.path);
        let unchanged = |record: &Record| record.blake3 == examined.checked.hash.to_hex().as_str();
        if record.as_ref().is_some_and(|record| !unchanged(record)) {
            return Err(StoreError::Changed { name: model.name.clone() });
        }
        Ok(match (model.entry, record) {
            (Some(_), _) => Verified::Catalog,
            (None, Some(_)) => Verified::Record,
            (None, None) => Verified::FormOnly,
        })
    }

    /// Removes a model, its record, and its partial download.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the file cannot be removed.
    pub fn remove(&self, model: &Stored) -> Result<(), StoreError> {
        fs::remove_file(&model.path).map_err(StoreError::io("remove", &model.path))?;
        let beside = [Record::path, part::path, part::import_path].map(|beside| beside(&model.path));
        for beside in beside {
            match fs::remove_file(&beside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &beside)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reference that a model was verified against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verified {
    /// The SHA-256 in hearken's own source.
    Catalog,
    /// The record made when it was pulled.
    Record,
    /// No reference: it was put there by hand, and only its form could be checked.
    FormOnly,
}

/// The model that a file of the store is, if it is one.
fn stored(path: PathBuf) -> Option<Stored> {
    if path.extension()? != EXTENSION {
        return None;
    }
    let stem = path.file_stem()?.to_str()?;
    let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
    let named = stem.strip_prefix("ggml-").unwrap_or(stem);
    // `base.bin` is a user's own file, and must not pass for the official base.
    let entry = if named == stem { None } else { official(named).ok() };
    let name =
        if named != stem || official(stem).is_err() { named } else { return foreign(path, metadata.len()) };
    Some(Stored { name: name.to_owned(), bytes: metadata.len(), entry, path })
}

/// A file whose plain name would be one of the catalog's: it goes by its whole name.
fn foreign(path: PathBuf, bytes: u64) -> Option<Stored> {
    let name = path.file_name()?.to_str()?.to_owned();
    Some(Stored { name, path, bytes, entry: None })
}
