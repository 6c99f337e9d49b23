//! Models of other formats, turned into ggml files in the store.
//!
//! An [`Importer`] takes other formats: a folder of Hugging Face's transformers, a model of
//! CTranslate2 (faster-whisper), or a ggml file. It finds all tensors and checks their shapes
//! before it writes anything, converts them a few at a time, and quantizes them in the sandbox if
//! that is requested. The output is checked as any model is, and gets its name only then.
//!
//! ```no_run
//! use hearken::store::Store;
//! use hearken::store::import::{Importer, Quantization};
//!
//! let store = Store::open()?;
//! let importer = Importer::new(&store).quantize(Quantization::Q8_0);
//! let model = importer.import("whisper-small-de".as_ref(), |progress| println!("{progress:?}"))?;
//! println!("{} lies in {}", model.name, model.path.display());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ctranslate2;
mod draft;
mod error;
#[cfg(any(test, fuzzing))]
mod fixtures;
#[cfg(fuzzing)]
pub mod fuzz;
mod ggml;
mod hugging_face;
mod input;
mod mel;
mod plan;
mod quantization;
mod source;
mod tensor;
#[cfg(test)]
mod tests;
mod vocabulary;
mod weights;
mod write;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use error::ImportError;
pub use quantization::{Quantization, UnknownQuantization};

use draft::{Draft, NameLock};
use plan::Plan;
use source::Source;
use write::Output;

use super::content::{self, Examined};
use super::{CATALOG, Entry, Record, Store, StoreError, Stored, disk_space, official};
use crate::sandbox::{Limits, Quantizer, Runtime};

/// Memory of the sandbox that quantizes, in bytes: the guest, and 64 KiB of weights.
const SANDBOX: u64 = 256 << 20;
/// Bytes that are gathered before they are written.
const GATHERED: usize = 1 << 20;

/// Progress of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportProgress {
    /// Another process is importing or pulling a model of that name, and is waited for.
    Waiting,
    /// The sandbox that quantizes is being compiled.
    Preparing,
    /// Number of bytes written.
    Written {
        /// Bytes.
        bytes: u64,
        /// Bytes of the whole file.
        total: u64,
    },
    /// The file is written and is being checked.
    Checking,
    /// The same model was in the store already.
    Here,
}

/// Imports models into a store.
///
/// A file that is being written lies beside the models as `FILE.import`, locked. It takes its name
/// only when hearken's own checker accepts it; otherwise it is removed, and the store is as it was.
#[derive(Debug, Clone)]
pub struct Importer<'a> {
    store: &'a Store,
    name: Option<String>,
    quantize: Option<Quantization>,
    vocabulary: Option<PathBuf>,
    force: bool,
    interrupt: Option<Arc<AtomicBool>>,
    guest: Option<Vec<u8>>,
}

impl<'a> Importer<'a> {
    /// Imports into this store.
    pub fn new(store: &'a Store) -> Self {
        Self {
            store,
            name: None,
            quantize: None,
            vocabulary: None,
            force: false,
            interrupt: None,
            guest: None,
        }
    }

    /// Calls the model so. Default: as its folder, or a ggml file without `ggml-` and `.bin`. What
    /// turns out to be an official model goes by its official name in any case.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Quantizes the large weights. Default: they are in half precision, and ggml files stay as
    /// they are.
    #[must_use]
    pub fn quantize(self, quantization: Quantization) -> Self {
        Self { quantize: Some(quantization), ..self }
    }

    /// Takes the vocabulary from this file. Default: from the folder of the weights. Ggml files
    /// have their own.
    #[must_use]
    pub fn vocabulary(self, file: impl Into<PathBuf>) -> Self {
        Self { vocabulary: Some(file.into()), ..self }
    }

    /// Replaces another model of that name.
    #[must_use]
    pub fn force(self, force: bool) -> Self {
        Self { force, ..self }
    }

    /// Ends the import soon after the flag is set.
    #[must_use]
    pub fn interrupt(self, flag: Arc<AtomicBool>) -> Self {
        Self { interrupt: Some(flag), ..self }
    }

    /// Quantizes in this guest module instead of the one that the crate carries. It must have the
    /// same ABI version.
    #[must_use]
    pub fn guest(self, module: impl Into<Vec<u8>>) -> Self {
        Self { guest: Some(module.into()), ..self }
    }

    /// Imports a folder or a file, or finds that the store has the same model already.
    ///
    /// # Errors
    ///
    /// Before anything is written: when it is of no known format, damaged, incomplete, no Whisper,
    /// or too large for the sandbox or the disk. After: when a weight is no finite number or does
    /// not fit half precision, or another model has the name.
    pub fn import(
        &self,
        path: &Path,
        mut progress: impl FnMut(ImportProgress),
    ) -> Result<Stored, StoreError> {
        let source = Source::find(path)?;
        let name = match &self.name {
            Some(name) => {
                named(name)?;
                name.clone()
            }
            None => match self.quantize {
                Some(quantization) => format!("{}-{quantization}", source.name()),
                None => source.name(),
            },
        };
        let plan = Plan::new(&source, self.vocabulary.as_deref(), self.quantize)?;
        let folder = &self.store.folder;
        fs::create_dir_all(folder).map_err(StoreError::io("write", folder))?;
        let model = folder.join(file_name(&name));
        let mut draft = Draft::lock(&model, self.waiting(&mut progress))?;
        disk_space::expect(folder, &name, plan.bytes())?;
        self.write(&plan, &name, &mut draft, &mut progress)?;

        progress(ImportProgress::Checking);
        let examined = self.examine(path, &plan, &mut draft)?;
        self.go_on()?;
        self.publish(path, name, draft, examined, &mut progress)
    }

