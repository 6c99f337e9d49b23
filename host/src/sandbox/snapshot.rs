//! Snapshots: the state of a guest that has loaded a model, from which sandboxes are made.
//!
//! Code is compiled without a model ([`Code`]). A sandbox is an instance of it over whose memory
//! the snapshot is mapped, copy on write.

use std::io::Read;
use std::sync::Arc;

use hearken_proto::abi::{EXPORT_CALL, EXPORT_LOAD, EXPORT_RING, Status};
use hearken_proto::window::SAMPLES_PER_POSITION;
use hearken_proto::{Event, LoadOptions, ModelInfo, Request};
use serde::{Deserialize, Serialize};
use wasmtime::{Mutability, Store, Val};

use super::code::Code;
use super::image::BLOCK;
use super::imports::HostState;
use super::instance::{Guest, check_abi, explain};
use super::ring::Ring;
use super::{Image, Runtime, SandboxError};
use crate::preempt::to_end;

/// A guest that has loaded a model.
pub(crate) struct Snapshot {
    guest: Guest,
    /// Bytes of its memory that are kept; all behind them are zero, now and in a fresh instance.
    len: usize,
    /// The rest of its state.
    pub(crate) state: State,
}

/// State of a guest besides its memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The model as the guest read it.
    pub(crate) info: ModelInfo,
    /// Size of its memory, in pages of 64 KiB.
    pages: u64,
    /// Its mutable globals.
    globals: Vec<(String, Number)>,
}

/// Value of a global, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Number {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
    V128([u8; 16]),
}

impl Runtime {
    /// Lets a guest load the model that `model` yields.
    ///
    /// Runs whisper.cpp's parser on the model, inside the sandbox, with
    /// [`Limits::cpu_to_load`](super::Limits). Padding is computed behind `recording` (16 kHz
    /// mono), if the options ask for it.
    pub(crate) fn snapshot(
        &self,
        code: &Code,
        model: Box<dyn Read + Send>,
        options: &LoadOptions,
        recording: &[f32],
    ) -> Result<Snapshot, SandboxError> {
        let mut store = Store::new(&self.engine, HostState::new(&self.limits));
        store.data_mut().model = Some(model);
        let mut guest = to_end(Guest::start(store, &code.pre, &self.ticker, self.limits.cpu_to_load))?;
        let fresh = guest.memory.data_size(&guest.store);
        to_end(check_abi(&mut guest))?;
        to_end(guest.initialize())?;

        let loaded = to_end(guest.request(EXPORT_LOAD, &hearken_proto::encode(options)));
        if let Some(error) = guest.store.data_mut().model_error.take() {
            return Err(SandboxError::Image(error));
        }
        let info = match loaded?.as_slice() {
            [Event::Loaded(info)] => info.clone(),
            _ => return Err(SandboxError::Misbehaved("it loaded a model without describing it".to_owned())),
        };
        let left_over = guest.store.data_mut().model.take().map(|mut model| model.read(&mut [0]));
        if matches!(left_over, Some(Ok(1..))) {
            // A parser that stops early has misread something.
            return Err(SandboxError::Refused {
                status: Status::BadModel,
                log: " (bytes follow the last tensor)".to_owned(),
            });
        }

        if options.padding {
            self.teach_padding(&mut guest, &info, recording)?;
        }

        let memory = guest.memory.data(&guest.store);
        let used = memory.chunks(BLOCK).rposition(|block| block.iter().any(|&byte| byte != 0));
        // No less than a fresh instance has: it may hold something there.
        let len = used.map_or(0, |block| (block + 1) * BLOCK).max(fresh);
        let state = State { info, pages: guest.memory.size(&guest.store), globals: guest.globals()? };
        Ok(Snapshot { guest, len, state })
    }

