//! A guest that runs: one instance, its memory, and the calls into it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearken_proto::abi::{
    EXPORT_ABI, EXPORT_BUFFER, EXPORT_CALL, EXPORT_MEMORY, EXPORT_RING, MAX_REQUEST, Status, VERSION,
};
use hearken_proto::{Event, ModelInfo, Request, Stage};
use wasmtime::{InstancePre, Memory, Store, Trap, UpdateDeadline, WasmParams, WasmResults};

use super::budget::UsedUp;
use super::code::Code;
use super::error::shorten;
use super::imports::HostState;
use super::limits::Part;
use super::ring::Ring;
use super::snapshot::State;
use super::ticker::Ticker;
use super::{Image, Runtime, SandboxError, TrapKind, memory};
use crate::compute::Prepared;
use crate::meter::{Metered, QuotaUse};
use crate::os_memory::prefer_large;
use crate::preempt::{cpu_time, is_wanted, to_end};

/// A snapshot, ready to be instantiated.
pub(crate) struct Template {
    code: Code,
    image: Image,
    state: State,
    compute: Option<Arc<Prepared>>,
    image_bytes: u64,
}

impl Runtime {
    /// Makes sandboxes of a snapshot's memory and the rest of its state.
    pub(crate) fn template(&self, code: &Code, image: Image, state: State) -> Result<Template, SandboxError> {
        let image_bytes = image.bytes().map_err(SandboxError::Image)?;
        let mut template = Template { code: code.clone(), image, state, compute: None, image_bytes };
        if let Some(computing) = &self.computing {
            // Nothing is called in this instance, so its memory is the snapshot's.
            let pristine = to_end(template.start())?;
            let memory = pristine.memory.data(&pristine.store);
            let weights = &template.state.info.weights;
            let prepared = computing.prepare(weights, memory, self.limits.memory_bytes);
            let prepared = prepared.map_err(|violation| {
                SandboxError::Misbehaved(format!("it registered weights {violation}"))
            })?;
            template.compute = Some(Arc::new(prepared));
        } else {
            // Guests read all weights for each token, and read them here.
            template.image.prefer_large();
        }
        Ok(template)
    }
}

impl Template {
    /// The model as the guest read it.
    pub(crate) fn info(&self) -> &ModelInfo {
        &self.state.info
    }

    /// Whether its instances can be talked to, so that a guest which cannot is refused once and not
    /// at each utterance.
    pub(crate) fn try_out(&self) -> Result<(), SandboxError> {
        let mut sandbox = to_end(self.instantiate(Metered::default(), None))?;
        let Guest { store, instance, .. } = &mut sandbox.guest;
        for name in [EXPORT_BUFFER, EXPORT_CALL] {
            instance
                .get_typed_func::<u32, u32>(&mut *store, name)
                .map_err(|error| SandboxError::NotAGuest(format!("{name}: {error:#}")))?;
        }
        Ok(())
    }

    /// Bytes of the weights that the host keeps packed.
    pub(crate) fn packed_bytes(&self) -> usize {
        self.compute.as_ref().map_or(0, |compute| compute.bytes())
    }

    /// Bytes of memory that the snapshot takes.
    pub(crate) fn image_bytes(&self) -> u64 {
        self.image_bytes
    }

    /// An instance that was not called yet.
    async fn start(&self) -> Result<Guest, SandboxError> {
        let Code { pre, ticker, limits } = &self.code;
        let mut state = HostState::new(limits);
        state.compute = self.compute.clone();
        let store = Store::new(pre.module().engine(), state);
        let mut guest = Guest::start(store, pre, ticker, limits.cpu_per_call).await?;
        guest.restore(&self.image, &self.state)?;
        Ok(guest)
    }

    /// A fresh sandbox with the model loaded; what it does is counted by `metered`, and what it
    /// writes by `holding`.
    pub(crate) async fn instantiate(
        &self,
        mut metered: Metered,
        holding: Option<QuotaUse>,
    ) -> Result<Instance, SandboxError> {
        let before = cpu_time();
        let open = async {
            let mut guest = self.start().await?;
            let header: u32 = guest.call(EXPORT_RING, ()).await?;
            let ring = Ring::open(guest.memory.data(&guest.store), header)?;
            Ok((guest, ring))
        };
        let (mut guest, ring) = open.await.inspect_err(|error| metered.each(|meter| meter.failed(error)))?;
        prefer_large(memory::clamped(&self.state.info.workspace, guest.memory.data_mut(&mut guest.store)));
        let start = guest.memory.data_ptr(&guest.store) as usize;
        metered.lives_at(start..start.saturating_add(4 << 30));
        let model = guest.memory.data_size(&guest.store) as u64;
        let state = guest.store.data_mut();
        state.limiter.part = holding.as_ref().map(|holding| Part { model, most: holding.most() });
        state.holding = holding.map(|holding| (start, holding));
        metered.overhead(cpu_time().saturating_sub(before));
        Ok(Instance { guest, ring, cpu_per_call: self.code.limits.cpu_per_call, metered })
    }
}

