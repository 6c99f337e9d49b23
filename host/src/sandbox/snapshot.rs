//! Snapshots: from a guest and a model to a module in which the model is already loaded.

use std::io::Read;
use std::sync::Arc;

use hearken_proto::abi::{EXPORT_CALL, EXPORT_LOAD, EXPORT_RING, Status};
use hearken_proto::{Event, LoadOptions, ModelInfo, Request};
use wasmtime::{Module, Store, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

use super::imports::HostState;
use super::instance::{Guest, check_abi};
use super::ring::Ring;
use super::{Runtime, SandboxError};
use crate::preempt::to_end;

/// Samples at 16 kHz for each position of the encoder.
const SAMPLES_PER_POSITION: usize = 320;

/// A guest with its model loaded, compiled.
pub(crate) struct Snapshot {
    /// Compiled module, for [`Image`](super::Image).
    pub(crate) compiled: Vec<u8>,
    /// The model as the guest read it.
    pub(crate) info: ModelInfo,
}

impl Runtime {
    /// Lets `guest` load the model that `model` yields, and keeps its state.
    ///
    /// Runs whisper.cpp's parser on the model, inside the sandbox, with
    /// [`Limits::cpu_to_load`](super::Limits). Padding is computed behind `recording` (16 kHz
    /// mono), if the options ask for it.
    pub(crate) fn snapshot(
        &self,
        guest: &[u8],
        model: Box<dyn Read + Send>,
        options: &LoadOptions,
        recording: &[f32],
    ) -> Result<Snapshot, SandboxError> {
        let wizer = {
            let mut wizer = Wizer::new();
            // The guest's export for loading is called below, with its arguments; the snapshot
            // keeps no way to load again.
            wizer.init_func(EXPORT_LOAD).keep_init_func(false);
            wizer
        };
        let not_a_guest = |error: wasmtime::Error| SandboxError::NotAGuest(format!("{error:#}"));
        let (context, instrumented) = wizer.instrument(guest).map_err(not_a_guest)?;
        let module = Module::new(&self.engine, &instrumented).map_err(not_a_guest)?;

        let mut store = Store::new(&self.engine, HostState::new(&self.limits));
        store.data_mut().model = Some(model);
        let pre = self.linker.instantiate_pre(&module).map_err(not_a_guest)?;
        let mut guest = to_end(Guest::start(store, &pre, &self.ticker, self.limits.cpu_to_load))?;
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

        // Wizer's is async only for hosts whose stores are.
        let wasm = to_end(wizer.snapshot(&context, &mut guest)).map_err(SandboxError::engine)?;
        drop(guest);
        let compiled = self.engine.precompile_module(&wasm).map_err(SandboxError::engine)?;
        Ok(Snapshot { compiled, info })
    }
}

impl Runtime {
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
        let context = info.n_audio_ctx as usize * SAMPLES_PER_POSITION;
        let recording = &recording[..recording.len().min(context)];
        if ring.write(guest.memory.data_mut(&mut guest.store), recording)? < recording.len() {
            return Err(SandboxError::Misbehaved("its ring has no room for some seconds".to_owned()));
        }
        to_end(guest.request(EXPORT_CALL, &hearken_proto::encode(&Request::LearnPadding)))?;
        guest.store.data_mut().compute = None;
        Ok(())
    }
}

/// Reads the guest's state for wizer. The names are those that its instrumentation added.
impl InstanceState for Guest {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let value = self.instance.get_global(&mut self.store, name).map(|global| global.get(&mut self.store));
        match value {
            Some(Val::I32(bits)) => SnapshotVal::I32(bits),
            Some(Val::I64(bits)) => SnapshotVal::I64(bits),
            Some(Val::F32(bits)) => SnapshotVal::F32(bits),
            Some(Val::F64(bits)) => SnapshotVal::F64(bits),
            Some(Val::V128(bits)) => SnapshotVal::V128(bits.as_u128()),
            // wizer exports every mutable global itself and refuses modules with mutable
            // references.
            other => unreachable!("wizer asked for the global {name}, which is {other:?}"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        // The one memory that the limits allow, under whatever name wizer exported it.
        let memory = self.instance.get_memory(&mut self.store, name).unwrap_or(self.memory);
        contents(memory.data(&self.store));
    }
}
