//! The C interface, called from Rust as a C program calls it.

use std::ffi::c_void;
use std::time::Duration;

use hearken::audio::Format;
use hearken::capi::{
    self, CAccounting, CEvent, CEventType, CSessionOptions, CStatus, EngineHandle, InputHandle, ModelHandle,
    SessionHandle,
};

/// A session of the embedded model that takes 16-bit integers.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    model: ModelHandle,
    options: Options,
    session: SessionHandle,
}

/// The end of a session for an audio thread.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    input: InputHandle,
    channels: usize,
}

#[derive(Debug, Clone, Copy)]
struct Options {
    sample_rate: u32,
    channels: u32,
    step_ms: u32,
}

impl Options {
    fn session(self, model: ModelHandle) -> SessionHandle {
        let options = CSessionOptions {
            size: size_of::<CSessionOptions>(),
            language: std::ptr::null(),
            prompt: std::ptr::null(),
            sample_rate: self.sample_rate,
            channels: self.channels,
            encoding: capi::Encoding::HearkenEncodingS16 as u32,
            step_ms: self.step_ms,
            silence_ms: 0,
            backlog_ms: 0,
            translate: 0,
            push_to_talk: 0,
        };
        let mut session = SessionHandle { handle: 0 };
        // SAFETY: all that is pointed to lives here.
        let made = unsafe { capi::hearken_session_new(model, &options, &mut session) };
        assert_eq!(made, CStatus::HearkenOk);
        session
    }
}

impl Voice {
    /// Starts one, with the default step.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(format: Format) -> Self {
        Self::with_step(format, 0)
    }

    /// Starts one; 0 is the default step.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn with_step(format: Format, step_ms: u32) -> Self {
        let (mut engine, mut model) = (EngineHandle { handle: 0 }, ModelHandle { handle: 0 });
        // SAFETY: all that is pointed to lives here; NULL stands for the defaults.
        unsafe {
            let made = capi::hearken_engine_new(capi::HEARKEN_ABI_VERSION, std::ptr::null(), &mut engine);
            assert_eq!(made, CStatus::HearkenOk);
            assert_eq!(capi::hearken_model_load(engine, std::ptr::null(), &mut model), CStatus::HearkenOk);
        }
        let options = Options { sample_rate: format.sample_rate, channels: format.channels.into(), step_ms };
        Self { model, options, session: options.session(model) }
    }

    /// Another session of the same model.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { session: self.options.session(self.model), ..*self }
    }

    /// Waits for an event of this type; `false` if the events end before.
    ///
    /// # Panics
    ///
    /// When another thread waits.
    pub fn wait(&self, wanted: CEventType) -> bool {
        loop {
            let mut event: *const CEvent = std::ptr::null();
            // SAFETY: it lives here.
            match unsafe { capi::hearken_session_poll(self.session, -1, &mut event) } {
                // SAFETY: the session has put an event there, which stays until the next call.
                CStatus::HearkenOk if unsafe { (*event).event_type } == wanted as u32 => return true,
                CStatus::HearkenOk => {}
                status => {
                    assert_eq!(status, CStatus::HearkenEnded);
                    return false;
                }
            }
        }
    }

    /// Has `callback` called with the events.
    ///
    /// # Panics
    ///
    /// When that is refused.
    pub fn call_back(&self, callback: &'static (dyn Fn(&CEvent) + Sync)) {
        unsafe extern "C" fn call(event: *const CEvent, user: *mut c_void) {
            // SAFETY: the session gives an event, and the address of a callback that is never
            // freed.
            unsafe { (*user.cast::<&'static (dyn Fn(&CEvent) + Sync)>())(&*event) }
        }
        let user: *mut c_void = Box::into_raw(Box::new(callback)).cast();
        // SAFETY: the callback may be called on any thread, for ever.
        let set = unsafe { capi::hearken_session_set_callback(self.session, Some(call), user) };
        assert_eq!(set, CStatus::HearkenOk);
    }

    /// Frees the session.
    ///
    /// # Panics
    ///
    /// When it was freed before.
    pub fn free(self) {
        assert_eq!(capi::hearken_session_free(self.session), CStatus::HearkenOk);
    }

    /// Opens its input, with a ring of this length.
    ///
    /// # Panics
    ///
    /// When that is refused.
    pub fn open_input(&self, held: Duration) -> Input {
        let mut input = InputHandle { handle: 0 };
        // SAFETY: all that is pointed to lives here.
        let opened =
            unsafe { capi::hearken_session_open_input(self.session, held.as_millis() as u32, &mut input) };
        assert_eq!(opened, CStatus::HearkenOk);
        Input { input, channels: self.options.channels as usize }
    }

    /// The ordinary push.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub fn push(&self, interleaved: &[i16]) {
        let frames = interleaved.len() / self.options.channels as usize;
        // SAFETY: as many frames lie there.
        let pushed = unsafe { capi::hearken_session_push(self.session, interleaved.as_ptr().cast(), frames) };
        assert_eq!(pushed, CStatus::HearkenOk);
    }

    /// Does what other threads of a program do meanwhile: sessions and inputs come and go, events
    /// are fetched.
    ///
    /// # Panics
    ///
    /// When something is refused.
    pub fn disturb(&self) {
        let mut accounting = CAccounting::default();
        let mut event = std::ptr::null();
        let other = self.another();
        // SAFETY: all that is pointed to lives here.
        unsafe {
            capi::hearken_session_accounting(self.session, &mut accounting);
            capi::hearken_session_poll(self.session, 0, &mut event);
        }
        other.open_input(Duration::from_millis(1));
        other.free();
    }

    /// Ends it; answers how many samples at 16 kHz were taken, and how many lost.
    ///
    /// # Panics
    ///
    /// When it has ended already.
    pub fn finish(&self) -> (u64, u64) {
        assert_eq!(capi::hearken_session_finish(self.session), CStatus::HearkenOk);
        let mut accounting = CAccounting::default();
        // SAFETY: it lives here.
        let counted = unsafe { capi::hearken_session_accounting(self.session, &mut accounting) };
        assert_eq!(counted, CStatus::HearkenOk);
        (accounting.speech + accounting.silence, accounting.dropped)
    }
}

impl Input {
    /// The push for audio threads.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub fn push(&self, interleaved: &[i16]) {
        let frames = interleaved.len() / self.channels;
        // SAFETY: as many frames lie there.
        let pushed = unsafe { capi::hearken_input_push(self.input, interleaved.as_ptr().cast(), frames) };
        assert_eq!(pushed, CStatus::HearkenOk);
    }
}
