//! The engine: the sandbox's compiler, the recognizer threads and the cache, shared by everything a
//! process does.

mod chunk;
pub(crate) mod guard;
mod intake;
mod load;
mod padding;
mod score;
mod transcribe;
#[cfg(feature = "service")]
mod unattended;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

pub use load::{Model, ModelSource};
pub use score::{Sandbox, Score, Timing};
pub use transcribe::{Lost, Progress, TranscribeOptions};

use parking_lot::Mutex;

use crate::compute::{Compute, Computing, Precision};
use crate::error::Error;
use crate::executor::{Executor, Purpose, Share};
use crate::sandbox::{Cache, Code, Key, Limits, Runtime};

/// The guest that this crate carries.
static GUEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hearken-guest.wasm"));

/// Maximum size of the cache; beyond it the least recently used models are removed. Room for
/// several large models.
const DEFAULT_CACHE_BYTES: u64 = 16 << 30;

/// Runs recognizers. Cheap to clone; the threads end when the last clone and the last [`Model`] are
/// gone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

pub(crate) struct Inner {
    runtime: Runtime,
    executor: Executor,
    /// Share of all work that names none.
    share: Share,
    cache: Option<Cache>,
    guest: Vec<u8>,
    guest_hash: blake3::Hash,
    /// The guest, compiled at first use.
    code: OnceLock<Code>,
    compute: Compute,
    /// Models get a cache of padding.
    padding: bool,
    prepare: Option<Box<dyn Fn(Preparation) + Send + Sync>>,
    /// Models in use, so that one that is loaded twice is held once.
    loaded: Mutex<HashMap<Key, Weak<load::Inner>>>,
}

/// A step in getting a model ready that takes longer than a blink.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preparation {
    /// The model was not used on this machine before: it is loaded in the sandbox and compiled,
    /// once.
    Started {
        /// Path of the file, or a name that stands for it.
        name: String,
    },
    /// The model is ready.
    Finished,
    /// The model is ready, but could not be kept for next time.
    NotKept {
        /// Why.
        reason: String,
    },
}

/// Settings of an [`Engine`].
#[derive(Default)]
pub struct EngineBuilder {
    limits: Limits,
    threads: Option<usize>,
    cache: CacheSetting,
    cache_bytes: Option<u64>,
    guest: Option<Vec<u8>>,
    compute: Compute,
    no_padding: bool,
    prepare: Option<Box<dyn Fn(Preparation) + Send + Sync>>,
}

#[derive(Default)]
enum CacheSetting {
    #[default]
    User,
    At(PathBuf),
    Off,
}

impl Engine {
    /// An engine with the default settings: a thread for each core, the user's cache.
    ///
    /// # Errors
    ///
    /// As [`EngineBuilder::build`].
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Settings to start from.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Folder of prepared models unless [`EngineBuilder::cache_dir`] names another one: `hearken`
    /// in the user's cache folder, or the value of `HEARKEN_CACHE_DIR`. `None` where the user has
    /// none.
    pub fn user_cache_dir() -> Option<PathBuf> {
        user_cache()
    }

    /// Number of recognizer threads.
    pub fn threads(&self) -> usize {
        self.0.executor.threads()
    }

    /// Part of a core that a recognizer thread gets while it has something to do, above 0, at most
    /// 1: less where other programs want the same cores.
    #[cfg(feature = "service")]
    pub fn pace(&self) -> f64 {
        self.0.executor.pace()
    }

    pub(crate) fn executor(&self) -> &Executor {
        &self.0.executor
    }

    pub(crate) fn common_share(&self) -> &Share {
        &self.0.share
    }

    /// Compute mode.
    pub fn compute(&self) -> Compute {
        self.0.compute
    }

    /// Names the instruction sets that multiply: for people and for comparing machines.
    pub fn describe_compute(&self) -> String {
        match self.0.runtime.computing() {
            Some(computing) => format!("{}: {}", self.compute(), computing.describe()),
            None => format!("{}: WebAssembly", self.compute()),
        }
    }

    /// Limits of each guest.
    pub fn limits(&self) -> &Limits {
        self.0.runtime.limits()
    }

    /// Folder of prepared models, their size in bytes and their number; `None` without a cache.
    pub fn cache_usage(&self) -> Option<(PathBuf, u64, usize)> {
        let cache = self.0.cache.as_ref()?;
        let (bytes, count) = cache.usage().unwrap_or_default();
        Some((cache.folder().to_owned(), bytes, count))
    }
}

