//! The sandbox in which recordings are decoded: containers and codecs are a guest's affair.
//!
//! One module for the whole process, compiled at first use and kept in the user's cache, and
//! another one if an operator adds it; an instance for each recording. The guest imports a way to
//! read the recording's bytes and a way to emit events, and what WASI's stubs give, which is
//! nothing.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hearken_proto::abi::EXPORT_CALL;
use hearken_proto::media::{Report, Request};
use hearken_proto::{Event, Request as Call};
use parking_lot::RwLock;
use wasmtime::Store;

use super::code::Code;
use super::imports::HostState;
use super::instance::{Guest, check_abi};
use super::{Cache, Limits, Runtime, SandboxError, memory};
use crate::preempt::to_end;

static MODULE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hearken-media.wasm"));

/// Linear memory of one decoder, in bytes. The index of a long recording takes some megabytes.
const MEMORY: u64 = 256 << 20;

/// CPU time of one request. A packet takes some microseconds; many of a video's may lie before the
/// next one of the sound.
const CPU_PER_CALL: Duration = Duration::from_secs(10);

/// Most samples of one packet: an uncompressed second of eight channels at 192 kHz, several times.
const MAX_SAMPLES: u32 = 16 << 20;

/// The bytes of a recording, for the guest that decodes it.
pub(crate) trait Input: Send {
    /// Reads some bytes from `position` on; 0 is the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] suspends the guest until it is polled again; anything else
    /// ends the recording.
    fn read_at(&mut self, position: u64, out: &mut [u8]) -> io::Result<usize>;
}

/// A compiled module, ready to be instantiated.
pub(crate) struct Room(Code);

impl Room {
    fn new() -> Result<Self, SandboxError> {
        Self::with(MODULE, crate::engine::usable_cache().as_ref())
    }

    fn with(wasm: &[u8], cache: Option<&Cache>) -> Result<Self, SandboxError> {
        let limits = Limits { memory_bytes: MEMORY, cpu_per_call: CPU_PER_CALL, ..Limits::default() };
        Ok(Self(Runtime::new(limits, None)?.code(wasm, cache)?))
    }

    /// A fresh sandbox for the recording that `input` reads.
    pub(crate) async fn decoder(&self, input: Box<dyn Input>) -> Result<Decoder, SandboxError> {
        let Code { pre, ticker, limits } = &self.0;
        let mut state = HostState::new(limits);
        state.input = Some(input);
        let store = Store::new(pre.module().engine(), state);
        let mut guest = Guest::start(store, pre, ticker, limits.cpu_per_call).await?;
        guest.initialize().await?;
        check_abi(&mut guest).await?;
        Ok(Decoder { guest, cpu_per_call: limits.cpu_per_call })
    }
}

/// The module inside hearken.
pub(crate) fn built_in() -> Result<&'static Room, SandboxError> {
    static ROOM: OnceLock<Room> = OnceLock::new();
    if let Some(room) = ROOM.get() {
        return Ok(room);
    }
    // A failure is not kept: a lack of memory or descriptors passes.
    let room = Room::new()?;
    Ok(ROOM.get_or_init(|| room))
}

/// The module that was added.
static ADDED: RwLock<Option<Arc<Room>>> = RwLock::new(None);

/// The module that an operator has added, if there is one.
pub(crate) fn added() -> Option<Arc<Room>> {
    ADDED.read().clone()
}

/// Compiles `wasm` and takes it as the added module, in the place of one that was added before.
///
/// # Errors
/// It is no module that decodes recordings, or one of another version.
pub(crate) fn add(wasm: &[u8]) -> Result<(), SandboxError> {
    let room = Room::with(wasm, crate::engine::usable_cache().as_ref())?;
    // Says whether it is one.
    to_end(room.decoder(Box::new(Nothing)))?;
    *ADDED.write() = Some(Arc::new(room));
    Ok(())
}

/// A recording without a byte.
struct Nothing;