/// One sandbox: hears one utterance, then is dropped.
pub(crate) struct Instance {
    guest: Guest,
    ring: Ring,
    cpu_per_call: Duration,
    /// The last field: it is dropped after the memory.
    metered: Metered,
}

impl Instance {
    /// Moves `samples` (16 kHz mono) into the guest, through as many ringfuls as it takes.
    pub(crate) async fn write(&mut self, samples: &[f32]) -> Result<(), SandboxError> {
        let written = self.fill(samples).await;
        written.inspect_err(|error| self.metered.each(|meter| meter.failed(error)))
    }

    async fn fill(&mut self, mut samples: &[f32]) -> Result<(), SandboxError> {
        // One budget for all of it: the guest chooses the size of its ring, and so how often it is
        // called.
        self.guest.allow(self.cpu_per_call);
        loop {
            let memory = self.guest.memory.data_mut(&mut self.guest.store);
            let written = self.ring.write(memory, samples)?;
            samples = &samples[written..];
            if samples.is_empty() {
                return Ok(());
            }
            self.guest.request(EXPORT_CALL, &hearken_proto::encode(&Request::Drain)).await?;
            if !self.ring.is_empty(self.guest.memory.data(&self.guest.store))? {
                return Err(SandboxError::Misbehaved("it does not read its ring".to_owned()));
            }
        }
    }

    /// Bytes of linear memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.guest.memory.data_size(&self.guest.store) as u64
    }

    /// When each stage of the latest call was done.
    pub(crate) fn stages(&self) -> &[(Stage, Instant)] {
        &self.guest.store.data().stages
    }

    /// Makes one request and returns the events it caused.
    pub(crate) async fn call(&mut self, request: &Request) -> Result<Vec<Event>, SandboxError> {
        self.guest.allow(self.cpu_per_call);
        self.guest.store.data_mut().stages.clear();
        let answer = self.guest.request(EXPORT_CALL, &hearken_proto::encode(request)).await;
        let answer = answer.and_then(|events| {
            self.guest.store.data_mut().check_holding(true)?;
            Ok(events)
        });
        let spent = self.spent();
        match &answer {
            Err(error) => self.metered.each(|meter| meter.failed(error)),
            Ok(events) => self.metered.answered(request, spent, events),
        }
        answer
    }

    /// It makes a final text for which no partial one was made before: what it costs is what speech
    /// costs where there is no time for more.
    pub(crate) fn for_final(&mut self) {
        self.metered.for_final = true;
    }

    /// Whether those who share its limit of memory hold too much, so that it is not to wait for its
    /// next call.
    pub(crate) fn is_too_much(&self) -> bool {
        self.guest.store.data().holding.as_ref().is_some_and(|(_, holding)| holding.is_too_much())
    }

    /// CPU time of the latest call, that of threads which helped included.
    pub(crate) fn spent(&self) -> Duration {
        self.guest.store.data().budget.spent()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Giving memory back takes time, too; the meters are dropped after the memory.
        self.metered.leaving = Some(cpu_time());
    }
}

/// An instance in its store.
pub(super) struct Guest {
    pub(super) store: Store<HostState>,
    pub(super) instance: wasmtime::Instance,
    pub(super) memory: Memory,
    ticker: Arc<Ticker>,
}