    /// Lets the guest compute the padding behind `recording` (16 kHz mono), which becomes a part of
    /// its snapshot.
    fn teach_padding(
        &self,
        guest: &mut Guest,
        info: &ModelInfo,
        recording: &[f32],
    ) -> Result<(), SandboxError> {
        if let Some(computing) = &self.computing {
            let memory = guest.memory.data(&guest.store);
            let prepared = computing.prepare(&info.weights, memory, self.limits.memory_bytes);
            let prepared = prepared.map_err(|violation| {
                SandboxError::Misbehaved(format!("it registered weights {violation}"))
            })?;
            guest.store.data_mut().compute = Some(Arc::new(prepared));
        }
        let header: u32 = to_end(guest.call(EXPORT_RING, ()))?;
        let mut ring = Ring::open(guest.memory.data(&guest.store), header)?;
        // A context may be shorter than the recording.
        let context = info.n_audio_ctx as usize * SAMPLES_PER_POSITION as usize;
        let recording = &recording[..recording.len().min(context)];
        if ring.write(guest.memory.data_mut(&mut guest.store), recording)? < recording.len() {
            return Err(SandboxError::Misbehaved("its ring has no room for some seconds".to_owned()));
        }
        to_end(guest.request(EXPORT_CALL, &hearken_proto::encode(&Request::LearnPadding)))?;
        guest.store.data_mut().compute = None;
        Ok(())
    }
}

impl Snapshot {
    /// The guest's memory, as far as anything is in it.
    pub(crate) fn memory(&self) -> &[u8] {
        &self.guest.memory.data(&self.guest.store)[..self.len]
    }
}

impl Guest {
    /// Reads the mutable globals, which the code exports.
    fn globals(&mut self) -> Result<Vec<(String, Number)>, SandboxError> {
        let exports: Vec<_> = (self.instance.exports(&mut self.store))
            .filter_map(|export| Some((export.name().to_owned(), export.into_global()?)))
            .collect();
        let mut globals = Vec::new();
        for (name, global) in exports {
            if global.ty(&self.store).mutability() == Mutability::Const {
                continue;
            }
            let number = match global.get(&mut self.store) {
                Val::I32(number) => Number::I32(number),
                Val::I64(number) => Number::I64(number),
                Val::F32(bits) => Number::F32(bits),
                Val::F64(bits) => Number::F64(bits),
                Val::V128(bits) => Number::V128(bits.as_u128().to_le_bytes()),
                _ => {
                    let what = format!("its global {} is no number", crate::text::sanitize(&name));
                    return Err(SandboxError::NotAGuest(super::error::shorten(&what).into_owned()));
                }
            };
            globals.push((name, number));
        }
        Ok(globals)
    }

    /// Brings a fresh instance into the state of a snapshot. After an error nothing may be done
    /// with it.
    pub(super) fn restore(&mut self, image: &Image, state: &State) -> Result<(), SandboxError> {
        let stale =
            || SandboxError::Misbehaved("its memory was smaller when its model was loaded".to_owned());
        let more = state.pages.checked_sub(self.memory.size(&self.store)).ok_or_else(stale)?;
        self.memory.grow(&mut self.store, more).map_err(|error| explain(&self.store, &error))?;
        // SAFETY: the memory is this instance's alone and borrowed here, and it is private memory
        // of this process, which wasmtime reads and writes, changes the protection of and gives
        // back by its address, whatever is mapped there. After an error it is not touched: the
        // caller drops the instance.
        unsafe { image.map_over(self.memory.data_mut(&mut self.store)) }.map_err(SandboxError::Image)?;
        for (name, number) in &state.globals {
            let value = match *number {
                Number::I32(number) => Val::I32(number),
                Number::I64(number) => Val::I64(number),
                Number::F32(bits) => Val::F32(bits),
                Number::F64(bits) => Val::F64(bits),
                Number::V128(bytes) => Val::V128(u128::from_le_bytes(bytes).into()),
            };
            let global = self.instance.get_global(&mut self.store, name);
            let set = global.map(|global| global.set(&mut self.store, value));
            if !matches!(set, Some(Ok(()))) {
                return Err(SandboxError::Misbehaved(
                    "its globals were others when its model was loaded".to_owned(),
                ));
            }
        }
        Ok(())
    }
}
