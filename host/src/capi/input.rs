//! The way in for audio threads: through a lock-free ring, and a thread that empties it into the
//! session.

use std::ffi::c_void;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::memory;
use super::pcm::{Pcm, Samples, to_float};
use super::registry;
use super::session::SessionHandle;
use super::session_object::SessionObject;
use super::status::{CStatus, Fault, answer};
use super::table::{Refused, Table};
use crate::audio::{RING_HOLD, RING_PERIOD, RingRead, RingWriter, ring};

/// Maximum capacity of the ring [ms].
const MOST_MS: u32 = 60_000;

/// The end of a session for an audio thread. `{0}` is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct InputHandle {
    /// Not 0 unless it is null; otherwise without a meaning.
    pub handle: u64,
}

/// The audio thread's end of the input.
struct Port {
    pcm: Pcm,
    writer: RingWriter,
}

static PORTS: Table<Port> = Table::new();

/// An input that is open.
pub(super) struct Input {
    pub(super) handle: u64,
    /// Dropped to wake the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Input {
    /// Opens an input with room for `hold`, and starts its thread.
    pub(super) fn open(listener: &Arc<SessionObject>, hold: Duration) -> Result<Self, Fault> {
        let pcm = listener.pcm;
        let (writer, mut reader) =
            ring(pcm.format, hold).map_err(|error| Fault::argument(error.to_string()))?;
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let full =
            || Fault::new(CStatus::HearkenErrorSystem, "too many inputs are open; finish some sessions");
        let handle = PORTS.insert(Port { pcm, writer }).ok_or_else(full)?;
        let mut input = Self { handle, stop: Some(stop), thread: None };
        let listener = Arc::clone(listener);
        let pump = move || {
            let mut block = Vec::new();
            loop {
                match listener.session().push_from(&mut reader, &mut block) {
                    Ok(RingRead::Frames(_) | RingRead::Lost(_)) => {}
                    Ok(RingRead::Empty) => {
                        // It is over only when the writer is gone and everything is read: the
                        // reason for waking up does not matter.
                        let _ = stopped.recv_timeout(RING_PERIOD);
                    }
                    // An error: the session takes no more.
                    Ok(RingRead::Ended) | Err(_) => return,
                }
            }
        };
        let thread = std::thread::Builder::new().name("hearken-input".to_owned()).spawn(pump);
        let refused =
            |error| Fault::new(CStatus::HearkenErrorSystem, format!("cannot start a thread: {error}"));
        input.thread = Some(thread.map_err(refused)?);
        Ok(input)
    }
}

impl Drop for Input {
    /// Removes the audio thread's end, and waits until its samples are in the session.
    fn drop(&mut self) {
        drop(PORTS.remove(self.handle));
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Opens the end of a session for an audio thread, which then is its only source of audio:
/// `hearken_session_push` and `hearken_session_skip` are refused from now on. What is pushed into
/// it waits in a ring of `buffer_ms` milliseconds (0: 4000; at most 60000) until a thread of the
/// session's own, which looks 100 times a second, takes it out. What comes while the ring is full
/// is lost, and reported as `HEARKEN_EVENT_DROPPED`.
///
/// Threads: any but audio threads. Ownership: `*input` belongs to the session: it is closed by
/// `hearken_session_finish`, `hearken_session_cancel` and `hearken_session_free`. Errors:
/// `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_ARGUMENT`; `HEARKEN_ERROR_STATE` when one is open
/// already, or the session has ended; `HEARKEN_ERROR_BUSY` while another thread pushes;
/// `HEARKEN_ERROR_SYSTEM` when a thread cannot be started, or 4096 inputs are open. `*input` is
/// null then.
///
/// # Safety
///
/// `input` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearken_session_open_input(
    session: SessionHandle,
    buffer_ms: u32,
    input: *mut InputHandle,
) -> CStatus {
    answer(|| {
        // SAFETY: the caller's contract.
        let input = unsafe { memory::out(input, InputHandle { handle: 0 }) }?;
        let listener: Arc<SessionObject> = registry::get(session.handle)?;
        let hold = match buffer_ms {
            0 => RING_HOLD,
            1..=MOST_MS => Duration::from_millis(buffer_ms.into()),
            _ => return Err(Fault::argument(format!("buffer_ms is at most {MOST_MS}"))),
        };
        input.handle = listener.open_input(|listener| Input::open(listener, hold))?;
        Ok(CStatus::HearkenOk)
    })
}

/// Takes `frame_count` interleaved frames of the session's format from an audio thread. It neither
/// waits, locks, allocates nor calls the system, whatever the session and other threads do
/// meanwhile; it takes as long as copying the samples. Frames that find no room are lost, which is
/// no error: see `hearken_session_open_input`.
///
/// Threads: any, audio threads too; one at a time. Ownership: the frames are copied. Errors:
/// `HEARKEN_ERROR_HANDLE` when the input is null or was closed; `HEARKEN_ERROR_BUSY` while another
/// thread is in this function for the same input; `HEARKEN_ERROR_ARGUMENT`. Nothing was taken then.
/// There is no message: `hearken_last_error` stays as it was.
///
/// # Safety
///
/// `frames` points to as many frames, aligned as their samples are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearken_input_push(
    input: InputHandle,
    frames: *const c_void,
    frame_count: usize,
) -> CStatus {
    let pushed = PORTS.with(input.handle, |port| {
        // SAFETY: the caller's contract.
        match unsafe { port.pcm.samples(frames, frame_count) } {
            Ok(Samples::S16(samples)) => port.writer.write(samples.iter().map(to_float)),
            Ok(Samples::F32(samples)) => port.writer.write(samples.iter().copied()),
            Err(_) => return CStatus::HearkenErrorArgument,
        }
        CStatus::HearkenOk
    });
    pushed.unwrap_or_else(|refused| match refused {
        Refused::Unknown => CStatus::HearkenErrorHandle,
        Refused::Busy => CStatus::HearkenErrorBusy,
    })
}