    /// Writes the whole file.
    fn write(
        &self,
        plan: &Plan,
        name: &str,
        draft: &mut Draft,
        progress: &mut impl FnMut(ImportProgress),
    ) -> Result<(), StoreError> {
        let quantizer = match (plan, self.quantize) {
            (Plan::Make(_), Some(quantization)) => {
                progress(ImportProgress::Preparing);
                Some((quantization, self.quantizer().map_err(ImportError::Quantize)?))
            }
            _ => None,
        };
        let total = plan.bytes();
        let (mut written, mut gathered) = (0, Vec::with_capacity(2 * GATHERED));
        let mut flush = |gathered: &mut Vec<u8>| {
            self.go_on()?;
            let path = draft.path().to_owned();
            draft.append(gathered).map_err(|error| self.unwritable(name, &path, total - written, error))?;
            written += gathered.len() as u64;
            gathered.clear();
            progress(ImportProgress::Written { bytes: written, total });
            Ok(())
        };
        let mut file = |bytes: &[u8]| {
            gathered.extend_from_slice(bytes);
            if gathered.len() >= GATHERED { flush(&mut gathered) } else { Ok(()) }
        };
        Output { file: &mut file, quantizer }.write(plan)?;
        flush(&mut gathered)
    }

    /// Checks the file. One in 5 bits that is no official model gets the header of those that are
    /// older than ggml's version 2, if it is one of them with it.
    fn examine(&self, path: &Path, plan: &Plan, draft: &mut Draft) -> Result<Examined, StoreError> {
        let name = path.display().to_string();
        let examined = content::examine(&name, draft.path())?;
        let older = match (plan, self.quantize) {
            (Plan::Make(make), Some(quantization)) => make.fields_before_version_2(quantization),
            _ => None,
        };
        let Some((fields, older)) = older.filter(|_| officially(&examined).is_none()) else {
            return Ok(examined);
        };
        let mut restate = |fields: [i32; 11]| {
            let unwritable = StoreError::io("write", draft.path());
            draft.overwrite(write::FTYPE_AT, &fields[10].to_le_bytes()).map_err(unwritable)?;
            content::examine(&name, draft.path())
        };
        let restated = restate(older)?;
        if officially(&restated).is_some() { Ok(restated) } else { restate(fields) }
    }

    fn quantizer(&self) -> Result<Quantizer, crate::sandbox::SandboxError> {
        let runtime = Runtime::new(Limits { memory_bytes: SANDBOX, ..Limits::default() }, None)?;
        let guest = self.guest.as_deref().unwrap_or(crate::engine::guest());
        runtime.quantizer(&runtime.code(guest, crate::engine::usable_cache().as_ref())?)
    }

    /// Gives the file its name: the official one if it is an official model.
    fn publish(
        &self,
        path: &Path,
        mut name: String,
        draft: Draft,
        examined: Examined,
        progress: &mut impl FnMut(ImportProgress),
    ) -> Result<Stored, StoreError> {
        let entry = officially(&examined);
        if let Some(entry) = entry {
            name = entry.name().to_owned();
        } else if official(&name).is_ok() {
            if self.name.is_some() {
                return Err(ImportError::NotOfficial { name }.into());
            }
            name += "-imported";
        }
        let model = self.store.folder.join(file_name(&name));
        let unwritable = |error| StoreError::io("write", &model)(error);
        let lock = NameLock::take(&model, self.waiting(progress))?;
        let stored = Stored { name: name.clone(), path: model.clone(), bytes: examined.checked.len, entry };
        match content::sha256(&model) {
            Ok(here) if here == examined.sha256 => {
                progress(ImportProgress::Here);
                lock.done();
                return Ok(stored);
            }
            Err(StoreError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {}
            // What is damaged or cannot be read is another model, too.
            _ if !self.force => return Err(ImportError::NameTaken { name }.into()),
            _ => {}
        }
        let record = Record {
            name,
            source: path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string(),
            bytes: examined.checked.len,
            sha256: examined.sha256,
            blake3: examined.checked.hash.to_hex().to_string(),
        };
        // An old record beside a new file would call it changed.
        let _ = fs::remove_file(Record::path(&model));
        draft.publish(&model).map_err(unwritable)?;
        record.write(&model)?;
        lock.done();
        Ok(stored)
    }

    /// Tells once that another process is waited for, and ends that when the import is interrupted.
    fn waiting(&self, progress: &mut impl FnMut(ImportProgress)) -> impl FnMut() -> Result<(), StoreError> {
        let mut told = false;
        move || {
            if !std::mem::replace(&mut told, true) {
                progress(ImportProgress::Waiting);
            }
            self.go_on()
        }
    }

    /// Fails if the import was interrupted.
    fn go_on(&self) -> Result<(), StoreError> {
        match &self.interrupt {
            Some(interrupt) if interrupt.load(Ordering::Relaxed) => Err(ImportError::Interrupted.into()),
            _ => Ok(()),
        }
    }

    /// Error of a write: a full disk says how much is missing.
    fn unwritable(&self, name: &str, path: &Path, needs: u64, error: io::Error) -> StoreError {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        if !matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
            return StoreError::io("write", path)(error);
        }
        let (name, folder) = (name.to_owned(), self.store.folder.clone());
        // A quota or a limit, where the disk itself has room.
        let full = disk_space::expect(&folder, &name, needs);
        full.err().unwrap_or(StoreError::NoSpace { name, folder, needs, free: 0 })
    }
}

/// The official model that a file is, if it is one.
fn officially(examined: &Examined) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.sha256 == examined.sha256)
}

/// Fails unless a model may have that name.
fn named(name: &str) -> Result<(), StoreError> {
    Entry::new(name, "", 0, &"0".repeat(64)).map(|_| ())
}

fn file_name(name: &str) -> String {
    format!("ggml-{name}.bin")
}
