//! Recordings in containers, without a sandbox of their own: the program that reads them is in one.

use std::io::{ErrorKind, Read};

use hearken_proto::media::{self, Facts, Failure, Report};

use super::convert::Converter;
use super::sanitize::sanitize;
use super::{AudioError, Faults, Format, Source, Track};
use crate::container::Container;
use crate::source::{Bytes, Source as Input};

/// Packets that may fail before the first good one, as in the host.
const MAX_BAD_START: u64 = 32;

/// Longest stretch that is filled with silence, in seconds, as in the host.
const MAX_GAP_SECONDS: i128 = 3_600;

/// Pieces of silence that fill a second of a gap, as in the host.
const PIECES_PER_SECOND: u32 = 10;

/// Frames by which a recording may be shorter than its container's clock says, in milliseconds: 50.
const SHORTER_MS: u64 = 50;

/// A stream that is read from front to back.
pub struct Piped<R> {
    reader: R,
    position: u64,
}

impl<R> Piped<R> {
    /// Reads `reader` from where it stands.
    pub fn new(reader: R) -> Self {
        Self { reader, position: 0 }
    }
}

impl<R: Read + Send + Sync> Bytes for Piped<R> {
    fn read_at(&mut self, position: u64, out: &mut [u8]) -> std::io::Result<usize> {
        let Some(mut skipped) = position.checked_sub(self.position) else {
            return Err(ErrorKind::Unsupported.into());
        };
        while skipped > 0 {
            let most = out.len().min(usize::try_from(skipped).unwrap_or(usize::MAX));
            let read = self.reader.read(&mut out[..most])?;
            if read == 0 {
                return Ok(0);
            }
            self.position += read as u64;
            skipped -= read as u64;
        }
        let read = self.reader.read(out)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// A recording that is being decoded, by the rules of the host's: packets that cannot be decoded,
/// and stretches without any, become silence of the same length.
pub struct Recording {
    name: String,
    container: Container,
    facts: Facts,
    format: Format,
    /// A block that waits: the first one, or one with a gap before it.
    waiting: Vec<f32>,
    /// Frames of silence to deliver before the waiting block.
    gap: u64,
    /// As many of them are no fault: the sound begins late.
    late: u64,
    /// Frames delivered, silence included.
    delivered: u64,
    /// The container's time, in frames, of the first frame delivered.
    origin: Option<i128>,
    /// Gives later parts the format of the first, where they have another one.
    converter: Option<Converter>,
    faults: Faults,
    ended: bool,
}

impl Recording {
    /// Finds out what the bytes are. `len` is their number if they can be read at any position.
    ///
    /// # Errors
    /// Says what is wrong with the recording and what to do.
    pub fn open(
        name: &str,
        bytes: impl Bytes + 'static,
        len: Option<u64>,
        extension: Option<&str>,
    ) -> Result<Self, AudioError> {
        let source = Input::new(bytes, len, len.is_some());
        let extension = extension.map(str::to_ascii_lowercase);
        let container = Container::open(source, extension.as_deref(), &media::Track::from(&Track::Default))
            .map_err(|failure| not_opened(name, failure))?;
        let facts = container.facts();
        let mut recording = Self {
            name: name.to_owned(),
            container,
            facts,
            format: Format::MODEL,
            waiting: Vec::new(),
            gap: 0,
            late: 0,
            delivered: 0,
            origin: None,
            converter: None,
            faults: Faults::default(),
            ended: false,
        };
        let format = recording.find_format()?;
        recording.format = format.validate().map_err(|_| AudioError::RecordingFormat {
            name: name.to_owned(),
            sample_rate: format.sample_rate,
            channels: format.channels,
        })?;
        Ok(recording)
    }

    fn next(&mut self) -> Report {
        self.waiting.clear();
        self.container.next(&mut self.waiting)
    }

    fn find_format(&mut self) -> Result<Format, AudioError> {
        while self.faults.skipped_packets <= MAX_BAD_START {
            match self.next() {
                Report::Audio { sample_rate, channels, time, .. } if !self.waiting.is_empty() => {
                    let format = Format { sample_rate, channels: channels.try_into().unwrap_or(u16::MAX) };
                    let time = time.map(|time| time.frames(sample_rate));
                    let late = time.filter(|_| self.facts.absolute_times).unwrap_or(0);
                    // A clock that is far ahead at the start is no delay: a part of a live stream
                    // has it.
                    let limit = MAX_GAP_SECONDS * i128::from(sample_rate);
                    self.gap = if late <= limit { u64::try_from(late).unwrap_or(0) } else { 0 };
                    self.late = self.gap;
                    self.origin = time.map(|time| time - i128::from(self.gap));
                    return Ok(format);
                }
                Report::Audio { .. } | Report::Opened(_) => {}
                Report::Restarted(facts) => self.facts = facts,
                Report::Skipped { .. } => self.faults.skipped_packets += 1,
                Report::End if self.faults.skipped_packets == 0 => {
                    let stated = self.facts.format.and_then(|(sample_rate, channels)| {
                        Format { sample_rate, channels: channels.try_into().ok()? }.validate().ok()
                    });
                    return stated.ok_or_else(|| self.not_audio("it holds no audio"));
                }
                Report::End => break,
                Report::Failed(failure) => return Err(not_opened(&self.name, failure)),
            }
        }
        Err(self.not_audio("nothing in it can be decoded"))
    }

    /// Fills an empty block; 0 frames is the end.
    fn fill(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        loop {
            if self.gap > 0 {
                let frames = self.gap.min(u64::from(self.format.sample_rate / PIECES_PER_SECOND));
                self.gap -= frames;
                self.conceal(frames);
                block.resize(frames as usize * usize::from(self.format.channels), 0.0);
                return Ok(self.deliver(block));
            }
            if !self.waiting.is_empty() {
                std::mem::swap(block, &mut self.waiting);
                self.waiting.clear();
                sanitize(block, &mut self.faults);
                return Ok(self.deliver(block));
            }
            match self.next() {
                Report::Audio { .. } if self.waiting.is_empty() => {}
                Report::Audio { sample_rate, channels, time, .. } => {
                    let channels = channels.try_into().unwrap_or(u16::MAX);
                    self.convert(Format { sample_rate, channels })?;
                    if let Some(time) = time {
                        self.gap = self.gap_before(time.frames(self.format.sample_rate))?;
                    }
                }
                Report::Skipped { length } => {
                    self.faults.skipped_packets += 1;
                    let frames = length.map_or(0, |length| length.frames(self.format.sample_rate));
                    self.gap = u64::try_from(frames.min(i128::from(self.format.sample_rate))).unwrap_or(0);
                }
                Report::Restarted(facts) => {
                    self.facts = facts;
                    self.origin = None;
                }
                Report::Opened(_) => {}
                Report::End => {
                    if let Some(converter) = self.converter.take() {
                        converter.finish(&mut self.waiting);
                        // The container says again that this is the end.
                        continue;
                    }
                    return self.end();
                }
                Report::Failed(Failure::Cut) if self.may_end_here() => return self.end(),
                Report::Failed(failure) => return Err(self.failed(failure)),
            }
        }
    }

    /// Gives the waiting block, which has this format, the recording's.
    fn convert(&mut self, format: Format) -> Result<(), AudioError> {
        if format == self.format && self.converter.is_none() {
            return Ok(());
        }
        let block = std::mem::take(&mut self.waiting);
        if let Some(converter) = self.converter.take_if(|converter| converter.from() != format) {
            converter.finish(&mut self.waiting);
        }
        if format == self.format {
            self.waiting.extend_from_slice(&block);
            return Ok(());
        }
        let converter = match &mut self.converter {
            Some(converter) => converter,
            None => {
                let made = Converter::new(format, self.format).map_err(|_| AudioError::FormatChanged {
                    name: self.name.clone(),
                    from: self.format,
                    to: format,
                    frames: self.delivered,
                })?;
                self.converter.insert(made)
            }
        };
        converter.push(&block, &mut self.waiting);
        Ok(())
    }

    /// Counts silence that takes the place of sound.
    fn conceal(&mut self, frames: u64) {
        let late = frames.min(self.late);
        self.late -= late;
        self.faults.concealed_frames += frames - late;
    }

    fn deliver(&mut self, block: &[f32]) -> usize {
        let frames = block.len() / usize::from(self.format.channels);
        self.delivered += frames as u64;
        frames
    }

    /// Number of frames that are missing before a block that belongs at `time`.
    fn gap_before(&mut self, time: i128) -> Result<u64, AudioError> {
        let rate = i128::from(self.format.sample_rate);
        let delivered = i128::from(self.delivered);
        let origin = *self.origin.get_or_insert(time - delivered);
        let missing = time - origin - delivered;
        // Times in milliseconds, encoder delays and codecs' overlaps make small differences that
        // are no gaps.
        let slack = if self.facts.exact_times { 0 } else { rate / 10 };
        if missing <= slack {
            Ok(0)
        } else if missing <= MAX_GAP_SECONDS * rate {
            Ok(u64::try_from(missing).unwrap_or(0))
        } else {
            self.waiting.clear();
            Err(self.damaged("its clock jumps ahead by more than an hour"))
        }
    }

    fn stated_frames(&self) -> Option<u64> {
        u64::try_from(self.facts.duration?.frames(self.format.sample_rate)).ok()
    }

    /// Least number of frames of a complete recording, if its header is to be trusted with that.
    fn promised_frames(&self) -> Option<u64> {
        Some(self.stated_frames()?.saturating_sub(self.facts.tolerance?.into()))
    }

    /// Returns true if bytes that end here are no cut.
    fn may_end_here(&self) -> bool {
        let slack = u64::from(self.format.sample_rate) * SHORTER_MS / 1000;
        self.facts.open_ended
            && self.stated_frames().is_none_or(|stated| self.delivered.saturating_add(slack) >= stated)
    }

    /// The container is at its end: is the recording?
    fn end(&mut self) -> Result<usize, AudioError> {
        if self.promised_frames().is_some_and(|promised| self.delivered < promised) {
            return Err(self.cut());
        }
        self.ended = true;
        Ok(0)
    }

    fn failed(&self, failure: Failure) -> AudioError {
        match failure {
            Failure::Cut => self.cut(),
            Failure::Read => AudioError::Read {
                name: self.name.clone(),
                frames: self.delivered,
                cause: std::io::Error::other("its bytes cannot be had"),
            },
            Failure::Damaged(reason) | Failure::Codec(reason) => self.damaged(&reason),
            Failure::NoTrack => self.damaged("the stream that follows has no audio"),
        }
    }

    fn cut(&self) -> AudioError {
        AudioError::Truncated {
            name: self.name.clone(),
            frames: self.delivered,
            expected: self.stated_frames().filter(|expected| *expected > self.delivered),
        }
    }

    fn damaged(&self, reason: &str) -> AudioError {
        AudioError::Damaged { name: self.name.clone(), frames: self.delivered, reason: reason.to_owned() }
    }

    fn not_audio(&self, reason: &str) -> AudioError {
        AudioError::NotAudio { name: self.name.clone(), reason: reason.to_owned() }
    }
}

impl Source for Recording {
    fn format(&self) -> Format {
        self.format
    }

    fn frames(&self) -> Option<u64> {
        self.stated_frames()
    }

    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        block.clear();
        if self.ended {
            return Ok(0);
        }
        let filled = self.fill(block);
        filled.inspect_err(|_| self.ended = true)
    }

    fn take_gap(&mut self) -> u64 {
        if self.gap <= u64::from(self.format.sample_rate) {
            return 0;
        }
        let frames = std::mem::take(&mut self.gap);
        self.conceal(frames);
        self.delivered += frames;
        frames
    }

    fn faults(&self) -> Faults {
        self.faults
    }
}

/// An error for a recording that was not opened.
fn not_opened(name: &str, failure: Failure) -> AudioError {
    let name = name.to_owned();
    match failure {
        Failure::Cut => AudioError::NotAudio { name, reason: "it ends too soon".to_owned() },
        Failure::Read => {
            AudioError::Read { name, frames: 0, cause: std::io::Error::other("its bytes cannot be had") }
        }
        Failure::Damaged(reason) => AudioError::NotAudio { name, reason: crate::text::sanitize(&reason) },
        Failure::NoTrack => AudioError::NoTrack { name },
        Failure::Codec(reason) => AudioError::Codec { name, reason: crate::text::sanitize(&reason) },
    }
}
