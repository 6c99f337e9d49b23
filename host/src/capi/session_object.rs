//! A session behind the interface: one source of audio, and one destination of events.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use parking_lot::{Mutex, MutexGuard};

use super::event::{CEvent, Held};
use super::input::Input;
use super::pcm::{Pcm, Samples, to_float};
use super::status::{CStatus, Fault};
use crate::session::{Session, SessionError, SessionEvent};

/// A session, and both its ends.
pub(super) struct SessionObject {
    session: Mutex<Session>,
    pub(super) pcm: Pcm,
    source: Mutex<Source>,
    events: Receiver<SessionEvent>,
    sink: Mutex<Sink>,
    /// True if no callback is begun any more.
    freed: AtomicBool,
}

/// Source of the audio.
enum Source {
    /// Audio by calls; with room for samples of another encoding.
    Calls(Vec<f32>),
    /// An audio thread.
    Input(#[expect(dead_code, reason = "it is open as long as it is held")] Input),
    /// No more audio comes.
    Ended,
}

/// Destination of the events.
enum Sink {
    /// To callers of `poll`; with the event that was given out last.
    Poll(Option<Held>),
    Callback(JoinHandle<()>),
}

/// A program's function, and its argument.
struct Callback {
    function: unsafe extern "C" fn(*const CEvent, *mut c_void),
    user: *mut c_void,
}

// SAFETY: the contract of the function that sets it says that it may be called with this on another
// thread.
unsafe impl Send for Callback {}

/// The guard, unless another thread has it.
fn alone<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, Fault> {
    mutex.try_lock().ok_or_else(Fault::busy)
}

impl SessionObject {
    pub(super) fn new(session: Session, pcm: Pcm) -> Self {
        Self {
            events: session.events().clone(),
            session: Mutex::new(session),
            pcm,
            source: Mutex::new(Source::Calls(Vec::new())),
            sink: Mutex::new(Sink::Poll(None)),
            freed: AtomicBool::new(false),
        }
    }

    /// The session. Nobody holds it for longer than a block of audio takes to go through voice
    /// activity.
    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock()
    }

    /// Pushes samples that come by a call.
    pub(super) fn push(&self, samples: &Samples<'_>) -> Result<(), Fault> {
        let mut source = alone(&self.source)?;
        let floats = source.by_calls()?;
        match samples {
            Samples::F32(samples) => self.session().push(samples)?,
            Samples::S16(samples) => {
                floats.clear();
                floats.extend(samples.iter().map(to_float));
                self.session().push(floats)?;
            }
        }
        Ok(())
    }

    /// Skips frames that never came.
    pub(super) fn skip(&self, frames: u64) -> Result<(), Fault> {
        alone(&self.source)?.by_calls()?;
        Ok(self.session().skip(frames)?)
    }

    /// Switches to audio by an input; returns its handle.
    pub(super) fn open_input(
        self: &Arc<Self>,
        open: impl FnOnce(&Arc<Self>) -> Result<Input, Fault>,
    ) -> Result<u64, Fault> {
        let mut source = alone(&self.source)?;
        source.by_calls()?;
        let input = open(self)?;
        let handle = input.handle;
        *source = Source::Input(input);
        Ok(handle)
    }

    /// Ends the audio. Samples that an input still holds are pushed before.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        *self.source.lock() = Source::Ended;
        Ok(self.session().finish()?)
    }

    /// Cancels recognition.
    pub(super) fn cancel(&self) {
        self.session().cancel();
        *self.source.lock() = Source::Ended;
    }

    /// Waits up to `timeout` for the next event, `None` being for ever.
    pub(super) fn poll(&self, timeout: Option<Duration>, out: &mut *const CEvent) -> Result<CStatus, Fault> {
        let mut sink = alone(&self.sink)?;
        let Sink::Poll(held) = &mut *sink else {
            return Err(Fault::state("this session's events go to its callback"));
        };
        // What it pointed to is not promised any longer.
        *held = None;
        let event = match timeout {
            Some(timeout) => self.events.recv_timeout(timeout),
            None => self.events.recv().map_err(RecvTimeoutError::from),
        };
        match event {
            Ok(event) => {
                // The event goes to its place first, then its address to the caller: it does not
                // move any more.
                *out = held.insert(Held::new(&event)).event();
                Ok(CStatus::HearkenOk)
            }
            Err(RecvTimeoutError::Timeout) => Ok(CStatus::HearkenTimeout),
            Err(RecvTimeoutError::Disconnected) => Ok(CStatus::HearkenEnded),
        }
    }

    /// Sends events to this function from now on.
    ///
    /// # Safety
    ///
    /// It may be called with `user` on another thread until the session is freed.
    pub(super) unsafe fn call_back(
        self: &Arc<Self>,
        function: unsafe extern "C" fn(*const CEvent, *mut c_void),
        user: *mut c_void,
    ) -> Result<(), Fault> {
        let mut sink = alone(&self.sink)?;
        if let Sink::Callback(_) = &*sink {
            return Err(Fault::state("this session has a callback already"));
        }
        let callback = Callback { function, user };
        let listener = Arc::clone(self);
        let run = move || {
            let Callback { function, user } = { callback };
            for event in &listener.events {
                if listener.freed.load(Ordering::Acquire) {
                    return;
                }
                let held = Held::new(&event);
                // SAFETY: the contract above; the event lives until the function has returned.
                unsafe { function(held.event(), user) };
            }
        };
        let thread = std::thread::Builder::new().name("hearken-events".to_owned()).spawn(run);
        let refused =
            |error| Fault::new(CStatus::HearkenErrorSystem, format!("cannot start a thread: {error}"));
        *sink = Sink::Callback(thread.map_err(refused)?);
        Ok(())
    }

    /// Returns true on the thread that the session's callback runs on.
    pub(super) fn in_callback(&self) -> bool {
        // Any other holder of the lock is in a call of its own, and not in a callback.
        let sink = alone(&self.sink);
        matches!(sink.as_deref(), Ok(Sink::Callback(thread)) if thread.thread().id() == std::thread::current().id())
    }

    /// Ends everything. When it returns, no callback runs, and none will.
    pub(super) fn free(&self) {
        self.freed.store(true, Ordering::Release);
        self.cancel();
        // A poll that waits has learned by now that no event comes.
        let sink = std::mem::replace(&mut *self.sink.lock(), Sink::Poll(None));
        if let Sink::Callback(thread) = sink {
            let _ = thread.join();
        }
    }
}

impl Source {
    /// The room for samples of another encoding, if audio comes by calls.
    fn by_calls(&mut self) -> Result<&mut Vec<f32>, Fault> {
        match self {
            Self::Calls(floats) => Ok(floats),
            Self::Input(_) => Err(Fault::state("this session's audio comes by its input")),
            Self::Ended => Err(SessionError::Ended.into()),
        }
    }
}
