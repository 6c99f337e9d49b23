//! WAV and its relatives: RIFF, RF64 and BW64 (EBU Tech 3306, ITU-R BS.2088), and Sony's Wave64.
//!
//! Headers are read as recorders really leave them: sizes of 0 and of -1 mean "to the end" where a
//! recorder was killed or wrote to a pipe, a size that is larger than the file is a file that was
//! cut off.

use std::io::{self, Read};
use std::ops::Range;

use hearken_proto::media::Failure;

use crate::source::Source;

/// Data length from which a header of 32 bits means "until the end": ffmpeg writes 0xFFFFFFFF to a
/// pipe, SoX 0x7FFFF000 or so.
const UNKNOWN_BYTES: u64 = 0x7FFF_0000;

/// Chunks before the data that are looked at. Recorders write a handful.
const MAX_CHUNKS: usize = 256;

/// Frames that are decoded at once, at most.
const BLOCK_FRAMES: usize = 4_096;

/// Bytes that are read at once, at most.
const BLOCK_BYTES: usize = 1 << 18;

/// Formats that a `fmt ` chunk names.
mod tag {
    pub(super) const PCM: u16 = 1;
    pub(super) const MS_ADPCM: u16 = 2;
    pub(super) const FLOAT: u16 = 3;
    pub(super) const A_LAW: u16 = 6;
    pub(super) const MU_LAW: u16 = 7;
    pub(super) const IMA_ADPCM: u16 = 0x11;
    pub(super) const MPEG: u16 = 0x50;
    pub(super) const MP3: u16 = 0x55;
    pub(super) const EXTENSIBLE: u16 = 0xFFFE;
}

/// Names of formats that are not read, for messages.
const NAMES: [(u16, &str); 9] = [
    (0x22, "TrueSpeech"),
    (0x31, "GSM 6.10"),
    (0x40, "G.721 ADPCM"),
    (0x45, "G.726 ADPCM"),
    (0x161, "Windows Media Audio"),
    (0x162, "Windows Media Audio Pro"),
    (0x2000, "AC-3"),
    (0x2001, "DTS"),
    (0x674F, "Vorbis"),
];

/// The kind of a file, by its header.
pub(crate) enum Wave {
    /// Samples that are read here.
    Samples(Samples),
    /// A stream of another kind, which was wrapped in it.
    Wrapped(Source),
    /// Blocks of ADPCM, which symphonia reads; false if the length in the header says nothing.
    Adpcm(Source, bool),
    /// Another kind of file.
    Other(Source),
}

/// The encoding of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    U8,
    S16,
    S24,
    S32,
    F32,
    F64,
    ALaw,
    MuLaw,
}

impl Encoding {
    fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::ALaw | Self::MuLaw => 1,
            Self::S16 => 2,
            Self::S24 => 3,
            Self::S32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Appends whole samples, from -1 to 1. Each encoding has a loop of its own, which becomes
    /// vector instructions.
    fn decode(self, bytes: &[u8], block: &mut Vec<f32>) {
        let wide = |bytes: &[u8; 4]| i32::from_le_bytes(*bytes) as f32 / 2_147_483_648.0;
        match self {
            Self::U8 => block.extend(bytes.iter().map(|&byte| (f32::from(byte) - 128.0) / 128.0)),
            Self::ALaw => block.extend(bytes.iter().map(|&byte| f32::from(a_law(byte)) / 32_768.0)),
            Self::MuLaw => block.extend(bytes.iter().map(|&byte| f32::from(mu_law(byte)) / 32_768.0)),
            Self::S16 => block.extend(
                bytes.as_chunks().0.iter().map(|&bytes| f32::from(i16::from_le_bytes(bytes)) / 32_768.0),
            ),
            Self::S24 => block.extend(bytes.as_chunks().0.iter().map(|&[low, mid, high]| {
                (i32::from_le_bytes([0, low, mid, high]) >> 8) as f32 / 8_388_608.0
            })),
            Self::S32 => block.extend(bytes.as_chunks().0.iter().map(wide)),
            Self::F32 => block.extend(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))),
            Self::F64 => {
                block.extend(bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32));
            }
        }
    }
}

/// ITU-T G.711, A-law: 13 bits of magnitude, in the upper bits of 16.
fn a_law(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let exponent = (byte >> 4) & 7;
    let mantissa = i16::from(byte & 0x0F) << 4;
    let magnitude = match exponent {
        0 => mantissa + 8,
        exponent => (mantissa + 0x108) << (exponent - 1),
    };
    if byte & 0x80 == 0 { -magnitude } else { magnitude }
}

