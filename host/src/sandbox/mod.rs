//! The sandbox: the only place that names wasmtime.
//!
//! A `Runtime` compiles a guest's `Code`, once for all models. `Runtime::snapshot` runs it until a
//! model is loaded and keeps its state; a `Template` makes `Instance`s in that state in a fraction
//! of a millisecond, copy on write. An instance hears one utterance and is dropped.
//!
//! Everything that comes out of an instance is hostile: addresses and lengths are checked in `u64`,
//! events are counted and capped, a trap ends the instance and nothing else.

mod budget;
mod cache;
mod code;
mod compute;
mod error;
mod image;
mod imports;
mod instance;
mod limits;
pub(crate) mod media;
mod memory;
#[cfg(feature = "import")]
mod quantizer;
mod ring;
mod snapshot;
mod ticker;
mod wasi;

use std::sync::Arc;

pub(crate) use cache::{Cache, Key};
pub(crate) use code::Code;
pub use error::{SandboxError, TrapKind};
pub(crate) use image::Image;
pub(crate) use instance::{Instance, Template};
pub use limits::Limits;
#[cfg(feature = "import")]
pub(crate) use quantizer::Quantizer;
pub(crate) use snapshot::State;

use crate::compute::Computing;
use ticker::Ticker;

/// Stack of the host's functions while a guest waits for them, in bytes.
const HOST_STACK: usize = 1 << 20;

/// Compiles and runs guests, under one set of limits.
pub(crate) struct Runtime {
    engine: wasmtime::Engine,
    linker: wasmtime::Linker<imports::HostState>,
    ticker: Arc<Ticker>,
    limits: Limits,
    /// What multiplies for guests; `None` where they do it by themselves.
    computing: Option<Computing>,
}

impl Runtime {
    /// Prepares the compiler and the epoch clock.
    pub(crate) fn new(limits: Limits, computing: Option<Computing>) -> Result<Self, SandboxError> {
        let mut config = wasmtime::Config::new();
        config
            .epoch_interruption(true)
            .max_wasm_stack(limits.stack_bytes)
            // A guest that can be suspended has a stack of its own, on which the host's functions
            // run, too.
            .async_stack_size(limits.stack_bytes.saturating_add(HOST_STACK))
            // What the guest does not use is not there to be attacked.
            .wasm_memory64(false)
            .wasm_multi_memory(false)
            .wasm_tail_call(false)
            .memory_init_cow(true)
            // Bounds checks become guard pages; loads and stores cost nothing extra.
            .memory_reservation(4 << 30)
            .memory_may_move(false)
            .cranelift_opt_level(wasmtime::OptLevel::Speed)
            .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16));
        let engine = wasmtime::Engine::new(&config).map_err(SandboxError::engine)?;
        let mut linker = wasmtime::Linker::new(&engine);
        imports::link(&mut linker).map_err(SandboxError::engine)?;
        compute::link(&mut linker).map_err(SandboxError::engine)?;
        wasi::link(&mut linker).map_err(SandboxError::engine)?;
        let ticker = Ticker::start(engine.clone())
            .map_err(|error| SandboxError::Engine(format!("cannot start a thread: {error}")))?;
        Ok(Self { engine, linker, ticker, limits, computing })
    }

    /// What makes guests that run look up from their work at once.
    pub(crate) fn nudge(&self) -> impl Fn() + Send + Sync + 'static {
        let engine = self.engine.clone();
        move || engine.increment_epoch()
    }

    /// The limits that hold for every instance.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What multiplies for guests, if not they themselves.
    pub(crate) fn computing(&self) -> Option<&Computing> {
        self.computing.as_ref()
    }

    /// What a compiled module depends on besides the module: compiler version, settings, processor
    /// features.
    pub(crate) fn compatibility(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }
}
