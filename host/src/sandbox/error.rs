//! Errors of a guest.

use std::time::Duration;

use hearken_proto::abi::{Status, VERSION};

/// A guest failed, or was not let through. Each of these ends one instance and leaves the host as
/// it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// WebAssembly could not be compiled or run on this machine.
    #[error("the sandbox cannot run on this machine: {0}; `hearken doctor` says what it needs")]
    Engine(String),
    /// The guest module is not one that hearken can run.
    #[error("the guest is not a hearken guest: {0}; use the one that belongs to this version")]
    NotAGuest(String),
    /// The guest was built for another version of the boundary.
    #[error("the guest has ABI version {found}, this host needs {VERSION}: rebuild the guest")]
    Abi {
        /// The guest's version.
        found: u32,
    },
    /// The guest trapped.
    #[error("the guest trapped: {kind}{place}{log}")]
    Trap {
        /// Kind of trap.
        kind: TrapKind,
        /// The function it happened in, for the message; empty or `" in …"`.
        place: String,
        /// The last line of the guest's log, for the message; empty or `" (…)"`.
        log: String,
    },
    /// The guest used up its CPU time.
    #[error(
        "the guest used more than {limit:?} of CPU time in one call; raise Limits::cpu_per_call if that is right"
    )]
    CpuTime {
        /// The limit.
        limit: Duration,
    },
    /// The guest asked for more memory than it may have.
    #[error("the guest needs more than {} MiB of memory; use a smaller model or raise Limits::memory_bytes", .limit >> 20)]
    Memory {
        /// The limit in bytes.
        limit: u64,
    },
    /// The guest has written, or asked for, more memory than a share's limit leaves to one sandbox.
    #[error(
        "the guest needs more than {} MiB of memory besides its model's, what its share has for each thread; use a smaller model or \
         raise the share's limit",
        .limit >> 20
    )]
    Held {
        /// The limit in bytes.
        limit: u64,
    },
    /// The guest violated the ABI: an address outside its memory, inconsistent events, too many of
    /// them.
    #[error("the guest violated the ABI: {0}")]
    Misbehaved(String),
    /// The guest answered with an error status.
    #[error("{}{log}", describe(*status))]
    Refused {
        /// Status that the guest returned.
        status: Status,
        /// The last line of the guest's log, for the message; empty or `" (…)"`.
        log: String,
    },
    /// A prepared model could not be kept in memory.
    #[error("the prepared model cannot be mapped: {0}; free memory, or use a smaller model")]
    Image(std::io::Error),
}

/// Why a guest trapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrapKind {
    /// An address outside linear memory.
    MemoryOutOfBounds,
    /// The stack ran out.
    StackOverflow,
    /// `abort`, a failed assertion, a C++ exception or a Rust panic.
    Abort,
    /// Indirect call through a null entry, or to a function of the wrong type.
    BadCall,
    /// Anything else.
    Other,
}

impl std::fmt::Display for TrapKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MemoryOutOfBounds => "it reached outside its memory",
            Self::StackOverflow => "its stack overflowed",
            Self::Abort => "it aborted",
            Self::BadCall => "indirect call to a function of the wrong type",
            Self::Other => "it broke a rule of WebAssembly",
        })
    }
}

/// The beginning of a guest's message, for a message of one line: at most 200 characters.
pub(super) fn shorten(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

fn describe(status: Status) -> &'static str {
    match status {
        Status::Ok => "the guest reported success",
        Status::Malformed => "the guest could not read the request",
        Status::NoModel => "the guest holds no model",
        Status::BadModel => "whisper.cpp refused the model",
        Status::DecodeFailed => "whisper.cpp failed to decode",
        Status::BadLanguage => {
            "the model does not know this language; leave the language out, or name one it knows"
        }
        Status::Unsupported => "an English-only model cannot translate; use a multilingual model",
        Status::WindowTooLong => "the audio is longer than the model's context",
    }
}

impl SandboxError {
    /// Returns true if only one utterance is affected: another one, or the same one in a fresh
    /// sandbox, may well succeed. Otherwise the module itself is at fault, or the machine, and
    /// every utterance would fail.
    pub fn ends_one_utterance(&self) -> bool {
        matches!(
            self,
            Self::Trap { .. }
                | Self::CpuTime { .. }
                | Self::Memory { .. }
                | Self::Held { .. }
                | Self::Misbehaved(_)
                // The host has checked that the model supports the request: an error status is this
                // guest's own failure.
                | Self::Refused { .. }
        )
    }

    pub(super) fn engine(error: wasmtime::Error) -> Self {
        Self::Engine(format!("{error:#}"))
    }
}