impl Guest {
    /// Instantiates, under limits from the first instruction on.
    pub(super) async fn start(
        mut store: Store<HostState>,
        pre: &InstancePre<HostState>,
        ticker: &Arc<Ticker>,
        cpu: Duration,
    ) -> Result<Self, SandboxError> {
        store.limiter(|state| &mut state.limiter);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| {
            let state = context.data_mut();
            state.budget.check()?;
            state.check_holding(false)?;
            Ok(if is_wanted() { UpdateDeadline::Yield(1) } else { UpdateDeadline::Continue(1) })
        });
        store.data_mut().budget.begin(cpu);
        let instance = running(ticker, None, pre.instantiate_async(&mut store)).await;
        let instance = instance.map_err(|error| explain(&store, &error))?;
        let memory = instance
            .get_memory(&mut store, EXPORT_MEMORY)
            .ok_or_else(|| SandboxError::NotAGuest("it exports no memory".to_owned()))?;
        Ok(Self { store, instance, memory, ticker: Arc::clone(ticker) })
    }

    /// Runs the constructors of the guest's languages, once, before anything else.
    pub(super) async fn initialize(&mut self) -> Result<(), SandboxError> {
        if self.instance.get_func(&mut self.store, "_initialize").is_some() {
            self.call::<(), ()>("_initialize", ()).await?;
        }
        Ok(())
    }

    /// Begins a new budget, for all calls until the next one.
    pub(super) fn allow(&mut self, cpu: Duration) {
        self.store.data_mut().budget.begin(cpu);
    }

    /// Calls an export.
    pub(super) async fn call<P: WasmParams + Sync, R: WasmResults + Sync>(
        &mut self,
        name: &str,
        params: P,
    ) -> Result<R, SandboxError> {
        let function = self
            .instance
            .get_typed_func::<P, R>(&mut self.store, name)
            .map_err(|error| SandboxError::NotAGuest(format!("{name}: {error:#}")))?;
        self.store.set_epoch_deadline(1);
        let compute = self.store.data().compute.clone();
        let result = running(&self.ticker, compute, function.call_async(&mut self.store, params)).await;
        result.map_err(|error| explain(&self.store, &error))
    }

    /// Puts `message` into the guest's buffer, calls `name` with its length, and returns the events
    /// that came.
    pub(super) async fn request(&mut self, name: &str, message: &[u8]) -> Result<Vec<Event>, SandboxError> {
        let (_, len) = self.place(message).await?;
        let raw: i32 = self.call(name, len).await?;
        let events = self.store.data_mut().take_events();
        self.succeeded(raw)?;
        Ok(events)
    }

    /// Puts `message` into the guest's buffer; returns its address and length.
    pub(super) async fn place(&mut self, message: &[u8]) -> Result<(u32, u32), SandboxError> {
        let len = u32::try_from(message.len()).ok().filter(|&len| len <= MAX_REQUEST).ok_or_else(|| {
            SandboxError::Misbehaved(format!("a request of {} bytes is too long for it", message.len()))
        })?;
        let address: u32 = self.call(EXPORT_BUFFER, len).await?;
        if address == 0 {
            return Err(SandboxError::Misbehaved("it has no room for a request".to_owned()));
        }
        let bytes = self.memory.data_mut(&mut self.store);
        let range = memory::range(address, len.into(), bytes.len())?;
        bytes[range].copy_from_slice(message);
        Ok((address, len))
    }

    /// Fails unless the status that the guest returned says that it is done.
    pub(super) fn succeeded(&self, raw: i32) -> Result<(), SandboxError> {
        match Status::from_raw(raw) {
            Some(Status::Ok) => Ok(()),
            Some(status) => Err(SandboxError::Refused { status, log: self.store.data().log.last_line() }),
            None => Err(SandboxError::Misbehaved(format!("it answered with status {raw}"))),
        }
    }
}

/// Runs a guest: the clock ticks and the thread is busy while it does, and not while it is
/// suspended.
async fn running<F: Future>(ticker: &Arc<Ticker>, compute: Option<Arc<Prepared>>, guest: F) -> F::Output {
    let mut guest = pin!(guest);
    poll_fn(|context| {
        let _running = ticker.running();
        let _busy = compute.as_ref().map(|compute| compute.busy());
        guest.as_mut().poll(context)
    })
    .await
}

/// Compares the guest's ABI version with ours, before anything else is said.
pub(super) async fn check_abi(guest: &mut Guest) -> Result<(), SandboxError> {
    let found: u32 = guest.call(EXPORT_ABI, ()).await?;
    if found == VERSION { Ok(()) } else { Err(SandboxError::Abi { found }) }
}

/// Turns what wasmtime reports into what happened.
pub(super) fn explain(store: &Store<HostState>, error: &wasmtime::Error) -> SandboxError {
    let state = store.data();
    if let Some(&UsedUp { limit }) = error.downcast_ref() {
        return SandboxError::CpuTime { limit };
    }
    match error.downcast_ref() {
        Some(SandboxError::Misbehaved(what)) => return SandboxError::Misbehaved(what.clone()),
        Some(&SandboxError::Held { limit }) => return SandboxError::Held { limit },
        _ => {}
    }
    if let (true, Some(part)) = (state.limiter.part_refused, state.limiter.part) {
        return SandboxError::Held { limit: part.most };
    }
    if state.limiter.refused {
        return SandboxError::Memory { limit: state.limiter.memory_bytes };
    }
    if state.limiter.table_refused {
        return SandboxError::Misbehaved("it asked for too large a table".to_owned());
    }
    let place = error
        .downcast_ref::<wasmtime::WasmBacktrace>()
        .and_then(|backtrace| backtrace.frames().first()?.func_name())
        .map(|name| format!(" in {}", shorten(&crate::text::sanitize(name))))
        .unwrap_or_default();
    let kind = match error.downcast_ref::<Trap>() {
        Some(Trap::MemoryOutOfBounds | Trap::HeapMisaligned) => TrapKind::MemoryOutOfBounds,
        Some(Trap::StackOverflow) => TrapKind::StackOverflow,
        Some(Trap::UnreachableCodeReached) => TrapKind::Abort,
        Some(Trap::BadSignature | Trap::IndirectCallToNull | Trap::TableOutOfBounds) => TrapKind::BadCall,
        Some(_) => TrapKind::Other,
        // The guest left through proc_exit, or an import failed.
        None => TrapKind::Abort,
    };
    SandboxError::Trap { kind, place, log: state.log.last_line() }
}
