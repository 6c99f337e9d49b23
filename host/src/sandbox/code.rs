//! A guest's code: compiled once on a machine, and shared by all its instances, whatever model they
//! have.

use std::sync::Arc;

use wasmtime::{InstancePre, Module};
use wasmtime_wizer::Wizer;

use super::imports::HostState;
use super::ticker::Ticker;
use super::{Cache, Image, Limits, Runtime, SandboxError};

/// A guest's code, ready to be instantiated.
#[derive(Clone)]
pub(crate) struct Code {
    pub(super) pre: InstancePre<HostState>,
    pub(super) ticker: Arc<Ticker>,
    pub(super) limits: Limits,
}

impl Runtime {
    /// Compiles a guest, or takes it from the cache.
    ///
    /// # Errors
    ///
    /// When it is no WebAssembly, or imports other functions than there are.
    pub(crate) fn code(&self, guest: &[u8], cache: Option<&Cache>) -> Result<Code, SandboxError> {
        let mut key = blake3::Hasher::new();
        key.update(b"code").update(&self.compatibility().to_le_bytes()).update(guest);
        let key = key.finalize();
        let cached = cache.and_then(|cache| cache.get::<()>(&key));
        // Stale: code of another compiler under the same key is impossible, but is no reason to
        // fail.
        if let Some(Ok(code)) = cached.map(|(image, ())| self.map(&image)) {
            return Ok(code);
        }
        let compiled = self.compile(guest)?;
        if let Some(cache) = cache {
            // A cache that cannot be written costs the time to compile, once in each process.
            let _ = cache.put(&key, &compiled, &());
        }
        self.map(&Image::new(&compiled).map_err(SandboxError::Image)?)
    }

    /// Compiles a guest whose mutable globals are exported, so that its state can be kept and
    /// restored. A guest that could change anything besides its memory and its globals is refused.
    fn compile(&self, guest: &[u8]) -> Result<Vec<u8>, SandboxError> {
        let not_a_guest = |error: wasmtime::Error| SandboxError::NotAGuest(format!("{error:#}"));
        let (_, instrumented) = Wizer::new().instrument(guest).map_err(not_a_guest)?;
        self.engine.precompile_module(&instrumented).map_err(not_a_guest)
    }

    /// Maps compiled code.
    fn map(&self, image: &Image) -> Result<Code, SandboxError> {
        let file = image.file().map_err(SandboxError::Image)?;
        // SAFETY: the image holds what this very engine compiled (`Runtime::compile`), either just
        // now or from the private cache, whose reader has compared its hash and its key, of which
        // the engine's compatibility is a part; it is sealed, so it cannot change while it is
        // mapped.
        let module = unsafe { Module::deserialize_open_file(&self.engine, file) };
        let module = module.map_err(SandboxError::engine)?;
        let pre = self
            .linker
            .instantiate_pre(&module)
            .map_err(|error| SandboxError::NotAGuest(format!("{error:#}")))?;
        Ok(Code { pre, ticker: Arc::clone(&self.ticker), limits: self.limits.clone() })
    }
}
