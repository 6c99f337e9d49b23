//! Sessions.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use super::event::{CEvent, EventCallback};
use super::memory::{self, OptionStruct};
use super::model::ModelHandle;
use super::pcm::{Encoding, Pcm};
use super::registry::{self, Object};
use super::session_object::SessionObject;
use super::status::{CStatus, Fault, answer};
use crate::Model;
use crate::audio::{self, VadConfig};
use crate::session::{Session, SessionOptions};

/// A session: recognizes one stream of audio, and reports events. `{0}` is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct SessionHandle {
    /// Not 0 unless it is null; otherwise without a meaning.
    pub handle: u64,
}

/// Options of a session. Everything but `size`, `sample_rate` and `channels` may be 0, which means
/// the default.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct CSessionOptions {
    /// `sizeof(hearken_session_options)`.
    pub size: usize,
    /// Code ("de"), English name ("german") or tag ("de-AT") of the language, in any case. NULL or
    /// "auto": it is detected in each utterance.
    pub language: *const c_char,
    /// Names, spellings and style, in UTF-8, as text that came before. NULL: none.
    pub prompt: *const c_char,
    /// Frames a second of the audio that is pushed, 8000 to 192000.
    pub sample_rate: u32,
    /// Samples of a frame, 1 to 8. They are averaged.
    pub channels: u32,
    /// A value of `hearken_encoding`. Default: `HEARKEN_ENCODING_S16`.
    pub encoding: u32,
    /// Least new speech between two partial texts, in ms. Default: 300. It becomes longer while
    /// recognizing takes longer.
    pub step_ms: u32,
    /// Silence that ends an utterance, in ms, at most 60000. Default: 600. Less gives final texts
    /// sooner, and cuts sentences at pauses.
    pub silence_ms: u32,
    /// Speech that may wait to be recognized, in ms. Default: 120000. What comes on top is
    /// `HEARKEN_EVENT_DROPPED`.
    pub backlog_ms: u32,
    /// Not 0: translates into English (multilingual models only).
    pub translate: u32,
    /// Not 0: does not detect speech, but takes the audio between `hearken_session_begin` and
    /// `hearken_session_end`.
    pub push_to_talk: u32,
}

// SAFETY: integers and pointers, the first a `usize`; eight of 4 bytes behind three of 8 or 4, so
// nothing is padded.
unsafe impl OptionStruct for CSessionOptions {
    const NAME: &'static str = "hearken_session_options";
}
const _: () = assert!(size_of::<CSessionOptions>() == 3 * size_of::<usize>() + 32);

/// Accounting of the samples so far, at 16 kHz: all input is `speech + silence + dropped`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CAccounting {
    /// Inside utterances.
    pub speech: u64,
    /// Between utterances.
    pub silence: u64,
    /// Not recognized: see `HEARKEN_EVENT_DROPPED`.
    pub dropped: u64,
}

/// The session's options.
///
/// # Safety
///
/// Its texts are NULL or end in a NUL.
unsafe fn understand(options: &CSessionOptions) -> Result<(SessionOptions, Pcm), Fault> {
    let encoding = match options.encoding {
        0 => Encoding::HearkenEncodingS16,
        1 => Encoding::HearkenEncodingF32,
        other => return Err(Fault::argument(format!("{other} is no hearken_encoding"))),
    };
    let channels = u16::try_from(options.channels).unwrap_or(u16::MAX);
    let format = audio::Format { sample_rate: options.sample_rate, channels };
    let mut understood = SessionOptions::new(format);
    // SAFETY: the caller's contract.
    unsafe {
        understood.language = memory::text("language", options.language)?.and_then(crate::language_code);
        understood.prompt = memory::text("prompt", options.prompt)?.map(str::to_owned);
    }
    let duration = |ms: u32, default| if ms == 0 { default } else { Duration::from_millis(ms.into()) };
    understood.step = duration(options.step_ms, understood.step);
    understood.backlog = duration(options.backlog_ms, understood.backlog);
    understood.translate = options.translate != 0;
    let mut activity = VadConfig::default();
    if options.silence_ms > 0 {
        activity.hangover_ms = options.silence_ms;
    }
    understood.voice_activity = (options.push_to_talk == 0).then_some(activity);
    Ok((understood, Pcm { format, encoding }))
}

