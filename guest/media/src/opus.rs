//! Opus by libopus, whatever the number of channels: symphonia has no decoder of its own.

use std::ptr::NonNull;

use opusic_sys as sys;

/// Rate of all decoded audio [Hz]: that of the recognizer. The codec's own unit is 48 kHz; libopus
/// decodes at a third of it for half the cost, and leaves out what nobody hears. The rate in a
/// header is that of the recording before it was encoded, and says nothing.
pub(crate) const RATE: u32 = 16_000;
/// Frames in which headers and packets count, for each decoded one.
const UNITS: usize = 3;

/// Frames of the longest packet: 120 ms.
const MAX_FRAMES: usize = 1_920;

/// First bytes of an identification header.
const HEAD: &[u8] = b"OpusHead";

/// A decoder for one stream.
pub(crate) struct Opus {
    decoder: NonNull<sys::OpusMSDecoder>,
    channels: usize,
    /// Frames to leave out at the start.
    skip: usize,
}

impl Opus {
    /// A decoder for the stream whose header (RFC 7845, section 5.1) is `head`; without one, for a
    /// stream of `channels`.
    pub(crate) fn new(head: Option<&[u8]>, channels: usize) -> Result<Self, String> {
        let head = match head {
            Some(head) => Head::read(head).ok_or("a header of Opus that makes no sense")?,
            None => Head::plain(u8::try_from(channels).unwrap_or(0)).ok_or("Opus without a header")?,
        };
        let mut error = 0;
        // SAFETY: `mapping` has an entry for each channel, as the function reads, and is not kept.
        // The numbers need not fit each other: libopus checks them (`validate_layout`) and returns
        // null.
        let decoder = unsafe {
            sys::opus_multistream_decoder_create(
                RATE as i32,
                i32::from(head.channels),
                i32::from(head.streams),
                i32::from(head.coupled),
                head.mapping.as_ptr(),
                &mut error,
            )
        };
        let decoder = NonNull::new(decoder).ok_or("a layout of channels that Opus does not have")?;
        let skip = usize::from(head.pre_skip).div_ceil(UNITS);
        Ok(Self { decoder, channels: usize::from(head.channels), skip })
    }

    /// Number of channels.
    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// Leaves nothing out at the start.
    pub(crate) fn keep_start(&mut self) {
        self.skip = 0;
    }

    /// Decodes a packet into `block`, without what is to be left out at its ends: `trim_end` frames
    /// at 48 kHz at the last one. Returns false if it makes no sense.
    pub(crate) fn decode(&mut self, packet: &[u8], trim_end: usize, block: &mut Vec<f32>) -> bool {
        block.clear();
        block.resize(MAX_FRAMES * self.channels, 0.0);
        let Ok(len) = i32::try_from(packet.len()) else { return false };
        // SAFETY: the decoder lives as long as `self`; `packet` is `len` bytes, and `block` has
        // room for `MAX_FRAMES` frames of all channels.
        let frames = unsafe {
            sys::opus_multistream_decode_float(
                self.decoder.as_ptr(),
                packet.as_ptr(),
                len,
                block.as_mut_ptr(),
                MAX_FRAMES as i32,
                0,
            )
        };
        let Ok(frames) = usize::try_from(frames) else {
            block.clear();
            return false;
        };
        let end = frames.min(MAX_FRAMES).saturating_sub(trim_end / UNITS);
        let start = self.skip.min(end);
        self.skip = self.skip.saturating_sub(frames);
        block.truncate(end * self.channels);
        block.drain(..start * self.channels);
        true
    }
}

impl Drop for Opus {
    fn drop(&mut self) {
        // SAFETY: the decoder was created by libopus, and is not used again.
        unsafe { sys::opus_multistream_decoder_destroy(self.decoder.as_ptr()) }
    }
}

// SAFETY: libopus keeps all of a decoder's state in the decoder, which moves with its only owner.
unsafe impl Send for Opus {}
// SAFETY: a shared reference allows reading a number, which is Rust's.
unsafe impl Sync for Opus {}

/// The identification header.
struct Head {
    channels: u8,
    pre_skip: u16,
    streams: u8,
    coupled: u8,
    /// The stream's channel of each channel.
    mapping: Vec<u8>,
}

impl Head {
    fn plain(channels: u8) -> Option<Self> {
        let coupled = match channels {
            1 => 0,
            2 => 1,
            _ => return None,
        };
        Some(Self { channels, pre_skip: 0, streams: 1, coupled, mapping: (0..channels).collect() })
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let fields = bytes.strip_prefix(HEAD)?;
        let channels = *fields.get(1)?;
        let pre_skip = u16::from_le_bytes([*fields.get(2)?, *fields.get(3)?]);
        let head = match fields.get(10)? {
            0 => Self::plain(channels)?,
            _ => Self {
                channels,
                pre_skip,
                streams: *fields.get(11)?,
                coupled: *fields.get(12)?,
                mapping: fields.get(13..13 + usize::from(channels))?.to_vec(),
            },
        };
        (channels > 0).then_some(Self { pre_skip, ..head })
    }
}