/// ITU-T G.711, µ-law: 14 bits of magnitude, in the upper bits of 16.
fn mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = (((i16::from(byte & 0x0F) << 3) + 0x84) << ((byte >> 4) & 7)) - 0x84;
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Samples of a file, from front to back.
pub struct Samples {
    source: Source,
    encoding: Encoding,
    /// Frames per second [Hz].
    pub(crate) rate: u32,
    /// Samples in a frame.
    pub(crate) channels: usize,
    /// Frames that the header states; `None` if they go on until the end.
    pub(crate) frames: Option<u64>,
    /// Bytes that are left.
    left: u64,
    bytes: Vec<u8>,
}

impl Samples {
    /// Decodes the next block; an empty one is the end.
    pub(crate) fn next(&mut self, block: &mut Vec<f32>) -> io::Result<()> {
        let frame = self.channels * self.encoding.bytes();
        let most = ((BLOCK_FRAMES * frame).min(BLOCK_BYTES).max(frame) / frame * frame) as u64;
        self.bytes.resize(most.min(self.left) as usize, 0);
        let mut len = 0;
        while len < self.bytes.len() {
            match self.source.read(&mut self.bytes[len..])? {
                0 => break,
                // What there is of a stream is decoded at once, if it ends with a frame.
                read => len += read,
            }
            if self.frames.is_none() && len % frame == 0 {
                break;
            }
        }
        self.left -= len as u64;
        let whole = len - len % frame;
        self.encoding.decode(&self.bytes[..whole], block);
        Ok(())
    }
}

/// Positions and sizes of chunks, which differ between the kinds.
struct Layout {
    /// Bytes of a chunk's name: 4, or a GUID that begins with them.
    name: u64,
    /// Sizes have 64 bits and include the chunk's header; chunks begin at multiples of 8.
    wide: bool,
}

/// The `fmt ` chunk.
struct Format {
    tag: u16,
    channels: u16,
    rate: u32,
    block: u16,
    bits: u16,
}

/// Reads the header.
pub(crate) fn open(mut source: Source) -> Result<Wave, Failure> {
    let mut start = [0; 12];
    let len = look(&mut source, 0, &mut start)?;
    let layout = match (&start[..4], &start[8..12]) {
        (b"RIFF" | b"RF64" | b"BW64", b"WAVE") if len == 12 => Layout { name: 4, wide: false },
        (b"riff", b"\xa5\xd6\x28\xdb") if len == 12 => Layout { name: 16, wide: true },
        _ => return Ok(Wave::Other(source)),
    };
    let mut position = if layout.wide { 40 } else { 12 };
    let (mut format, mut long) = (None, None);
    for _ in 0..MAX_CHUNKS {
        let Some((name, size)) = layout.chunk(&mut source, position)? else { return Err(Failure::Cut) };
        let body = position.saturating_add(layout.header());
        match &name {
            b"fmt " => format = Some(Format::read(&mut source, body, size)?),
            b"ds64" => {
                let mut fields = [0; 24];
                if look(&mut source, body, &mut fields)? == fields.len() {
                    let mut size = [0; 8];
                    size.copy_from_slice(&fields[8..16]);
                    long = Some(u64::from_le_bytes(size));
                }
            }
            b"data" => {
                let format =
                    format.ok_or_else(|| Failure::Damaged("it has no format before its data".to_owned()))?;
                // RF64 states -1, and the size in a chunk of its own.
                let size = if size == u64::from(u32::MAX) { long.unwrap_or(size) } else { size };
                let data = layout.data(&mut source, body, size, long.is_some())?;
                return format.wave(source, data);
            }
            _ => {}
        }
        position = layout.behind(body, size);
    }
    Err(Failure::Damaged("it has no data".to_owned()))
}

fn look(source: &mut Source, position: u64, out: &mut [u8]) -> Result<usize, Failure> {
    source.look(position, out).map_err(|error| match error.kind() {
        io::ErrorKind::Unsupported => {
            Failure::Damaged("its header is too long to be read from a pipe".to_owned())
        }
        _ => Failure::Read,
    })
}

impl Layout {
    fn header(&self) -> u64 {
        if self.wide { 24 } else { 8 }
    }

    /// Name and size of the body of the chunk at `position`; `None` at the end.
    fn chunk(&self, source: &mut Source, position: u64) -> Result<Option<([u8; 4], u64)>, Failure> {
        let mut header = [0; 24];
        let header = &mut header[..self.header() as usize];
        if look(source, position, header)? < header.len() {
            return Ok(None);
        }
        let mut name = [0; 4];
        name.copy_from_slice(&header[..4]);
        let size =
            header[self.name as usize..].iter().rev().fold(0u64, |size, &byte| size << 8 | u64::from(byte));
        Ok(Some((name, if self.wide { size.saturating_sub(self.header()) } else { size })))
    }