impl EngineBuilder {
    /// Limits of each guest.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Recognizer threads, at least 1. Default: as many as cores.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Keeps prepared models in this folder instead of `hearken` in the user's cache folder. It
    /// must belong to the user alone, because its content is executed.
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = CacheSetting::At(folder.into());
        self
    }

    /// Keeps no prepared models: each load takes seconds.
    pub fn no_cache(mut self) -> Self {
        self.cache = CacheSetting::Off;
        self
    }

    /// Bytes that the cache may take on disk. Default: 16 GiB.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = Some(bytes);
        self
    }

    /// Runs this guest module instead of the one that the crate carries. It must have the same ABI
    /// version.
    #[doc(hidden)]
    pub fn guest(mut self, module: impl Into<Vec<u8>>) -> Self {
        self.guest = Some(module.into());
        self
    }

    /// Sets the compute mode. Default: [`Compute::Fast`].
    pub fn compute(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// Keeps a cache of the padding behind short windows in each model's snapshot, so that the
    /// encoder computes only the positions that hold audio (docs/short-context.md). It takes
    /// memory, shared by all of the model's sandboxes: some 70 MB for tiny, 140 MB for base.
    /// Default: yes. Without it each window costs as much as one of 30 s.
    pub fn padding(mut self, padding: bool) -> Self {
        self.no_padding = !padding;
        self
    }

    /// Sets a hook that is called when a model takes long to get ready. It runs on the thread that
    /// loads.
    pub fn on_prepare(mut self, hook: impl Fn(Preparation) + Send + Sync + 'static) -> Self {
        self.prepare = Some(Box::new(hook));
        self
    }

    /// Starts the threads and opens the cache.
    ///
    /// # Errors
    ///
    /// When the machine cannot run WebAssembly, a thread cannot be started, or the cache folder
    /// cannot be used.
    pub fn build(self) -> Result<Engine, Error> {
        let threads = match self.threads {
            Some(threads) => threads.max(1),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let cache = match self.cache {
            CacheSetting::Off => None,
            CacheSetting::At(folder) => Some(folder),
            CacheSetting::User => user_cache(),
        };
        let cache = cache
            .map(|folder| {
                Cache::open(&folder, self.cache_bytes.unwrap_or(DEFAULT_CACHE_BYTES)).map_err(|cause| {
                    let what = format!(
                        "cannot use {} for prepared models, name another folder with HEARKEN_CACHE_DIR",
                        folder.display()
                    );
                    Error::System { what, cause }
                })
            })
            .transpose()?;
        let computing = match self.compute {
            Compute::Fast => Some(Precision::Fast),
            Compute::Exact => Some(Precision::Exact),
            Compute::Guest | Compute::Stock => None,
        };
        let computing = computing
            .map(|precision| Computing::start(precision, threads - 1))
            .transpose()
            .map_err(|cause| Error::System { what: "cannot start a thread".to_owned(), cause })?;
        let guest = self.guest.unwrap_or_else(|| GUEST.to_vec());
        let runtime = Runtime::new(self.limits, computing)?;
        let executor = Executor::start(Purpose::Recognition, threads, runtime.nudge())
            .map_err(|cause| Error::System { what: "cannot start a thread".to_owned(), cause })?;
        Ok(Engine(Arc::new(Inner {
            runtime,
            executor,
            share: Share::default(),
            cache,
            guest_hash: blake3::hash(&guest),
            guest,
            code: OnceLock::new(),
            compute: self.compute,
            padding: !self.no_padding,
            prepare: self.prepare,
            loaded: Mutex::default(),
        })))
    }
}

/// `hearken` in the user's cache folder, or the value of `HEARKEN_CACHE_DIR`.
fn user_cache() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    if let Some(folder) = std::env::var_os("HEARKEN_CACHE_DIR") {
        return Some(folder.into());
    }
    etcetera::choose_base_strategy().ok().map(|strategy| strategy.cache_dir().join("hearken"))
}

/// The user's cache, for code that is compiled without an engine. `None` where it cannot be used,
/// which costs the time to compile, once in each process.
pub(crate) fn usable_cache() -> Option<Cache> {
    Cache::open(&user_cache()?, DEFAULT_CACHE_BYTES).ok()
}

/// The guest that this crate carries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuestInfo {
    /// Version of the boundary between host and guest.
    pub abi: u32,
    /// BLAKE3 of the module, shortened to 16 hexadecimal digits.
    pub hash: String,
}

/// Describes the guest that this crate carries.
pub fn guest_info() -> GuestInfo {
    GuestInfo { abi: hearken_proto::abi::VERSION, hash: blake3::hash(GUEST).to_hex()[..16].to_owned() }
}

/// The guest that this crate carries, as a WebAssembly module.
pub fn guest() -> &'static [u8] {
    GUEST
}

impl Inner {
    fn tell(&self, preparation: Preparation) {
        if let Some(hook) = &self.prepare {
            hook(preparation);
        }
    }
}
