//! Raw PCM without a header, from a pipe or a socket.

use std::io::{ErrorKind, Read};

use super::sanitize::sanitize;
use super::{AudioError, Faults, Format, Source};

/// Number of bytes read at once. A pipe returns the bytes that it has, so live audio is not held
/// back by this.
const BLOCK_BYTES: usize = 32 * 1024;

/// Storage format of a raw PCM sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// Signed 16-bit little-endian integers (`s16le`).
    S16Le,
    /// 32-bit little-endian floats, nominally -1 to 1 (`f32le`).
    F32Le,
    /// G.711 µ-law, the telephone's 8 bits in America and Japan (`mulaw`).
    MuLaw,
    /// G.711 A-law, the telephone's 8 bits elsewhere (`alaw`).
    ALaw,
}

impl Encoding {
    /// Bytes of one sample.
    pub const fn bytes(self) -> usize {
        match self {
            Self::S16Le => 2,
            Self::F32Le => 4,
            Self::MuLaw | Self::ALaw => 1,
        }
    }

    /// Appends the samples that `bytes` are, each from -1 to 1 and a number; bytes of an incomplete
    /// one are left out. What had to be repaired is counted.
    pub fn decode(self, bytes: &[u8], samples: &mut Vec<f32>, faults: &mut Faults) {
        let start = samples.len();
        // 32768, not 32767: every WAV reader's divisor, so that raw and WAV input give the same
        // text.
        let from_i16 = |sample: i16| f32::from(sample) / 32_768.0;
        match self {
            Self::S16Le => {
                samples.extend(bytes.as_chunks().0.iter().map(|bytes| from_i16(i16::from_le_bytes(*bytes))))
            }
            Self::F32Le => samples.extend(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))),
            Self::MuLaw => samples.extend(bytes.iter().map(|byte| from_i16(mu_law(*byte)))),
            Self::ALaw => samples.extend(bytes.iter().map(|byte| from_i16(a_law(*byte)))),
        }
        sanitize(&mut samples[start..], faults);
    }
}

/// Table 2a of ITU-T G.711, at 16 bits: sign, three bits of segment, four of step, all inverted.
fn mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let (segment, step) = ((byte & 0x70) >> 4, i16::from(byte & 0x0f));
    let size = (((step << 3) + 0x84) << segment) - 0x84;
    if byte & 0x80 == 0 { size } else { -size }
}

/// Table 1a of ITU-T G.711, at 16 bits: the same layout, every other bit inverted.
fn a_law(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (segment, step) = ((byte & 0x70) >> 4, i16::from(byte & 0x0f));
    let size = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    if byte & 0x80 == 0 { -size } else { size }
}

/// An encoding's name is none of ours.
#[derive(Debug, thiserror::Error)]
#[error("unknown encoding; use s16le, f32le, mulaw or alaw")]
#[non_exhaustive]
pub struct UnknownEncoding;

impl std::str::FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(name: &str) -> Result<Self, UnknownEncoding> {
        match name {
            "s16le" => Ok(Self::S16Le),
            "f32le" => Ok(Self::F32Le),
            "mulaw" => Ok(Self::MuLaw),
            "alaw" => Ok(Self::ALaw),
            _ => Err(UnknownEncoding),
        }
    }
}

/// Interleaved PCM whose rate and channels the caller knows.
#[derive(Debug)]
pub struct RawPcm<R> {
    name: String,
    reader: R,
    format: Format,
    encoding: Encoding,
    bytes: Vec<u8>,
    /// Bytes of an incomplete frame at the start of `bytes`: a read may end anywhere.
    carried: usize,
    delivered: u64,
    faults: Faults,
    ended: bool,
}

