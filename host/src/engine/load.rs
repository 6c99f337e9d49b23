//! Loading: from a model file to a template that makes sandboxes.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use hearken_proto::window::STRIDES;
use hearken_proto::{Kernels, LoadOptions};
use parking_lot::Mutex;

use super::{Engine, Preparation, padding};
use crate::compute::Compute;
use crate::error::Error;
use crate::executor::{Class, Share, Ticket};
use crate::meter::Meter;
use crate::model::{self, Checked, Known};
use crate::place::{Counted, Here, Job, ModelFacts, Opened, Place, PlaceError};
use crate::sandbox::{Code, Image, Instance, Key, SandboxError, State, Template};
use crate::{SAMPLE_RATE, language, text};

/// Source of a model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ModelSource {
    /// The small demonstration model inside this crate: English digits and commands, nothing else.
    Embedded,
    /// A ggml Whisper model file (`ggml-base.bin` and its like).
    File(PathBuf),
    /// The bytes of such a file.
    Bytes(Arc<[u8]>),
}

/// A model, ready to recognize. Cheap to clone; all clones and all their sandboxes share one copy
/// of the weights.
#[derive(Clone)]
pub struct Model {
    pub(super) engine: Engine,
    pub(super) inner: Arc<Inner>,
    /// Share whose sandboxes these are; `None` for the common one.
    share: Option<Share>,
}

pub(crate) struct Inner {
    name: String,
    checked: Checked,
    /// Version of whisper.cpp inside the guest.
    whisper_cpp: String,
    meter: Arc<Meter>,
    home: Home,
}

/// The place of the sandboxes.
enum Home {
    Here(Here),
    Elsewhere(Counted),
}

impl Engine {
    /// Checks a model file, and gets it ready.
    ///
    /// The first time on a machine that takes seconds: the guest is compiled, once for all models,
    /// and parses the file inside the sandbox. After that both come from the cache.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is not a model that whisper.cpp loads, or needs more memory
    /// than [`Limits`](crate::sandbox::Limits) allow.
    pub fn load(&self, source: &ModelSource) -> Result<Model, Error> {
        let (name, opened, len) = source.open()?;
        let checked =
            model::check(opened, len).map_err(|cause| Error::Model { name: name.clone(), cause })?;
        let (needs, limit) = (checked.header.guest_memory(), self.limits().memory_bytes);
        if needs > limit {
            return Err(Error::ModelTooLarge { name, needs, limit });
        }
        let known = model::known(&checked.hash);
        let options = LoadOptions {
            alignment_heads: known.map_or_else(Vec::new, |known| known.alignment_heads.to_vec()),
            window: known.and_then(|known| known.window).unwrap_or(0),
            kernels: match self.0.compute {
                Compute::Fast | Compute::Exact => Kernels::Host,
                Compute::Guest => Kernels::Guest,
                Compute::Stock => Kernels::Stock,
            },
            padding: self.0.padding && self.0.compute != Compute::Stock,
        };
        let key = self.key(&checked, &options);

        // Held while the model is prepared: another load of the same model waits for this one.
        let mut loaded = self.0.loaded.lock();
        loaded.retain(|_, model| model.strong_count() > 0);
        if let Some(inner) = loaded.get(&key).and_then(std::sync::Weak::upgrade) {
            return Ok(Model { engine: self.clone(), inner, share: None });
        }
        let cached = self.0.cache.as_ref().and_then(|cache| cache.get::<State>(&key));
        let template = match cached {
            Some((image, state)) => {
                self.code().and_then(|code| Ok(self.0.runtime.template(code, image, state)?)).ok()
            }
            None => None,
        };
        let template = match template {
            Some(template) => template,
            // Stale: the state of another guest under the same key is impossible, but is no reason
            // to fail.
            None => self.prepare(&name, source, &checked, &options, &key)?,
        };
        let meter = Arc::<Meter>::default();
        let inner = Arc::new(Inner {
            name,
            checked,
            whisper_cpp: template.info().whisper_cpp.clone(),
            meter: Arc::clone(&meter),
            home: Home::Here(Here { engine: self.clone(), template: Arc::new(template), meter }),
        });
        loaded.insert(key, Arc::downgrade(&inner));
        Ok(Model { engine: self.clone(), inner, share: None })
    }

    /// A model whose weights are elsewhere: `place` runs its jobs, and has its sandboxes. Of this
    /// process it takes no more memory than its facts. Each call makes another model, with counters
    /// of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Place`] if the facts cannot be those of a model.
    pub fn elsewhere(&self, facts: &ModelFacts, place: Arc<dyn Place>) -> Result<Model, Error> {
        let checked = facts.check()?;
        let meter = Arc::<Meter>::default();
        if let Some(cost) = facts.cost_of_speech.filter(|cost| (0.0..1e6).contains(cost)) {
            // Another machine has measured it already.
            meter.learn(std::time::Duration::from_secs_f64(cost), 1);
            meter.spoken(SAMPLE_RATE.into(), 1);
        }
        let inner = Arc::new(Inner {
            name: facts.short_name(),
            checked,
            whisper_cpp: text::sanitize(&facts.whisper_cpp).chars().take(32).collect(),
            meter: Arc::clone(&meter),
            home: Home::Elsewhere(Counted { place, meter }),
        });
        Ok(Model { engine: self.clone(), inner, share: None })
    }

