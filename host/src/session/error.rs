//! Why a session does not take something.

use crate::audio::Format;

/// Why a session does not take something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// [`Session::finish`](super::Session::finish) or [`Session::cancel`](super::Session::cancel)
    /// was called before.
    #[error("the session has ended; start another one")]
    Ended,
    /// [`Session::begin`](super::Session::begin) or [`Session::end`](super::Session::end) on a
    /// session that detects speech by itself.
    #[error(
        "this session detects speech by itself; set SessionOptions::voice_activity to None for push-to-talk"
    )]
    Automatic,
    /// The number of samples is no multiple of the channels.
    #[error("{samples} samples are not whole frames of {channels} channels; push whole frames")]
    PartialFrame {
        /// Number of samples pushed.
        samples: usize,
        /// Channels of the format.
        channels: u16,
    },
    /// Audio of another format than the session's: its device or stream changed in the middle.
    #[error(
        "audio came as {} Hz with {} channels, but the session takes {} Hz with {}; finish it and start another one",
        pushed.sample_rate, pushed.channels, session.sample_rate, session.channels
    )]
    FormatChanged {
        /// Format of the session.
        session: Format,
        /// Format of the push.
        pushed: Format,
    },
    /// A checkpoint that no session can have made: it is damaged, or somebody changed it.
    #[error("this checkpoint cannot be restored, since {0}; start another session")]
    Checkpoint(&'static str),
}
