//! Decoding of a client's audio, a short slice at a time.

use bytes::Bytes;
use hearken::SAMPLE_RATE;
use hearken::audio::{AudioError, Encoding, Faults, Format};
use hearken::service::{LiveDecoder, Taken};

use crate::rejection::Rejection;

/// Audio that is resampled and searched for speech at once, as a part of a second: a short task of
/// the runtime, after which other connections have their turn.
const SLICES_PER_SECOND: usize = 2;
/// Maximum piece in samples of all channels, for formats that have many: about a millisecond of
/// work.
const SLICE: usize = 48_000;

/// Bytes of a container that are given to its decoder at once: about a second of compressed speech.
const CONTAINER_SLICE: usize = 8_192;
/// Samples of a container that are taken in at once, of each channel [16 kHz].
const CONTAINER_SAMPLES: usize = SAMPLE_RATE as usize / SLICES_PER_SECOND;

/// The form in which a client sends its audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Samples, one after another.
    Raw(Encoding),
    /// A container, such as WebM or Ogg, whose start says what it is. The session's format is
    /// [`Format::MODEL`].
    Container,
}

impl From<Encoding> for Carrier {
    fn from(encoding: Encoding) -> Self {
        Self::Raw(encoding)
    }
}

/// The client's audio that is not decoded yet, and its decoder.
pub(super) struct Intake {
    decoder: Decoder,
    /// Audio as it came.
    bytes: Bytes,
}

enum Decoder {
    Raw {
        encoding: Encoding,
        /// Bytes of a frame that is not complete.
        carried: Vec<u8>,
    },
    Container {
        decoder: Box<LiveDecoder>,
        /// It needs more bytes.
        starved: bool,
    },
}

impl Decoder {
    fn new(carrier: Carrier, apart: Option<u16>) -> Self {
        match carrier {
            Carrier::Raw(encoding) => Self::Raw { encoding, carried: Vec::new() },
            Carrier::Container => {
                let name = "the stream";
                let decoder = apart
                    .map_or_else(|| LiveDecoder::new(name), |channels| LiveDecoder::apart(name, channels));
                Self::Container { decoder: Box::new(decoder), starved: true }
            }
        }
    }
}

impl Intake {
    /// An intake without audio. `apart`: the channels of a container are kept apart, and are as
    /// many as that; 0 before the first one has said it.
    pub(super) fn new(carrier: Carrier, apart: Option<u16>) -> Self {
        Self { decoder: Decoder::new(carrier, apart), bytes: Bytes::new() }
    }

    /// Starts afresh with another carrier. Audio that was not decoded stays.
    pub(super) fn replace(&mut self, carrier: Carrier) {
        self.decoder = Decoder::new(carrier, None);
    }

    /// Returns true if it needs more audio.
    pub(super) fn is_hungry(&self) -> bool {
        let decoded = matches!(self.decoder, Decoder::Raw { .. } | Decoder::Container { starved: true, .. });
        self.bytes.is_empty() && decoded
    }

    /// Returns true if its decoder may hold audio that comes out only at the end.
    pub(super) fn holds_back(&self) -> bool {
        matches!(self.decoder, Decoder::Container { starved: true, .. })
    }

    /// Adds audio. Only called when it [is hungry](Self::is_hungry).
    pub(super) fn feed(&mut self, audio: Bytes) {
        self.bytes = audio;
    }

    /// Discards audio that was not decoded.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Number of channels that a container's samples have; `None` for raw audio.
    pub(super) fn channels(&self) -> Option<u16> {
        match &self.decoder {
            Decoder::Raw { .. } => None,
            Decoder::Container { decoder, .. } => Some(decoder.channels()),
        }
    }

    /// Decodes a slice of audio: raw audio of this format, or a container to 16 kHz. `ended`: no
    /// more audio comes.
    pub(super) fn take(
        &mut self,
        format: Format,
        ended: bool,
        samples: &mut Vec<f32>,
    ) -> Result<(), Rejection> {
        match &mut self.decoder {
            Decoder::Raw { encoding, carried } => {
                take_raw(&mut self.bytes, *encoding, carried, format, samples);
                Ok(())
            }
            Decoder::Container { .. } => self.take_container(ended, samples),
        }
    }

    /// Decodes some of a container.
    fn take_container(&mut self, ended: bool, samples: &mut Vec<f32>) -> Result<(), Rejection> {
        let Decoder::Container { decoder, starved } = &mut self.decoder else { return Ok(()) };
        if *starved {
            let slice = self.bytes.split_to(self.bytes.len().min(CONTAINER_SLICE));
            decoder.push(&slice);
            if ended && self.bytes.is_empty() {
                decoder.finish();
            }
            *starved = false;
        }
        while samples.len() < CONTAINER_SAMPLES * usize::from(decoder.channels()) {
            match decoder.take(samples) {
                Ok(Taken::Audio) => {}
                Ok(Taken::Starved) => {
                    *starved = true;
                    break;
                }
                // Another recording may follow: a browser's recorder that was stopped and started
                // again.
                Ok(Taken::End) => {
                    (**decoder, *starved) = (decoder.another(), true);
                    break;
                }
                // A client ends its stream in the middle of a packet.
                Err(AudioError::Truncated { .. } | AudioError::NotAudio { .. }) if ended => {
                    (**decoder, *starved) = (decoder.another(), true);
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Decodes some samples, and keeps what there is of the last frame.
fn take_raw(
    bytes: &mut Bytes,
    encoding: Encoding,
    carried: &mut Vec<u8>,
    format: Format,
    samples: &mut Vec<f32>,
) {
    let channels = usize::from(format.channels);
    let frame = encoding.bytes() * channels;
    let most = frame * (format.sample_rate as usize / SLICES_PER_SECOND).min(SLICE / channels);
    let slice = bytes.split_to(bytes.len().min(most));
    let mut joined;
    let bytes = if carried.is_empty() {
        &slice[..]
    } else {
        joined = std::mem::take(carried);
        joined.extend_from_slice(&slice);
        &joined[..]
    };
    let (whole, rest) = bytes.split_at(bytes.len() / frame * frame);
    let rest = rest.to_vec();
    // What is no number became silence, as it does in recordings.
    encoding.decode(whole, samples, &mut Faults::default());
    *carried = rest;
}