    /// The guest's code, compiled at first use.
    fn code(&self) -> Result<&Code, Error> {
        if let Some(code) = self.0.code.get() {
            return Ok(code);
        }
        // A failure is not kept: a lack of memory or descriptors passes.
        let code = self.0.runtime.code(&self.0.guest, self.0.cache.as_ref())?;
        Ok(self.0.code.get_or_init(|| code))
    }

    /// Cache key: the hash of everything that a snapshot depends on.
    fn key(&self, checked: &Checked, options: &LoadOptions) -> Key {
        let mut hasher = blake3::Hasher::new();
        hasher.update(checked.hash.as_bytes());
        hasher.update(self.0.guest_hash.as_bytes());
        hasher.update(&self.0.runtime.compatibility().to_le_bytes());
        hasher.update(&hearken_proto::encode(options));
        hasher.update(padding::COMPRESSED);
        hasher.finalize()
    }

    /// Makes the snapshot, and keeps it.
    fn prepare(
        &self,
        name: &str,
        source: &ModelSource,
        checked: &Checked,
        options: &LoadOptions,
        key: &Key,
    ) -> Result<Template, Error> {
        self.0.tell(Preparation::Started { name: name.to_owned() });
        let (_, opened, _) = source.open()?;
        // The file is read a second time, so it may have changed: the guest's bytes must be the
        // checked ones.
        let hasher = Arc::new(Mutex::new(blake3::Hasher::new()));
        let reader = Hashed { inner: opened, hasher: Arc::clone(&hasher) };
        let recording = padding::recording()
            .map_err(|cause| Error::System { what: "cannot unpack a recording".to_owned(), cause })?;
        let code = self.code()?;
        let snapshot = self.0.runtime.snapshot(code, Box::new(reader), options, &recording);
        let seen = hasher.lock().finalize();
        let changed = match &snapshot {
            Ok(_) => seen != checked.hash,
            // The guest may have stopped anywhere: a second reading shows if that was the file's
            // fault.
            Err(_) => {
                let (_, again, len) = source.open()?;
                model::check(again, len).map(|again| again.hash).ok() != Some(checked.hash)
            }
        };
        if changed {
            return Err(Error::ModelChanged { name: name.to_owned() });
        }
        let mut snapshot = snapshot?;
        let (info, header) = (&mut snapshot.state.info, &checked.header);
        let understood = (info.n_vocab, info.n_audio_ctx, info.multilingual);
        if understood != (header.dims().n_vocab, header.dims().n_audio_ctx, header.multilingual()) {
            return Err(
                SandboxError::Misbehaved("it describes another model than it was given".to_owned()).into()
            );
        }
        info.whisper_cpp = text::sanitize(&info.whisper_cpp).chars().take(32).collect();
        let image = Image::new(snapshot.memory()).map_err(SandboxError::Image)?;
        let template = self.0.runtime.template(code, image, snapshot.state.clone())?;
        template.try_out()?;
        let kept = self.0.cache.as_ref().map(|cache| cache.put(key, snapshot.memory(), &snapshot.state));
        self.0.tell(match kept {
            Some(Err(error)) => Preparation::NotKept { reason: error.to_string() },
            _ => Preparation::Finished,
        });
        Ok(template)
    }
}

impl ModelSource {
    /// Name, bytes, and number of bytes.
    fn open(&self) -> Result<(String, Box<dyn Read + Send>, u64), Error> {
        match self {
            Self::Embedded => {
                let name = "the embedded model".to_owned();
                let bytes = model::embedded()
                    .map_err(|cause| Error::System { what: format!("cannot unpack {name}"), cause })?;
                let len = bytes.len() as u64;
                Ok((name, Box::new(Cursor::new(bytes)), len))
            }
            Self::File(path) => {
                let read = || -> io::Result<_> {
                    // Asked before it is opened, since opening a pipe waits for its writer.
                    let metadata = std::fs::metadata(path)?;
                    if metadata.is_dir() {
                        return Err(io::ErrorKind::IsADirectory.into());
                    }
                    if !metadata.is_file() {
                        // It is read twice, and its length must be known before the second time.
                        return Err(io::Error::other("it is not a regular file; copy it into one first"));
                    }
                    let file = File::open(path)?;
                    let metadata = file.metadata()?;
                    Ok((file, metadata.len()))
                };
                let (file, len) = read().map_err(|cause| Error::ModelRead { path: path.clone(), cause })?;
                Ok((path.display().to_string(), Box::new(BufReader::with_capacity(1 << 20, file)), len))
            }
            Self::Bytes(bytes) => {
                let len = bytes.len() as u64;
                Ok(("the model in memory".to_owned(), Box::new(Cursor::new(Arc::clone(bytes))), len))
            }
        }
    }
}

