//! Status codes, and the boundary that no panic crosses.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;
use crate::session::SessionError;

/// Status of a call: 0 or more is no error. After an error nothing was taken and nothing was
/// changed, unless the function says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum CStatus {
    /// Done.
    HearkenOk = 0,
    /// No event came within the timeout.
    HearkenTimeout = 1,
    /// No more events: the session is finished, cancelled or freed.
    HearkenEnded = 2,
    /// The header that the program was compiled with belongs to another version of the library.
    /// Install the two of one version.
    HearkenErrorVersion = -1,
    /// An argument that cannot be: NULL where it may not be, text that is not UTF-8, a value out of
    /// range, a language that the model does not know.
    HearkenErrorArgument = -2,
    /// A handle that is null, freed, or of another kind.
    HearkenErrorHandle = -3,
    /// Not now: the order of calls is wrong, such as a push after the end.
    HearkenErrorState = -4,
    /// Another thread is in a call that excludes this one. Calls of one kind on one session belong
    /// on one thread.
    HearkenErrorBusy = -5,
    /// The model cannot be read, or is not one that hearken loads.
    HearkenErrorModel = -6,
    /// The operating system refused something: a thread, a file, memory.
    HearkenErrorSystem = -7,
    /// The sandbox failed.
    HearkenErrorSandbox = -8,
    /// A defect in hearken. The object that was called may be of no more use; others are not
    /// affected. Please report it.
    HearkenErrorDefect = -9,
}

/// Error status with a message for people.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: CStatus,
    message: String,
}

impl Fault {
    pub(super) fn new(status: CStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn argument(message: impl Into<String>) -> Self {
        Self::new(CStatus::HearkenErrorArgument, message)
    }

    pub(super) fn state(message: impl Into<String>) -> Self {
        Self::new(CStatus::HearkenErrorState, message)
    }

    pub(super) fn busy() -> Self {
        Self::new(
            CStatus::HearkenErrorBusy,
            "another thread is in such a call on this session; make these calls from one thread",
        )
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Audio(_) | Error::Language { .. } | Error::EnglishOnly { .. } => {
                CStatus::HearkenErrorArgument
            }
            Error::ModelRead { .. }
            | Error::Model { .. }
            | Error::ModelTooLarge { .. }
            | Error::ModelChanged { .. } => CStatus::HearkenErrorModel,
            Error::Sandbox(_) | Error::Place(_) => CStatus::HearkenErrorSandbox,
            Error::Session(error) => return (*error).into(),
            Error::Panicked => CStatus::HearkenErrorDefect,
            Error::System { .. } => CStatus::HearkenErrorSystem,
        };
        Self::new(status, error.to_string())
    }
}

impl From<SessionError> for Fault {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Ended => Self::state(error.to_string()),
            SessionError::Automatic => Self::state(
                "this session detects speech by itself; set push_to_talk in hearken_session_options",
            ),
            SessionError::PartialFrame { .. }
            | SessionError::FormatChanged { .. }
            | SessionError::Checkpoint(_) => Self::argument(error.to_string()),
        }
    }
}

thread_local! {
    /// Message of the latest error on this thread.
    static LAST: RefCell<CString> = RefCell::default();
}

/// Ends a function of the interface: remembers the message of an error, and turns a panic into one.
pub(super) fn answer(work: impl FnOnce() -> Result<CStatus, Fault>) -> CStatus {
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        // What was thrown might panic once more when it is dropped.
        std::mem::forget(payload);
        Err(Fault::new(CStatus::HearkenErrorDefect, "hearken panicked; this is a defect, please report it"))
    });
    match result {
        Ok(status) => status,
        Err(Fault { status, message }) => {
            let message = CString::new(message.replace('\0', " ")).unwrap_or_default();
            // A thread that is about to end has no place for it any more.
            let _ = LAST.try_with(|last| *last.borrow_mut() = message);
            status
        }
    }
}

/// Message of the latest error on this thread: one line, in UTF-8, with the remedy. Never NULL;
/// empty before the first error. It belongs to the library, and stays as it is until the next call
/// on this thread that ends in an error.
///
/// Threads: any but audio threads; each has its own.
#[unsafe(no_mangle)]
pub extern "C" fn hearken_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// The name of a status, such as "HEARKEN_ERROR_STATE"; "unknown" for a number that is none. Never
/// NULL, never to be freed.
///
/// Threads: any, audio threads too.
#[unsafe(no_mangle)]
pub extern "C" fn hearken_status_text(status: i32) -> *const c_char {
    name(status).as_ptr()
}

fn name(status: i32) -> &'static CStr {
    match status {
        0 => c"HEARKEN_OK",
        1 => c"HEARKEN_TIMEOUT",
        2 => c"HEARKEN_ENDED",
        -1 => c"HEARKEN_ERROR_VERSION",
        -2 => c"HEARKEN_ERROR_ARGUMENT",
        -3 => c"HEARKEN_ERROR_HANDLE",
        -4 => c"HEARKEN_ERROR_STATE",
        -5 => c"HEARKEN_ERROR_BUSY",
        -6 => c"HEARKEN_ERROR_MODEL",
        -7 => c"HEARKEN_ERROR_SYSTEM",
        -8 => c"HEARKEN_ERROR_SANDBOX",
        -9 => c"HEARKEN_ERROR_DEFECT",
        _ => c"unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        // SAFETY: the message of this thread, which nothing replaces before it is copied.
        unsafe { CStr::from_ptr(hearken_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_becomes_an_error_with_a_message() {
        assert_eq!(answer(|| panic!("expected by this test")), CStatus::HearkenErrorDefect);
        assert!(last().contains("defect"), "{}", last());
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_does_no_more_than_that() {
        struct Grudge;
        impl Drop for Grudge {
            fn drop(&mut self) {
                panic!("once more");
            }
        }
        assert_eq!(answer(|| std::panic::panic_any(Grudge)), CStatus::HearkenErrorDefect);
    }

    #[test]
    fn each_thread_has_a_message_of_its_own() {
        assert_eq!(answer(|| Err(Fault::argument("here\0and on"))), CStatus::HearkenErrorArgument);
        std::thread::spawn(|| assert_eq!(last(), "")).join().unwrap();
        assert_eq!(last(), "here and on");
        assert_eq!(answer(|| Ok(CStatus::HearkenEnded)), CStatus::HearkenEnded);
        assert_eq!(last(), "here and on");
    }
}
