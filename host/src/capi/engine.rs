//! Engines.

use std::ffi::c_char;
use std::time::Duration;

use super::memory::{self, OptionStruct};
use super::registry::{self, Object};
use super::status::{CStatus, Fault, answer};
use super::version::HEARKEN_ABI_VERSION;
use crate::sandbox::Limits;
use crate::{Compute, Engine};

/// An engine: the sandbox's compiler, the recognizer threads and the cache. A program needs one.
/// `{0}` is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct EngineHandle {
    /// Not 0 unless it is null; otherwise without a meaning.
    pub handle: u64,
}

/// Where matrix multiplication runs. Everything else of the recognizer runs inside the sandbox in
/// any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ComputeChoice {
    /// The host, with the processor's fastest instructions; weights and activations rounded to 8
    /// bits or bfloat16.
    HearkenComputeFast = 0,
    /// The host, as exactly as native whisper.cpp.
    HearkenComputeExact = 1,
    /// The guest, inside the sandbox: slower, and nothing crosses but audio and text.
    HearkenComputeGuest = 2,
}

/// Settings of an engine. Everything but `size` may be 0, which means the default.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct EngineOptions {
    /// `sizeof(hearken_engine_options)`.
    pub size: usize,
    /// Folder for prepared models, in UTF-8; it must belong to the user alone, because its content
    /// is executed. NULL: `hearken` in the user's cache folder, or the value of the environment
    /// variable `HEARKEN_CACHE_DIR`.
    pub cache_folder: *const c_char,
    /// Bytes that this folder may take. Default: 16 GiB.
    pub cache_bytes: u64,
    /// Bytes of memory that each sandbox may take. Default and most: 4 GiB.
    pub memory_bytes: u64,
    /// Seconds of CPU time that one decode may take before its sandbox is ended. Default: 120.
    pub cpu_seconds: u32,
    /// Recognizer threads. Default: as many as the process may use cores.
    pub threads: u32,
    /// A value of `hearken_compute`. Default: `HEARKEN_COMPUTE_FAST`.
    pub compute: u32,
    /// Not 0: keeps no prepared models, so that each load takes seconds.
    pub no_cache: u32,
}

// SAFETY: integers and a pointer, the first a `usize`; four of 8 bytes and four of 4, so nothing is
// padded.
unsafe impl OptionStruct for EngineOptions {
    const NAME: &'static str = "hearken_engine_options";
}
const _: () = assert!(size_of::<EngineOptions>() == 2 * size_of::<usize>() + 32);

/// Makes an engine: opens the cache, and starts the recognizer threads and, unless
/// `HEARKEN_COMPUTE_GUEST` is asked for, those that help to multiply. `abi_version` is always
/// `HEARKEN_ABI_VERSION`. `options` may be NULL.
///
/// Threads: any but audio threads. Do not `fork` afterwards, unless to `exec`. Ownership: `*engine`
/// is yours; free it with `hearken_engine_free`. The options are copied. Errors:
/// `HEARKEN_ERROR_VERSION` when header and library do not fit together; `HEARKEN_ERROR_ARGUMENT`;
/// `HEARKEN_ERROR_SYSTEM` when the cache folder cannot be used or a thread cannot be started;
/// `HEARKEN_ERROR_SANDBOX` when this machine cannot run WebAssembly. `*engine` is null then.
///
/// # Safety
///
/// `options` is NULL or as `size` in it says, with text that ends in a NUL; `engine` may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearken_engine_new(
    abi_version: u32,
    options: *const EngineOptions,
    engine: *mut EngineHandle,
) -> CStatus {
    answer(|| {
        // SAFETY: the caller's contract.
        let engine = unsafe { memory::out(engine, EngineHandle { handle: 0 }) }?;
        if abi_version != HEARKEN_ABI_VERSION {
            let message = format!(
                "the program was compiled for version {abi_version} of the interface, the library has \
                 {HEARKEN_ABI_VERSION}; install header and library of one version"
            );
            return Err(Fault::new(CStatus::HearkenErrorVersion, message));
        }
        // SAFETY: the caller's contract; it is not null.
        let options = (!options.is_null()).then(|| unsafe { memory::options(options) }).transpose()?;
        // SAFETY: the caller's contract, for the text in the options.
        let made = unsafe { build(options) }?;
        engine.handle = registry::insert(Object::Engine(made));
        Ok(CStatus::HearkenOk)
    })
}

/// # Safety
///
/// The options' text is NULL or ends in a NUL.
unsafe fn build(options: Option<EngineOptions>) -> Result<Engine, Fault> {
    let mut builder = Engine::builder();
    let Some(options) = options else { return Ok(builder.build()?) };
    let mut limits = Limits::default();
    if options.memory_bytes > limits.memory_bytes {
        return Err(Fault::argument("memory_bytes is at most 4 GiB"));
    }
    if options.memory_bytes > 0 {
        limits.memory_bytes = options.memory_bytes;
    }
    if options.cpu_seconds > 0 {
        limits.cpu_per_call = Duration::from_secs(options.cpu_seconds.into());
    }
    builder = builder.limits(limits).compute(match options.compute {
        0 => Compute::Fast,
        1 => Compute::Exact,
        2 => Compute::Guest,
        other => return Err(Fault::argument(format!("{other} is no hearken_compute"))),
    });
    if options.threads > 0 {
        builder = builder.threads(options.threads as usize);
    }
    // SAFETY: the caller's contract.
    if let Some(folder) = unsafe { memory::text("cache_folder", options.cache_folder) }? {
        builder = builder.cache_dir(folder);
    }
    if options.cache_bytes > 0 {
        builder = builder.cache_bytes(options.cache_bytes);
    }
    if options.no_cache != 0 {
        builder = builder.no_cache();
    }
    Ok(builder.build()?)
}

/// Frees an engine. Its models and sessions go on: the threads end when the last of them is freed,
/// too.
///
/// Threads: any but audio threads. Waits for decodes that run, if nothing else uses the engine.
/// Errors: `HEARKEN_ERROR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn hearken_engine_free(engine: EngineHandle) -> CStatus {
    answer(|| {
        registry::remove::<Engine>(engine.handle)?;
        Ok(CStatus::HearkenOk)
    })
}