/// Starts a session. It costs some tens of KiB and no thread; a sandbox is made when somebody
/// speaks.
///
/// Threads: any but audio threads. Ownership: `*session` is yours; free it with
/// `hearken_session_free`. The options are copied. The model may be freed. Errors:
/// `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_ARGUMENT`, also for a language that the model does not
/// know; `HEARKEN_ERROR_VERSION` for a field that is set and not known. `*session` is null then.
///
/// # Safety
///
/// `options` is as `size` in it says, with texts that end in a NUL; `session` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearken_session_new(
    model: ModelHandle,
    options: *const CSessionOptions,
    session: *mut SessionHandle,
) -> CStatus {
    answer(|| {
        // SAFETY: the caller's contract, here and below.
        let session = unsafe { memory::out(session, SessionHandle { handle: 0 }) }?;
        let model: Model = registry::get(model.handle)?;
        // SAFETY: as above.
        let options = unsafe { memory::options(options) }?;
        // SAFETY: as above.
        let (options, pcm) = unsafe { understand(&options) }?;
        let listener = SessionObject::new(Session::new(&model, options)?, pcm);
        session.handle = registry::insert(Object::Session(Arc::new(listener)));
        Ok(CStatus::HearkenOk)
    })
}

/// Takes `frame_count` interleaved frames of the session's format. Never waits for the recognizer.
/// Resamples and detects speech on the calling thread, for which it allocates, and locks data that
/// is held for no longer than that: not for an audio thread, which has `hearken_input_push`.
///
/// Threads: any but audio threads; one at a time. Ownership: the frames are copied. Errors:
/// `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_ARGUMENT`; `HEARKEN_ERROR_STATE` after the end, or when
/// an input is open; `HEARKEN_ERROR_BUSY` while another thread pushes into the same session.
/// Nothing was taken then.
///
/// # Safety
///
/// `frames` points to as many frames, aligned as their samples are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearken_session_push(
    session: SessionHandle,
    frames: *const c_void,
    frame_count: usize,
) -> CStatus {
    answer(|| {
        let listener: Arc<SessionObject> = registry::get(session.handle)?;
        // SAFETY: the caller's contract.
        let samples = unsafe { listener.pcm.samples(frames, frame_count) }?;
        listener.push(&samples)?;
        Ok(CStatus::HearkenOk)
    })
}

/// Reports that `frame_count` frames never came: a running utterance ends here, the clock goes on,
/// and the gap is reported as `HEARKEN_EVENT_DROPPED`.
///
/// Threads: as `hearken_session_push`.
/// Errors: as `hearken_session_push`.
#[unsafe(no_mangle)]
pub extern "C" fn hearken_session_skip(session: SessionHandle, frame_count: u64) -> CStatus {
    answer(|| {
        registry::get::<Arc<SessionObject>>(session.handle)?.skip(frame_count)?;
        Ok(CStatus::HearkenOk)
    })
}

/// The key of push-to-talk is pressed: an utterance begins with the next frames. With an input,
/// those are the next that the session's thread takes out of the ring.
///
/// Threads: any but audio threads. Errors: `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_STATE` after the
/// end, or when the session detects speech by itself.
#[unsafe(no_mangle)]
pub extern "C" fn hearken_session_begin(session: SessionHandle) -> CStatus {
    answer(|| {
        registry::get::<Arc<SessionObject>>(session.handle)?.session().begin()?;
        Ok(CStatus::HearkenOk)
    })
}

/// The key of push-to-talk is released: the utterance ends.
///
/// Threads: as `hearken_session_begin`.
/// Errors: as `hearken_session_begin`.
#[unsafe(no_mangle)]
pub extern "C" fn hearken_session_end(session: SessionHandle) -> CStatus {
    answer(|| {
        registry::get::<Arc<SessionObject>>(session.handle)?.session().end()?;
        Ok(CStatus::HearkenOk)
    })
}

/// Ends the audio. The rest is recognized; `HEARKEN_EVENT_FINISHED` is the last event. An input is
/// closed, and its content is pushed before, which takes up to some milliseconds. Does not wait for
/// the recognizer.
///
/// Threads: any but audio threads. Waits for a push that runs. Errors: `HEARKEN_ERROR_HANDLE`;
/// `HEARKEN_ERROR_STATE` the second time, or after `hearken_session_cancel`.
#[unsafe(no_mangle)]
pub extern "C" fn hearken_session_finish(session: SessionHandle) -> CStatus {
    answer(|| {
        registry::get::<Arc<SessionObject>>(session.handle)?.finish()?;
        Ok(CStatus::HearkenOk)
    })
}