impl Input for Nothing {
    fn read_at(&mut self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

/// Compiles the module now, so that the first recording need not wait for it, and so that it is
/// there before a process gives up the right to make code.
///
/// # Errors
/// The machine cannot run the sandbox.
#[cfg(feature = "service")]
pub(crate) fn prepare() -> Result<(), SandboxError> {
    built_in().map(drop)
}

/// A sandbox that decodes one recording.
pub(crate) struct Decoder {
    guest: Guest,
    cpu_per_call: Duration,
}

impl Decoder {
    /// Makes one request. The future is pending while the guest waits for bytes, or gives way.
    pub(crate) async fn call(&mut self, request: Request) -> Result<Report, SandboxError> {
        self.guest.allow(self.cpu_per_call);
        let message = hearken_proto::encode(&Call::Media(request));
        let events = self.guest.request(EXPORT_CALL, &message).await?;
        match <[Event; 1]>::try_from(events) {
            Ok([Event::Media(report)]) => Ok(report),
            _ => Err(SandboxError::Misbehaved("it did not answer with one report".to_owned())),
        }
    }

    /// Appends the samples of the latest report, which lie in the guest's memory, to `block`.
    pub(crate) fn samples(
        &self,
        address: u32,
        samples: u32,
        block: &mut Vec<f32>,
    ) -> Result<(), SandboxError> {
        if samples > MAX_SAMPLES {
            return Err(SandboxError::Misbehaved(format!("it decoded {samples} samples at once")));
        }
        let memory = self.guest.memory.data(&self.guest.store);
        let range = memory::range(address, u64::from(samples) * size_of::<f32>() as u64, memory.len())?;
        let (bytes, _) = memory[range].as_chunks();
        block.extend(bytes.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        Ok(())
    }

    /// Takes the error for which the input could not be read, if there was one.
    pub(crate) fn take_input_error(&mut self) -> Option<io::Error> {
        self.guest.store.data_mut().input_error.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that never end, and never make sense.
    struct Endless;

    impl Input for Endless {
        fn read_at(&mut self, _: u64, out: &mut [u8]) -> io::Result<usize> {
            out.fill(b'x');
            Ok(out.len())
        }
    }

    struct Broken;

    impl Input for Broken {
        fn read_at(&mut self, _: u64, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }

    fn open(input: impl Input + 'static) -> (Decoder, Result<Report, SandboxError>) {
        let room = built_in().expect("a module");
        let mut decoder = to_end(room.decoder(Box::new(input))).expect("a sandbox");
        let request =
            Request::Open { extension: None, len: None, seekable: false, track: Default::default() };
        let answer = to_end(decoder.call(request));
        (decoder, answer)
    }

    #[test]
    fn bytes_without_sense_or_end_are_given_up() {
        let (_, answer) = open(Endless);
        assert!(matches!(answer, Ok(Report::Failed(_))), "{answer:?}");
    }

    #[test]
    fn the_reason_for_which_bytes_do_not_come_is_kept() {
        let (mut decoder, answer) = open(Broken);
        assert!(matches!(answer, Ok(Report::Failed(_))), "{answer:?}");
        assert_eq!(decoder.take_input_error().expect("an error").to_string(), "the disk is gone");
        assert!(decoder.take_input_error().is_none());
    }

    #[test]
    fn samples_outside_of_the_guest_are_refused() {
        let (decoder, _) = open(Endless);
        let mut block = Vec::new();
        for (address, samples) in [(u32::MAX, 1), (0, MAX_SAMPLES + 1), (u32::MAX - 3, 2), (1 << 31, 1 << 20)]
        {
            let answer = decoder.samples(address, samples, &mut block);
            assert!(matches!(answer, Err(SandboxError::Misbehaved(_))), "{address:#x} {samples}");
        }
        assert!(block.is_empty());
    }

    #[test]
    fn a_module_without_the_boundary_is_refused() {
        let room = Room::with(b"\0asm\x01\0\0\0", None).expect("a module");
        assert!(matches!(to_end(room.decoder(Box::new(Endless))), Err(SandboxError::NotAGuest(_))));
        assert!(matches!(Room::with(b"no module", None), Err(SandboxError::NotAGuest(_))));
        assert!(matches!(add(b"no module"), Err(SandboxError::NotAGuest(_))));
        assert!(added().is_none());
    }
}
