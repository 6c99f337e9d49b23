//! Audio on its way to the recognizer: mixing, resampling, voice activity, chunks.

#[path = "../../../host/src/audio/chunks.rs"]
mod chunks;
#[cfg(all(target_arch = "wasm32", feature = "files"))]
#[path = "../../../host/src/audio/decode/convert.rs"]
mod convert;
#[path = "../../../host/src/audio/error.rs"]
mod error;
#[path = "../../../host/src/audio/mix.rs"]
mod mix;
#[cfg(all(target_arch = "wasm32", feature = "files"))]
#[path = "recording.rs"]
mod recording;
#[path = "../../../host/src/audio/resample.rs"]
mod resample;
#[path = "../../../host/src/audio/sanitize.rs"]
mod sanitize;
#[path = "../../../host/src/audio/track.rs"]
mod track;
#[path = "../../../host/src/audio/vad/mod.rs"]
mod vad;
#[path = "../../../host/src/audio/voice.rs"]
mod voice;

#[cfg(all(target_arch = "wasm32", feature = "files"))]
pub use crate::source::Bytes;
pub use chunks::{Chunk, Chunker};
pub use error::AudioError;
#[cfg(all(target_arch = "wasm32", feature = "files"))]
pub use recording::{Piped, Recording};
pub use resample::Resampler;
pub(crate) use resample::resampled;
pub(crate) use sanitize::{usable, usable_sample};
pub use track::{Track, Tracks};
pub use vad::{VadConfig, VadEvent, VoiceActivity};
pub(crate) use voice::Voice;

/// Shape of interleaved PCM audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format {
    /// Frames per second, 8 000 to 192 000 Hz.
    pub sample_rate: u32,
    /// Samples per frame, 1 to 8.
    pub channels: u16,
}

impl Format {
    /// Output format of the [`Resampler`]: 16 kHz mono.
    pub const MODEL: Self = Self { sample_rate: crate::SAMPLE_RATE, channels: 1 };

    /// Refuses a rate outside 8 to 192 kHz and a channel count outside 1 to 8 with
    /// [`AudioError::Format`].
    pub fn validate(self) -> Result<Self, AudioError> {
        if (8_000..=192_000).contains(&self.sample_rate) && (1..=8).contains(&self.channels) {
            Ok(self)
        } else {
            Err(AudioError::Format { sample_rate: self.sample_rate, channels: self.channels })
        }
    }
}

/// Repairs that a source made so far. All zero for a sound recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// Packets that could not be decoded and were skipped.
    pub skipped_packets: u64,
    /// Frames of silence put where packets were skipped or missing, so that later positions stay
    /// true.
    pub concealed_frames: u64,
    /// Samples that were not a number or infinite, and were set to 0.
    pub non_finite_samples: u64,
    /// Samples outside -1 to 1, and clamped to it. Lossy codecs overshoot by themselves: a few are
    /// normal.
    pub clipped_samples: u64,
}

impl Faults {
    /// Returns true if audio is missing or was unusable. Clipping alone is not damage.
    pub fn is_damaged(&self) -> bool {
        self.skipped_packets > 0 || self.concealed_frames > 0 || self.non_finite_samples > 0
    }
}

/// Audio that is read block by block, in memory that does not grow with its length.
pub trait Source: Send {
    /// Rate and channels of every block.
    fn format(&self) -> Format;

    /// Number of frames that the recording states. A hint for progress: it may be wrong, and live
    /// audio has none.
    fn frames(&self) -> Option<u64>;

    /// Clears `block`, fills it with interleaved samples from -1 to 1, and returns how many frames
    /// it holds; 0 is the end.
    ///
    /// An error comes after the last block that could be read, never in its place: the blocks
    /// before it are sound. After an error, as after the end, further calls return 0.
    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError>;

    /// Takes the rest of a long gap in the recording, which [`read`](Self::read) would fill with
    /// silence, as a number of frames; 0 where there is none. To be asked before each read, for
    /// consumers that need not look at silence: a few bytes may state hours of it.
    fn take_gap(&mut self) -> u64 {
        0
    }

    /// Repairs in the blocks delivered so far.
    fn faults(&self) -> Faults;

    /// The sound tracks of the recording, if it has several.
    fn tracks(&self) -> Option<Tracks> {
        None
    }
}

impl<S: Source + ?Sized> Source for &mut S {
    fn format(&self) -> Format {
        (**self).format()
    }

    fn frames(&self) -> Option<u64> {
        (**self).frames()
    }

    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        (**self).read(block)
    }

    fn take_gap(&mut self) -> u64 {
        (**self).take_gap()
    }

    fn faults(&self) -> Faults {
        (**self).faults()
    }

    fn tracks(&self) -> Option<Tracks> {
        (**self).tracks()
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn format(&self) -> Format {
        (**self).format()
    }

    fn frames(&self) -> Option<u64> {
        (**self).frames()
    }

    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        (**self).read(block)
    }

    fn take_gap(&mut self) -> u64 {
        (**self).take_gap()
    }

    fn faults(&self) -> Faults {
        (**self).faults()
    }

    fn tracks(&self) -> Option<Tracks> {
        (**self).tracks()
    }
}