/// Cancels recognition. Earlier events can still be read; `HEARKEN_EVENT_FINISHED` is not among
/// them. An input is closed.
///
/// Threads: any but audio threads. Waits for a push that runs.
/// Errors: `HEARKEN_ERROR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn hearken_session_cancel(session: SessionHandle) -> CStatus {
    answer(|| {
        registry::get::<Arc<SessionObject>>(session.handle)?.cancel();
        Ok(CStatus::HearkenOk)
    })
}

/// Takes the next event. Waits for it for `timeout_ms` milliseconds: 0 not at all, a negative
/// number for ever.
///
/// Threads: any but audio threads; one at a time. Ownership: `*event`, and the memory that it
/// points to, belong to the session, and stay until the next call of this function or of
/// `hearken_session_free`, on any thread. Errors: `HEARKEN_TIMEOUT` and `HEARKEN_ENDED` are none.
/// `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_ARGUMENT`; `HEARKEN_ERROR_STATE` when the session has a
/// callback; `HEARKEN_ERROR_BUSY` while another thread polls. `*event` is NULL unless the answer is
/// `HEARKEN_OK`.
///
/// # Safety
///
/// `event` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearken_session_poll(
    session: SessionHandle,
    timeout_ms: i32,
    event: *mut *const CEvent,
) -> CStatus {
    answer(|| {
        // SAFETY: the caller's contract.
        let event = unsafe { memory::out(event, std::ptr::null()) }?;
        let listener: Arc<SessionObject> = registry::get(session.handle)?;
        let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
        listener.poll(timeout, event)
    })
}

/// Has events brought instead of fetching them: from now on `callback` is called with each of them
/// and with `user`, on a thread that this session then has.
///
/// Threads: any but audio threads. Ownership: `user` is yours; it must be good on that thread until
/// `hearken_session_free` has returned. Errors: `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_ARGUMENT`;
/// `HEARKEN_ERROR_STATE` when there is one already; `HEARKEN_ERROR_BUSY` while a thread polls;
/// `HEARKEN_ERROR_SYSTEM` when a thread cannot be started.
///
/// # Safety
///
/// `callback` may be called with `user` on another thread until the session is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearken_session_set_callback(
    session: SessionHandle,
    callback: EventCallback,
    user: *mut c_void,
) -> CStatus {
    answer(|| {
        let listener: Arc<SessionObject> = registry::get(session.handle)?;
        let callback = callback.ok_or_else(|| Fault::argument("callback may not be NULL"))?;
        // SAFETY: the caller's contract.
        unsafe { listener.call_back(callback, user) }?;
        Ok(CStatus::HearkenOk)
    })
}

/// Sets `*accounting` to where each sample went so far.
///
/// Threads: any but audio threads.
/// Errors: `HEARKEN_ERROR_HANDLE`, `HEARKEN_ERROR_ARGUMENT`.
///
/// # Safety
///
/// `accounting` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearken_session_accounting(
    session: SessionHandle,
    accounting: *mut CAccounting,
) -> CStatus {
    answer(|| {
        // SAFETY: the caller's contract.
        let out = unsafe { memory::out(accounting, CAccounting::default()) }?;
        let listener: Arc<SessionObject> = registry::get(session.handle)?;
        let audio::Accounting { speech, silence, dropped } = listener.session().accounting();
        *out = CAccounting { speech, silence, dropped };
        Ok(CStatus::HearkenOk)
    })
}

/// Cancels and frees a session. A thread that waits in `hearken_session_poll` gets `HEARKEN_ENDED`.
/// When it returns, no callback runs, and none will.
///
/// Threads: any but audio threads. Waits for a push, a poll and a callback that run. Errors:
/// `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_STATE` in the session's own callback, which it would wait
/// for.
#[unsafe(no_mangle)]
pub extern "C" fn hearken_session_free(session: SessionHandle) -> CStatus {
    answer(|| {
        if registry::get::<Arc<SessionObject>>(session.handle)?.in_callback() {
            return Err(Fault::state(
                "a session cannot be freed in its own callback; free it on another thread",
            ));
        }
        registry::remove::<Arc<SessionObject>>(session.handle)?.free();
        Ok(CStatus::HearkenOk)
    })
}
