//! Errors of audio sources, and their remedies.

use super::Format;

/// Why audio cannot be read, or not to its end. Each message is one line, and names the thing and
/// the remedy.
///
/// File names are quoted and escaped, since they may hold control characters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// The file cannot be opened: it is missing, or its permissions forbid it.
    #[error("cannot open {name:?}: {cause}; check the path and its permissions")]
    Open {
        /// The file.
        name: String,
        /// Error of the operating system.
        cause: std::io::Error,
    },
    /// The path names a directory.
    #[error("{name:?} is a directory; name the files in it one by one")]
    Directory {
        /// The directory.
        name: String,
    },
    /// Not a single byte.
    #[error("{name:?} is empty; check that the recording or download finished")]
    Empty {
        /// The file or stream.
        name: String,
    },
    /// No container that this build knows, or damaged from its start.
    #[error(
        "{name:?} is not audio that can be read ({reason}); convert it to WAV, FLAC, MP3, Ogg, WebM or M4A, state its format if it is raw PCM, or add FFmpeg's libraries (--media)"
    )]
    NotAudio {
        /// The file or stream.
        name: String,
        /// Reason given by the reader.
        reason: String,
    },
    /// The sandbox that decodes recordings cannot be made.
    #[error("cannot decode {name:?}: {cause}")]
    Sandbox {
        /// The file or stream.
        name: String,
        /// Why there is no sandbox.
        cause: crate::sandbox::SandboxError,
    },
    /// A container without an audio track: a silent film, say.
    #[error("{name:?} has no audio track; choose a recording with sound")]
    NoTrack {
        /// The file or stream.
        name: String,
    },
    /// A container without the track that was asked for.
    #[error("{name:?} has no sound track {track}; run without --track to list its tracks")]
    NoSuchTrack {
        /// The file or stream.
        name: String,
        /// The choice.
        track: String,
    },
    /// The container is known, but not its codec.
    #[error(
        "{name:?} uses a codec that is not supported ({reason}); convert it to WAV or FLAC, or add FFmpeg's libraries (--media)"
    )]
    Codec {
        /// The file or stream.
        name: String,
        /// Description of the missing part.
        reason: String,
    },
    /// A rate or channel count out of range.
    #[error(
        "{sample_rate} Hz with {channels} channels is not supported; convert to 8000-192000 Hz and 1-8 channels"
    )]
    Format {
        /// Frames per second.
        sample_rate: u32,
        /// Samples per frame.
        channels: u16,
    },
    /// A recording with a rate or channel count outside of what hearken takes.
    #[error(
        "{name:?} has {channels} channels at {sample_rate} Hz, which is not supported; convert to 8000-192000 Hz and 1-8 channels"
    )]
    RecordingFormat {
        /// The file or stream.
        name: String,
        /// Frames per second.
        sample_rate: u32,
        /// Samples per frame.
        channels: u16,
    },
    /// The recording changes on the way to a rate or channels that hearken does not take. What came
    /// before was delivered.
    #[error(
        "{name:?} changes from {} Hz, {} channels to {} Hz, {} channels after {frames} frames; split it there, or convert it to one format",
        from.sample_rate, from.channels, to.sample_rate, to.channels
    )]
    FormatChanged {
        /// The file or stream.
        name: String,
        /// Format at the beginning.
        from: Format,
        /// Format from there on.
        to: Format,
        /// Frames delivered before the change.
        frames: u64,
    },
    /// The recording ends before the length in its own header. The audio before was delivered.
    #[error(
        "{name:?} is cut off after {frames} frames{}; the audio up to there is complete, fetch the file again for the rest",
        expected.map(|n| format!(" of {n}")).unwrap_or_default()
    )]
    Truncated {
        /// The file or stream.
        name: String,
        /// Frames delivered.
        frames: u64,
        /// Frames the header promised, if it did.
        expected: Option<u64>,
    },
    /// Raw PCM that ends within a frame. The whole frames were delivered.
    #[error(
        "{name:?} ends with {bytes} bytes of an incomplete frame after {frames} frames; check the stated sample format and channels"
    )]
    PartialFrame {
        /// The stream.
        name: String,
        /// Bytes left over; fewer than one frame has.
        bytes: usize,
        /// Frames delivered.
        frames: u64,
    },
    /// The container is damaged so that nothing after this point can be found. What came before was
    /// delivered.
    #[error(
        "{name:?} is damaged after {frames} frames ({reason}); the audio up to there is complete, repair or convert the file for the rest"
    )]
    Damaged {
        /// The file or stream.
        name: String,
        /// Frames delivered.
        frames: u64,
        /// Reason given by the reader.
        reason: String,
    },
    /// The system failed to deliver the bytes. What came before was delivered.
    #[error(
        "cannot read {name:?} after {frames} frames: {cause}; check the disk or the connection and try again"
    )]
    Read {
        /// The file or stream.
        name: String,
        /// Frames delivered.
        frames: u64,
        /// Error of the operating system.
        cause: std::io::Error,
    },
}