/// Reader that hashes the bytes.
struct Hashed {
    inner: Box<dyn Read + Send>,
    hasher: Arc<Mutex<blake3::Hasher>>,
}

impl Read for Hashed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.hasher.lock().update(&out[..count]);
        Ok(count)
    }
}

impl Model {
    /// The engine that loaded it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Path of the file, or a name that stands for it.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Header of the file, and its hash.
    pub fn checked(&self) -> &Checked {
        &self.inner.checked
    }

    /// Entry in the table of known models.
    pub fn known(&self) -> Option<&'static Known> {
        model::known(&self.inner.checked.hash)
    }

    /// Version of whisper.cpp inside the guest.
    pub fn whisper_cpp(&self) -> &str {
        &self.inner.whisper_cpp
    }

    /// Returns true if it knows other languages than English.
    pub fn multilingual(&self) -> bool {
        self.inner.checked.header.multilingual()
    }

    /// Its language (ISO 639-1) if it knows only one: English.
    pub fn only_language(&self) -> Option<&'static str> {
        language::only(self.multilingual())
    }

    /// Maximum audio of one decode [samples at 16 kHz]. The guest has reported the same as the
    /// file.
    pub fn context_samples(&self) -> usize {
        self.inner.checked.header.context_samples() as usize
    }

    /// Longest piece of a recording that is decoded at once [samples at 16 kHz]: 29 s, or the
    /// context if that is shorter. Of 30 s whisper.cpp skips the part behind its last timestamp; of
    /// less it decodes that, too.
    pub fn chunk_samples(&self) -> usize {
        self.context_samples().min(29 * SAMPLE_RATE as usize)
    }

    /// Longest window of a running utterance [samples at 16 kHz].
    pub(crate) fn window_samples(&self) -> usize {
        let known = self.known().and_then(|known| known.window).map_or(usize::MAX, |window| window as usize);
        self.context_samples().min(known)
    }

    /// Audio of a running utterance that is decoded at once ([`STRIDES`]) [samples at 16 kHz].
    pub(crate) fn stride_samples(&self) -> usize {
        (self.window_samples() / STRIDES).max(1)
    }

    /// Number of windows that are decoded for an utterance of `samples` samples without partial
    /// texts. Of each window after a slide about two fifths are new.
    pub(crate) fn windows(&self, samples: u64) -> u64 {
        let stride = self.stride_samples() as u64;
        1 + samples.saturating_sub(STRIDES as u64 * stride).div_ceil(2 * stride)
    }

    /// The first token that is not text: `<|endoftext|>`, in English and in multilingual
    /// vocabularies.
    pub(super) fn first_special_token(&self) -> u32 {
        if self.multilingual() { 50_257 } else { 50_256 }
    }

    /// Bytes of the weights that the host keeps packed beside the snapshot, for all sandboxes of
    /// this model together; 0 where the weights are elsewhere.
    pub fn packed_bytes(&self) -> usize {
        self.here().map_or(0, |here| here.template.packed_bytes())
    }

    /// Bytes of memory of the snapshot, which all sandboxes of this model share; 0 where the
    /// weights are elsewhere.
    pub fn snapshot_bytes(&self) -> u64 {
        self.here().map_or(0, |here| here.template.image_bytes())
    }

    /// Returns the same model with its sandboxes charged to this share.
    pub(crate) fn billed(mut self, share: Option<&Share>) -> Self {
        self.share = share.cloned().or(self.share);
        self
    }

    /// Counters of all sandboxes of this model.
    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.inner.meter
    }

    /// Counts partial texts that were due and not made.
    pub(crate) fn joined(&self, count: u64) {
        self.inner.meter.joined(count);
        self.share().meter().joined(count);
    }

    fn share(&self) -> &Share {
        self.share.as_ref().unwrap_or(self.engine.common_share())
    }

    /// The place where its jobs run, and its sandboxes are.
    pub fn place(&self) -> &dyn Place {
        match &self.inner.home {
            Home::Here(here) => here,
            Home::Elsewhere(counted) => counted,
        }
    }

    /// Has a job done at its place, for its share.
    pub(crate) fn submit(&self, class: Class, deadline: Instant, job: Job) -> Ticket {
        self.place().submit(self.share(), class, deadline, job)
    }

    /// A fresh sandbox at its place, for its share.
    pub(crate) async fn recognizer(&self) -> Result<Opened, Error> {
        self.place().open(self.share()).await
    }

    /// A fresh sandbox in this process.
    pub(crate) async fn instantiate(&self) -> Result<Instance, Error> {
        let here = self.here().ok_or_else(|| {
            let reason = "its weights are on other machines; ask one that has them".to_owned();
            PlaceError::Unavailable(reason)
        })?;
        here.instantiate(self.share()).await
    }

    fn here(&self) -> Option<&Here> {
        match &self.inner.home {
            Home::Here(here) => Some(here),
            Home::Elsewhere(_) => None,
        }
    }
}
