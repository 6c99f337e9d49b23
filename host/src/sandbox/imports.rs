//! The host's functions for guests: a model to read while the snapshot is made, a recording to
//! read, and a way to emit events.

use std::future::poll_fn;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use hearken_proto::abi::{
    EXPORT_MEMORY, IMPORT_EMIT, IMPORT_MODEL_READ, IMPORT_SOURCE_READ, IMPORTS, MAX_EVENT,
};
use hearken_proto::{Event, Stage};
use wasmtime::{Caller, Linker, Memory, Result};

use super::budget::Budget;
use super::limits::{Limiter, Limits};
use super::media::Input;
use super::{SandboxError, memory};
use crate::compute::Prepared;
use crate::meter::QuotaUse;
use crate::random::SplitMix64;

/// Most bytes that one call reads from a recording: the guest's clock does not run while the host
/// works for it.
const MAX_READ: usize = 1 << 20;

/// What the host knows of one instance.
pub(super) struct HostState {
    pub(super) limiter: Limiter,
    pub(super) budget: Budget,
    /// Where its memory begins, and who counts what it has written, if somebody does.
    pub(super) holding: Option<(usize, QuotaUse)>,
    /// What multiplies for it; `None` while the snapshot is made, and where the guest does it by
    /// itself.
    pub(super) compute: Option<Arc<Prepared>>,
    pub(super) log: Log,
    pub(super) random: Random,
    pub(super) started: Instant,
    /// Events of the current call.
    pub(super) events: Vec<Event>,
    /// When each stage of the current call was done, by this process's clock.
    pub(super) stages: Vec<(Stage, Instant)>,
    event_bytes: usize,
    max_events: usize,
    max_event_bytes: usize,
    /// The model's bytes, while the snapshot is made.
    pub(super) model: Option<Box<dyn Read + Send>>,
    /// The model could not be read; explains the failure that follows.
    pub(super) model_error: Option<std::io::Error>,
    /// The recording's bytes, for a guest that decodes one.
    pub(super) input: Option<Box<dyn Input>>,
    /// Why the recording could not be read.
    pub(super) input_error: Option<std::io::Error>,
}

impl HostState {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limiter: Limiter {
                memory_bytes: limits.memory_bytes,
                part: None,
                memory: 0,
                refused: false,
                part_refused: false,
                table_refused: false,
            },
            budget: Budget::new(),
            holding: None,
            compute: None,
            log: Log { bytes: Vec::new(), limit: limits.log_bytes, dropped: 0 },
            random: Random::new(),
            started: Instant::now(),
            events: Vec::new(),
            stages: Vec::new(),
            event_bytes: 0,
            max_events: limits.events_per_call,
            max_event_bytes: limits.event_bytes_per_call,
            model: None,
            model_error: None,
            input: None,
            input_error: None,
        }
    }

    /// Whether it may hold what it has written, `now` or if that was not asked for a while.
    pub(super) fn check_holding(&mut self, now: bool) -> std::result::Result<(), SandboxError> {
        match &mut self.holding {
            Some((start, holding)) if now || holding.is_due() => holding
                .look(*start..start.saturating_add(self.limiter.memory))
                .map_err(|limit| SandboxError::Held { limit }),
            _ => Ok(()),
        }
    }

    /// Hands out the events of the call that ended.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        self.event_bytes = 0;
        std::mem::take(&mut self.events)
    }
}

/// The guest's standard output and error: the beginning is kept, the rest counted.
pub(super) struct Log {
    bytes: Vec<u8>,
    limit: usize,
    dropped: u64,
}

impl Log {
    pub(super) fn append(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(self.limit - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..kept]);
        self.dropped += (bytes.len() - kept) as u64;
    }

    /// The last line, or its beginning, for an error message: `" (…)"`, or nothing.
    pub(super) fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let line = text.lines().rev().map(crate::text::sanitize).find(|line| !line.trim().is_empty());
        line.map(|line| format!(" ({})", super::error::shorten(line.trim()))).unwrap_or_default()
    }
}