    /// Position of the chunk behind one whose body is at `body`.
    fn behind(&self, body: u64, size: u64) -> u64 {
        let end = body.saturating_add(size);
        let grain = if self.wide { 8 } else { 2 };
        end.checked_next_multiple_of(grain).unwrap_or(u64::MAX)
    }

    /// The range of the samples; true if their end is known.
    fn data(
        &self,
        source: &mut Source,
        body: u64,
        size: u64,
        exact: bool,
    ) -> Result<(Range<u64>, bool), Failure> {
        let end = body.saturating_add(size);
        let unknown = if size == 0 {
            // A recorder that was killed has left 0, and samples. An empty recording is followed by
            // chunks, or by nothing.
            match self.chunk(source, body)? {
                None => source.len().is_none_or(|len| len > body),
                Some((name, size)) => {
                    let printable = name.iter().all(|byte| (0x20..0x7F).contains(byte));
                    let next = self.behind(body + self.header(), size);
                    !printable || source.len().is_none_or(|len| next.saturating_sub(1) > len)
                }
            }
        } else {
            size >= UNKNOWN_BYTES && !exact && !self.wide && source.len().is_none_or(|len| end > len)
        };
        Ok(if unknown { (body..u64::MAX, false) } else { (body..end, true) })
    }
}

impl Format {
    fn read(source: &mut Source, position: u64, size: u64) -> Result<Self, Failure> {
        let mut bytes = [0; 40];
        let len = bytes.len().min(usize::try_from(size).unwrap_or(usize::MAX));
        let len = look(source, position, &mut bytes[..len])?;
        if len < 14 {
            return Err(Failure::Damaged("its format is cut short".to_owned()));
        }
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let tag = match u16_at(0) {
            // The first field of the GUID says what it is.
            tag::EXTENSIBLE if len >= 26 => u16_at(24),
            tag => tag,
        };
        Ok(Self {
            tag,
            channels: u16_at(2),
            rate: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            block: u16_at(12),
            bits: u16_at(14),
        })
    }

    fn wave(self, source: Source, (data, bounded): (Range<u64>, bool)) -> Result<Wave, Failure> {
        let len = bounded.then(|| data.end - data.start);
        let encoding = match self.tag {
            tag::MS_ADPCM | tag::IMA_ADPCM => return Ok(Wave::Adpcm(source, bounded)),
            tag::MPEG | tag::MP3 => return Ok(Wave::Wrapped(source.section(data.start, len))),
            tag => self.encoding(tag)?,
        };
        let channels = usize::from(self.channels);
        if channels == 0 || self.rate == 0 {
            return Err(Failure::Damaged(format!("it states {} Hz and {channels} channels", self.rate)));
        }
        let frame = (channels * encoding.bytes()) as u64;
        Ok(Wave::Samples(Samples {
            source: source.section(data.start, len),
            encoding,
            rate: self.rate,
            channels,
            frames: len.map(|len| len / frame),
            left: data.end - data.start,
            bytes: Vec::new(),
        }))
    }

    fn encoding(&self, tag: u16) -> Result<Encoding, Failure> {
        // Samples of 20 bits lie in 24, the upper ones: the size of a frame tells.
        let held = usize::from(self.block).checked_div(usize::from(self.channels)).unwrap_or(0);
        let bytes = if (1..=8).contains(&held) && held * 8 >= usize::from(self.bits) {
            held
        } else {
            usize::from(self.bits).div_ceil(8)
        };
        match (tag, bytes) {
            (tag::PCM, 1) => Ok(Encoding::U8),
            (tag::PCM, 2) => Ok(Encoding::S16),
            (tag::PCM, 3) => Ok(Encoding::S24),
            (tag::PCM, 4) => Ok(Encoding::S32),
            (tag::FLOAT, 4) => Ok(Encoding::F32),
            (tag::FLOAT, 8) => Ok(Encoding::F64),
            (tag::A_LAW, 1) => Ok(Encoding::ALaw),
            (tag::MU_LAW, 1) => Ok(Encoding::MuLaw),
            _ => Err(Failure::Codec(match NAMES.iter().find(|(number, _)| *number == tag) {
                Some((_, name)) => format!("{name} in WAV"),
                None => format!("format {tag:#06x} with {} bits in WAV", self.bits),
            })),
        }
    }
}