impl<R: Read + Send> RawPcm<R> {
    /// Reads `reader` as `encoding` in `format`; `name` stands for it in errors, for example
    /// `"standard input"`.
    ///
    /// # Errors
    /// [`AudioError::Format`] if the rate or the channels are out of range.
    pub fn new(name: &str, reader: R, format: Format, encoding: Encoding) -> Result<Self, AudioError> {
        Ok(Self {
            name: name.to_owned(),
            reader,
            format: format.validate()?,
            encoding,
            bytes: vec![0; BLOCK_BYTES],
            carried: 0,
            delivered: 0,
            faults: Faults::default(),
            ended: false,
        })
    }

    /// Fills `self.bytes` after the carried ones; 0 is the end of the stream.
    fn fill(&mut self) -> Result<usize, AudioError> {
        loop {
            match self.reader.read(&mut self.bytes[self.carried..]) {
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(cause) => {
                    return Err(AudioError::Read { name: self.name.clone(), frames: self.delivered, cause });
                }
            }
        }
    }
}

impl<R: Read + Send> Source for RawPcm<R> {
    fn format(&self) -> Format {
        self.format
    }

    fn frames(&self) -> Option<u64> {
        None
    }

    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        block.clear();
        let frame_bytes = self.encoding.bytes() * usize::from(self.format.channels);
        while !self.ended {
            let read = match self.fill() {
                Ok(read) => read,
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            };
            if read == 0 {
                self.ended = true;
                if self.carried == 0 {
                    break;
                }
                return Err(AudioError::PartialFrame {
                    name: self.name.clone(),
                    bytes: self.carried,
                    frames: self.delivered,
                });
            }
            let filled = self.carried + read;
            let frames = filled / frame_bytes;
            let whole = frames * frame_bytes;
            self.encoding.decode(&self.bytes[..whole], block, &mut self.faults);
            self.bytes.copy_within(whole..filled, 0);
            self.carried = filled - whole;
            if frames > 0 {
                self.delivered += frames as u64;
                return Ok(frames);
            }
        }
        Ok(0)
    }

    fn faults(&self) -> Faults {
        self.faults
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hands out the data in pieces of the given sizes, as a pipe may.
    struct Pieces {
        data: Vec<u8>,
        at: usize,
        sizes: Vec<usize>,
        turn: usize,
    }

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.turn += 1;
            if self.turn.is_multiple_of(3) {
                return Err(ErrorKind::Interrupted.into());
            }
            let size = self.sizes[self.turn % self.sizes.len()];
            let len = size.min(buffer.len()).min(self.data.len() - self.at);
            buffer[..len].copy_from_slice(&self.data[self.at..self.at + len]);
            self.at += len;
            Ok(len)
        }
    }

    fn drain(source: &mut dyn Source) -> (Vec<f32>, Option<AudioError>) {
        let (mut all, mut block) = (Vec::new(), vec![9.0]);
        loop {
            match source.read(&mut block) {
                Ok(0) => {
                    assert!(block.is_empty(), "the end leaves nothing in the block");
                    return (all, None);
                }
                Ok(frames) => {
                    assert_eq!(frames * usize::from(source.format().channels), block.len());
                    all.extend_from_slice(&block);
                }
                Err(error) => {
                    assert_eq!(source.read(&mut block).expect("an error is the end"), 0);
                    return (all, Some(error));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn reads_that_split_samples_and_frames_lose_nothing(
            samples in prop::collection::vec(any::<i16>(), 0..400),
            sizes in prop::collection::vec(1usize..70, 1..5),
            channels in 1u16..=8,
            float in any::<bool>(),
        ) {
            let encoding = if float { Encoding::F32Le } else { Encoding::S16Le };
            let expected: Vec<f32> = samples.iter().map(|&s| f32::from(s) / 32_768.0).collect();
            let data = match encoding {
                Encoding::S16Le => samples.iter().flat_map(|s| s.to_le_bytes()).collect(),
                _ => expected.iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<u8>>(),
            };
            let format = Format { sample_rate: 8_000, channels };
            let mut source =
                RawPcm::new("pipe", Pieces { data, at: 0, sizes, turn: 0 }, format, encoding).expect("valid");
            let whole = samples.len() / usize::from(channels) * usize::from(channels);
            let (got, error) = drain(&mut source);
            prop_assert_eq!(&got, &expected[..whole]);
            match error {
                None => prop_assert_eq!(whole, samples.len()),
                Some(AudioError::PartialFrame { bytes, frames, .. }) => {
                    prop_assert_eq!(bytes, (samples.len() - whole) * encoding.bytes());
                    prop_assert_eq!(frames * u64::from(channels), whole as u64);
                }
                Some(other) => prop_assert!(false, "{other}"),
            }
        }
    }

    /// Values of the standard's tables, and the order of all others.
    #[test]
    fn telephone_codes_are_those_of_the_standard() {
        let decode = |encoding: Encoding, byte| {
            let mut samples = Vec::new();
            encoding.decode(&[byte], &mut samples, &mut Faults::default());
            (samples[0] * 32_768.0) as i32
        };
        for (byte, sample) in
            [(0x00, -32_124), (0x80, 32_124), (0xff, 0), (0x7f, 0), (0xfe, 8), (0x8f, 16_764)]
        {
            assert_eq!(decode(Encoding::MuLaw, byte), sample, "µ-law {byte:#x}");
        }
        for (byte, sample) in [(0x2a, -32_256), (0xaa, 32_256), (0xd5, 8), (0x55, -8), (0x80, 5_504)] {
            assert_eq!(decode(Encoding::ALaw, byte), sample, "A-law {byte:#x}");
        }
        // All codes of a sign are in order, from segment to segment.
        let sizes = |encoding, order: &dyn Fn(u8) -> u8| {
            (0..128).map(|n| decode(encoding, order(n))).collect::<Vec<_>>()
        };
        assert!(sizes(Encoding::MuLaw, &|n| !n).is_sorted());
        assert!(sizes(Encoding::ALaw, &|n| (n | 0x80) ^ 0x55).is_sorted());
    }

    #[test]
    fn half_a_sample_at_the_end_is_reported_after_the_audio() {
        let format = Format { sample_rate: 16_000, channels: 1 };
        let mut source = RawPcm::new("pipe", &[0u8, 64, 7][..], format, Encoding::S16Le).expect("valid");
        let (got, error) = drain(&mut source);
        assert_eq!(got, [0.5]);
        assert!(matches!(error, Some(AudioError::PartialFrame { bytes: 1, frames: 1, .. })), "{error:?}");
    }

    #[test]
    fn floats_that_are_not_numbers_are_silenced_and_counted() {
        let data: Vec<u8> = [f32::NAN, 0.25, 3.0].iter().flat_map(|s| s.to_le_bytes()).collect();
        let format = Format { sample_rate: 16_000, channels: 1 };
        let mut source = RawPcm::new("pipe", &data[..], format, Encoding::F32Le).expect("valid");
        assert_eq!(drain(&mut source).0, [0.0, 0.25, 1.0]);
        assert_eq!(source.faults().non_finite_samples, 1);
        assert_eq!(source.faults().clipped_samples, 1);
    }

    #[test]
    fn a_broken_pipe_is_an_error_with_what_was_read_before_it() {
        struct Broken(bool);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(ErrorKind::ConnectionReset.into());
                }
                buffer[..4].copy_from_slice(&[0, 64, 0, 192]);
                Ok(4)
            }
        }
        let format = Format { sample_rate: 16_000, channels: 1 };
        let mut source = RawPcm::new("socket", Broken(false), format, Encoding::S16Le).expect("valid");
        let (got, error) = drain(&mut source);
        assert_eq!(got, [0.5, -0.5]);
        assert!(matches!(error, Some(AudioError::Read { frames: 2, .. })), "{error:?}");
    }

    #[test]
    fn a_rate_out_of_range_is_refused_at_once() {
        let format = Format { sample_rate: 4_000, channels: 1 };
        assert!(RawPcm::new("pipe", &[0u8][..], format, Encoding::S16Le).is_err());
    }
}