/// Random numbers of the guest, from a fixed seed: the same in every run, so that a decode can be
/// had again. Nothing in the guest needs unpredictable numbers.
pub(super) struct Random(SplitMix64);

impl Random {
    pub(super) fn new() -> Self {
        Self(SplitMix64::new(0x9e37_79b9_7f4a_7c15))
    }

    pub(super) fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.0.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Adds the functions to `linker`.
pub(super) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(IMPORTS, IMPORT_EMIT, emit)?;
    linker.func_wrap(IMPORTS, IMPORT_MODEL_READ, model_read)?;
    linker.func_wrap_async(
        IMPORTS,
        IMPORT_SOURCE_READ,
        |mut caller: Caller<'_, HostState>, (position, address, len): (u64, u32, u32)| {
            Box::new(async move {
                poll_fn(|_| match source_read(&mut caller, position, address, len).transpose() {
                    Some(answer) => Poll::Ready(answer),
                    None => Poll::Pending,
                })
                .await
            })
        },
    )?;
    Ok(())
}

/// The guest's memory.
pub(super) fn memory(caller: &mut Caller<'_, HostState>) -> Result<Memory> {
    caller
        .get_export(EXPORT_MEMORY)
        .and_then(wasmtime::Extern::into_memory)
        .ok_or_else(|| SandboxError::NotAGuest("it exports no memory".to_owned()).into())
}

fn emit(mut caller: Caller<'_, HostState>, address: u32, len: u32) -> Result<()> {
    let (memory, state) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let misbehaved = |what: String| Err(SandboxError::Misbehaved(what).into());
    if len > MAX_EVENT {
        return misbehaved(format!("it emitted an event of {len} bytes"));
    }
    let range = memory::range(address, len.into(), memory.len())?;
    state.event_bytes += len as usize;
    if state.events.len() >= state.max_events || state.event_bytes > state.max_event_bytes {
        return misbehaved("it emitted too many events in one call".to_owned());
    }
    match hearken_proto::decode(&memory[range]) {
        Ok(Event::Stage(_)) if state.stages.len() >= state.max_events => {
            return misbehaved("it emitted too many events in one call".to_owned());
        }
        Ok(Event::Stage(stage)) => state.stages.push((stage, Instant::now())),
        Ok(event) => state.events.push(event),
        Err(error) => return misbehaved(format!("it emitted a {error}")),
    }
    Ok(())
}

fn model_read(mut caller: Caller<'_, HostState>, address: u32, len: u32) -> Result<u32> {
    let (memory, state) = memory(&mut caller)?.data_and_store_mut(&mut caller);
    let range = memory::range(address, len.into(), memory.len())?;
    let Some(model) = &mut state.model else {
        return Ok(0);
    };
    let mut out = &mut memory[range];
    let mut read = 0;
    while !out.is_empty() {
        match model.read(out) {
            Ok(0) => break,
            Ok(count) => {
                read += count as u32;
                out = &mut out[count..];
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                state.model_error = Some(error);
                return Err(wasmtime::format_err!("the model cannot be read"));
            }
        }
    }
    Ok(read)
}

/// Reads bytes of the recording; `None` while they are still to come.
fn source_read(
    caller: &mut Caller<'_, HostState>,
    position: u64,
    address: u32,
    len: u32,
) -> Result<Option<i32>> {
    let (memory, state) = memory(caller)?.data_and_store_mut(caller);
    let range = memory::range(address, len.into(), memory.len())?;
    let out = &mut memory[range];
    let out_len = out.len().min(MAX_READ);
    let out = &mut out[..out_len];
    let Some(input) = &mut state.input else {
        return Ok(Some(0));
    };
    loop {
        return match input.read_at(position, out) {
            // At most `MAX_READ`.
            Ok(read) => Ok(Some(read.min(out_len) as i32)),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => {
                state.input_error = Some(error);
                Ok(Some(-1))
            }
        };
    }
}
