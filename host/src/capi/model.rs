//! Models.

use std::ffi::{c_char, c_void};

use super::engine::EngineHandle;
use super::memory;
use super::registry::{self, Object};
use super::status::{CStatus, Fault, answer};
use crate::{Engine, Model, ModelSource};

/// A model, ready to recognize. All sessions of a model share one copy of its weights. `{0}` is
/// null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct ModelHandle {
    /// Not 0 unless it is null; otherwise without a meaning.
    pub handle: u64,
}

/// Checks a model file and gets it ready. `path` names a ggml Whisper model, in UTF-8; NULL stands
/// for the small model inside the library, which knows English digits and some commands, and
/// nothing else. The first time on a machine that takes seconds, while the model is compiled; after
/// that it comes from the cache.
///
/// Threads: any but audio threads, nor one that has a window to draw. A call for a model that is
/// being loaded waits for it. Ownership: `*model` is yours; free it with `hearken_model_free`. The
/// path is copied. Errors: `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_ARGUMENT`; `HEARKEN_ERROR_MODEL`
/// when the file cannot be read, is no model that hearken loads, or needs more memory than a
/// sandbox may have; `HEARKEN_ERROR_SANDBOX`; `HEARKEN_ERROR_SYSTEM`. `*model` is null then.
///
/// # Safety
///
/// `path` is NULL or ends in a NUL; `model` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearken_model_load(
    engine: EngineHandle,
    path: *const c_char,
    model: *mut ModelHandle,
) -> CStatus {
    answer(|| {
        // SAFETY: the caller's contract.
        let model = unsafe { memory::out(model, ModelHandle { handle: 0 }) }?;
        let engine: Engine = registry::get(engine.handle)?;
        // SAFETY: the caller's contract.
        let source = match unsafe { memory::text("path", path) }? {
            Some(path) => ModelSource::File(path.into()),
            None => ModelSource::Embedded,
        };
        model.handle = registry::insert(Object::Model(engine.load(&source)?));
        Ok(CStatus::HearkenOk)
    })
}

/// As `hearken_model_load`, from `len` bytes of a model file in memory.
///
/// Threads: any but audio threads, nor one that has a window to draw.
/// Ownership: the bytes are copied, and may be freed afterwards; `*model` is yours.
/// Errors: as `hearken_model_load`.
///
/// # Safety
///
/// `bytes` points to `len` bytes; `model` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearken_model_load_bytes(
    engine: EngineHandle,
    bytes: *const c_void,
    len: usize,
    model: *mut ModelHandle,
) -> CStatus {
    answer(|| {
        // SAFETY: the caller's contract.
        let model = unsafe { memory::out(model, ModelHandle { handle: 0 }) }?;
        let engine: Engine = registry::get(engine.handle)?;
        // SAFETY: the caller's contract.
        let bytes = unsafe { memory::values::<u8>(bytes, len) }
            .map_err(|_| Fault::argument("bytes may not be NULL, and no more than memory can hold"))?;
        model.handle = registry::insert(Object::Model(engine.load(&ModelSource::Bytes(bytes.into()))?));
        Ok(CStatus::HearkenOk)
    })
}

/// Sets `*multilingual` to 1 if the model knows other languages than English, otherwise to 0.
///
/// Threads: any but audio threads.
/// Errors: `HEARKEN_ERROR_HANDLE`, `HEARKEN_ERROR_ARGUMENT`.
///
/// # Safety
///
/// `multilingual` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearken_model_is_multilingual(
    model: ModelHandle,
    multilingual: *mut u32,
) -> CStatus {
    answer(|| {
        // SAFETY: the caller's contract.
        let multilingual = unsafe { memory::out(multilingual, 0) }?;
        *multilingual = registry::get::<Model>(model.handle)?.multilingual().into();
        Ok(CStatus::HearkenOk)
    })
}

/// Frees a model. Its sessions go on.
///
/// Threads: any but audio threads. Waits for decodes that run, if nothing else uses the engine.
/// Errors: `HEARKEN_ERROR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn hearken_model_free(model: ModelHandle) -> CStatus {
    answer(|| {
        registry::remove::<Model>(model.handle)?;
        Ok(CStatus::HearkenOk)
    })
}
