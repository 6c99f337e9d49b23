//! Quantizes weights in a sandbox of its own, with ggml's routines.

use std::time::Duration;

use hearken_proto::abi::{EXPORT_QUANTIZE, MAX_REQUEST, Quantization};
use wasmtime::Store;

use super::code::Code;
use super::imports::HostState;
use super::instance::{Guest, check_abi};
use super::{Runtime, SandboxError, memory};
use crate::preempt::to_end;

/// A guest without a model that turns weights into ggml's blocks.
pub(crate) struct Quantizer {
    guest: Guest,
    cpu_per_call: Duration,
    /// The weights of a call as bytes.
    message: Vec<u8>,
}

impl Runtime {
    /// Starts a guest.
    pub(crate) fn quantizer(&self, code: &Code) -> Result<Quantizer, SandboxError> {
        let store = Store::new(&self.engine, HostState::new(&self.limits));
        let mut guest = to_end(Guest::start(store, &code.pre, &self.ticker, self.limits.cpu_per_call))?;
        to_end(check_abi(&mut guest))?;
        to_end(guest.initialize())?;
        Ok(Quantizer { guest, cpu_per_call: self.limits.cpu_per_call, message: Vec::new() })
    }
}

impl Quantizer {
    /// Most weights of a call, 16,384: whole blocks that fill the guest's buffer.
    pub(crate) const WEIGHTS: usize = MAX_REQUEST as usize / size_of::<f32>();

    /// Appends the blocks of `weights`, which are whole blocks and at most [`Self::WEIGHTS`], to
    /// `out`.
    pub(crate) fn quantize(
        &mut self,
        kind: Quantization,
        weights: &[f32],
        out: &mut Vec<u8>,
    ) -> Result<(), SandboxError> {
        self.message.clear();
        self.message.extend(weights.iter().flat_map(|weight| weight.to_le_bytes()));
        self.guest.allow(self.cpu_per_call);
        to_end(async {
            let (address, len) = self.guest.place(&self.message).await?;
            let raw: i32 = self.guest.call(EXPORT_QUANTIZE, (kind as u32, len)).await?;
            self.guest.succeeded(raw)?;
            let blocks = weights.len() as u64 / u64::from(Quantization::BLOCK);
            // The memory may have grown or moved, so the address is checked again.
            let bytes = self.guest.memory.data(&self.guest.store);
            let range = memory::range(address, blocks * u64::from(kind.block_bytes()), bytes.len())?;
            out.extend_from_slice(&bytes[range]);
            Ok(())
        })
    }
}
