//! Recordings in containers: WAV, FLAC, MP3, Ogg, WebM and Matroska, M4A, AIFF, CAF.

mod again;
mod container;
mod convert;
#[cfg(feature = "service")]
mod live;

use std::fs::File;
use std::io::{Cursor, ErrorKind, Read};
use std::path::Path;

use self::again::Start;
use self::container::{Bytes, Container, Failure, Piped, Step, not_opened};
use self::convert::Converter;
#[cfg(feature = "service")]
pub use self::live::{LiveDecoder, Taken};
use super::sanitize::sanitize;
use super::{AudioError, Faults, Format, Source, Track, Tracks};
use crate::preempt::to_end;
use crate::sandbox::SandboxError;
use crate::sandbox::media::{self, Room};

/// Packets that may fail before the first good one. Anything that merely looks like a container's
/// start (two bytes in a text may look like an MP3 frame) fails forever.
const MAX_BAD_START: u64 = 32;

/// Reports without audio in a row after which a decoder is given up: more packets than the hours
/// have that an edit list may leave out. A hostile guest could go on for ever.
const MAX_IDLE: u32 = 1 << 24;

/// Longest stretch that is filled with silence, in seconds. Recordings of calls have no packets
/// while the microphone is off; a timestamp further ahead than this is damage.
const MAX_GAP_SECONDS: i128 = 3_600;

/// Pieces of silence that fill a second of a gap.
const PIECES_PER_SECOND: u32 = 10;

/// Opens a recording: WAV, FLAC, MP3, Ogg (Vorbis, Opus, FLAC), WebM and Matroska, M4A (AAC-LC,
/// ALAC), AIFF or CAF.
///
/// The content decides what it is, not the name. The default audio track is read, packet by packet:
/// memory does not grow with the length. Packets that cannot be decoded, and stretches without any,
/// become silence of the same length and are counted in [`Faults`], so that times stay true.
///
/// # Errors
/// Says what is wrong with the file and what to do. [`Source::read`] fails too, behind the last
/// good block: with [`AudioError::Truncated`] when the file ends early,
/// [`AudioError::FormatChanged`], [`AudioError::Damaged`] or [`AudioError::Read`]. A cut cannot be
/// told from a proper end in an MP3 without an encoder's tag, in ADTS, in a Matroska file without a
/// duration, and exactly between two fragments of a fragmented MP4. A CAF file that is cut off, and
/// an M4A whose index was at its lost end, do not open.
pub fn open(path: &Path) -> Result<Box<dyn Source>, AudioError> {
    open_track(path, &Track::Default)
}

/// Like [`open`], with a choice among the sound tracks.
///
/// # Errors
/// As [`open`], and [`AudioError::NoSuchTrack`].
pub fn open_track(path: &Path, track: &Track) -> Result<Box<dyn Source>, AudioError> {
    let name = path.display().to_string();
    let failed = |cause| AudioError::Open { name: name.clone(), cause };
    // Before opening: a directory opens on some systems and fails obscurely on others.
    let meta = std::fs::metadata(path).map_err(failed)?;
    if meta.is_dir() {
        return Err(AudioError::Directory { name });
    }
    let file = File::open(path).map_err(failed)?;
    if !meta.is_file() {
        return from_stream(&name, file, track);
    }
    if meta.len() == 0 {
        return Err(AudioError::Empty { name });
    }
    let extension = path.extension().and_then(|extension| extension.to_str());
    decoded(&name, file, extension, track)
}

/// Adds a module that decodes what hearken itself does not, for recordings that this process opens
/// from now on: FFmpeg's libraries, say, which `make media-ffmpeg` builds. It runs in the same
/// sandbox, with the same limits, and takes the place of one that was added before.
///
/// Recordings that the module inside hearken reads are read by it, as without another one.
///
/// # Errors
/// `wasm` is no module that decodes recordings, or one that was built for another version of
/// hearken.
pub fn add_media(wasm: &[u8]) -> Result<(), SandboxError> {
    media::add(wasm)
}

/// Reads a file with the added module alone, whatever the first one reads: for measures.
///
/// # Errors
/// As [`open`], and [`AudioError::Codec`] if no module is added.
#[doc(hidden)]
pub fn open_with_added(path: &Path) -> Result<Box<dyn Source>, AudioError> {
    let name = path.display().to_string();
    let failed = |cause| AudioError::Open { name: name.clone(), cause };
    let file = File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    let extension = path.extension().and_then(|extension| extension.to_str());
    let Some(added) = media::added() else {
        return Err(AudioError::Codec { name, reason: "no module is added".to_owned() });
    };
    let bytes = Bytes::of_file(file, Some(len));
    Ok(Box::new(to_end(Decoded::new(&added, name.clone(), bytes, extension, &Track::Default))?))
}

/// Reads a file from its start, wherever its position is.
fn decoded(
    name: &str,
    file: File,
    extension: Option<&str>,
    track: &Track,
) -> Result<Box<dyn Source>, AudioError> {
    let failed = |cause| AudioError::Open { name: name.to_owned(), cause };
    let (again, once_more) = (file.try_clone().map_err(failed)?, file.try_clone().map_err(failed)?);
    let len = Some(file.metadata().map_err(failed)?.len());
    let open = |room: &Room, file, len| {
        to_end(Decoded::new(room, name.to_owned(), Bytes::of_file(file, len), extension, track))
    };
    let room = media::built_in().map_err(|error| no_sandbox(name, error))?;
    open(room, file, len)
        .or_else(|error| {
            // A Matroska file that is cut off has lost the index that its start points to, and
            // readers that seek give up; read from front to back, it still has its audio.
            if !matches!(error, AudioError::NotAudio { .. }) {
                return Err(error);
            }
            open(room, again, None).map_err(|_| error)
        })
        .or_else(|error| match media::added().filter(|_| is_unread(&error)) {
            Some(added) => open(&added, once_more, len).map_err(|other| better(error, other)),
            None => Err(error),
        })
        .map(|decoded| Box::new(decoded) as Box<dyn Source>)
}

/// Returns true if another module may read what this one does not.
fn is_unread(error: &AudioError) -> bool {
    matches!(
        error,
        AudioError::NotAudio { .. }
            | AudioError::Codec { .. }
            | AudioError::NoTrack { .. }
            | AudioError::NoSuchTrack { .. }
    )
}

/// The error that says more, of those of the first module and of the added one.
fn better(first: AudioError, added: AudioError) -> AudioError {
    match (&first, &added) {
        // The first has only known that it cannot read it; or the added one knows what it is.
        (AudioError::Codec { .. }, _)
        | (_, AudioError::Codec { .. } | AudioError::RecordingFormat { .. }) => added,
        _ => first,
    }
}

fn no_sandbox(name: &str, cause: SandboxError) -> AudioError {
    AudioError::Sandbox { name: name.to_owned(), cause }
}

/// Like [`open`], for a file that is open already, from its start, and whose content alone says
/// what it is: one without a name, say. `name` is what errors call it.
///
/// # Errors
/// As [`open`].
pub fn from_file(name: &str, file: File) -> Result<Box<dyn Source>, AudioError> {
    let failed = |cause| AudioError::Open { name: name.to_owned(), cause };
    if file.metadata().map_err(failed)?.len() == 0 {
        return Err(AudioError::Empty { name: name.to_owned() });
    }
    decoded(name, file, None, &Track::Default)
}

/// Like [`open`], for a stream that cannot seek, such as a pipe; `name` is what errors call it.
///
/// # Errors
/// As [`open`]. An M4A whose index is at its end needs a file.
pub fn from_reader(name: &str, reader: impl Read + Send + 'static) -> Result<Box<dyn Source>, AudioError> {
    from_stream(name, reader, &Track::Default)
}

fn from_stream(
    name: &str,
    mut reader: impl Read + Send + 'static,
    track: &Track,
) -> Result<Box<dyn Source>, AudioError> {
    let mut first = [0];
    loop {
        match reader.read(&mut first) {
            Ok(0) => return Err(AudioError::Empty { name: name.to_owned() }),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(cause) => {
                return Err(AudioError::Read { name: name.to_owned(), frames: 0, cause });
            }
        }
    }
    let input = Box::new(Piped { reader: Cursor::new(first).chain(reader), position: 0 });
    let bytes = Bytes { input, len: None, seekable: false };
    Ok(Box::new(to_end(Decoded::of_stream(name.to_owned(), bytes, track))?))
}

/// A recording that is being decoded.
struct Decoded {
    name: String,
    container: Container,
    format: Format,
    /// A block that waits: the first one, or one with a gap before it.
    waiting: Vec<f32>,
    /// Frames of silence to deliver before the waiting block.
    gap: u64,
    /// As many of them are no fault: the sound begins late.
    late: u64,
    /// Frames delivered, silence included.
    delivered: u64,
    /// The container's time, in frames, of the first frame delivered. None until known, and when a
    /// new stream begins.
    origin: Option<i128>,
    /// Gives later parts the format of the first, where they have another one.
    converter: Option<Converter>,
    faults: Faults,
    ended: bool,
}

impl Decoded {
    /// A stream that cannot seek: what the first module has read of one that it does not understand
    /// is given to the added one.
    async fn of_stream(name: String, bytes: Bytes, track: &Track) -> Result<Self, AudioError> {
        let room = media::built_in().map_err(|error| no_sandbox(&name, error))?;
        let Some(added) = media::added() else {
            return Self::new(room, name, bytes, None, track).await;
        };
        let start = Start::new(bytes.input);
        let from_start =
            || Bytes { input: Box::new(start.clone()), len: bytes.len, seekable: bytes.seekable };
        match Self::new(room, name.clone(), from_start(), None, track).await {
            Err(error) if is_unread(&error) && start.is_whole() => {
                let decoded = Self::new(&added, name, from_start(), None, track).await;
                start.forget();
                decoded.map_err(|other| better(error, other))
            }
            answer => {
                start.forget();
                answer
            }
        }
    }

    async fn new(
        room: &Room,
        name: String,
        bytes: Bytes,
        extension: Option<&str>,
        track: &Track,
    ) -> Result<Self, AudioError> {
        let container =
            Container::open(room, bytes, extension, &track.into()).await.map_err(
                |failure| match failure {
                    Failure::NoTrack if *track != Track::Default => {
                        AudioError::NoSuchTrack { name: name.clone(), track: track.to_string() }
                    }
                    failure => not_opened(&name, failure),
                },
            )?;
        let mut decoded = Self {
            name,
            container,
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
        // The format is that of decoded audio: headers may state another (HE-AAC does). Decoding
        // now also tells noise that looks like a container from a recording.
        let format = decoded.find_format().await?;
        decoded.format = format.validate().map_err(|_| AudioError::RecordingFormat {
            name: decoded.name.clone(),
            sample_rate: format.sample_rate,
            channels: format.channels,
        })?;
        Ok(decoded)
    }

    async fn find_format(&mut self) -> Result<Format, AudioError> {
        for _ in 0..MAX_IDLE {
            if self.faults.skipped_packets > MAX_BAD_START {
                break;
            }
            match self.container.next(&mut self.waiting).await {
                Ok(Step::Audio { format, time }) if !self.waiting.is_empty() => {
                    let time = time.map(|time| time.frames(format.sample_rate));
                    let late = time.filter(|_| self.container.has_absolute_times()).unwrap_or(0);
                    // A clock that is far ahead at the start is no delay: a part of a live stream
                    // has it.
                    let limit = MAX_GAP_SECONDS * i128::from(format.sample_rate);
                    self.gap = if late <= limit { u64::try_from(late).unwrap_or(0) } else { 0 };
                    self.late = self.gap;
                    self.origin = time.map(|time| time - i128::from(self.gap));
                    return Ok(format);
                }
                Ok(Step::Audio { .. } | Step::Restarted) => {}
                Ok(Step::Skipped { .. }) => self.faults.skipped_packets += 1,
                // Read on, it says again that this is the end, or that it was cut off.
                Ok(Step::End) if self.faults.skipped_packets == 0 => {
                    return self.container.stated_format().ok_or_else(|| AudioError::NotAudio {
                        name: self.name.clone(),
                        reason: "it holds no audio".to_owned(),
                    });
                }
                Ok(Step::End) => break,
                Err(failure) => return Err(not_opened(&self.name, failure)),
            }
        }
        Err(AudioError::NotAudio {
            name: self.name.clone(),
            reason: "nothing in it can be decoded".to_owned(),
        })
    }

    /// As [`Source::read`], pending while bytes are still to come.
    async fn next(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        block.clear();
        if self.ended {
            return Ok(0);
        }
        let filled = self.fill(block).await;
        filled.inspect_err(|_| self.ended = true)
    }

    /// Fills an empty block; 0 frames is the end.
    async fn fill(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        for _ in 0..MAX_IDLE {
            if self.gap > 0 {
                // In pieces: an hour of silence must not be held at once. In short ones: who skips
                // gaps is asked between them.
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
            match self.container.next(&mut self.waiting).await {
                Ok(Step::Audio { .. }) if self.waiting.is_empty() => {}
                Ok(Step::Audio { format, time }) => {
                    self.convert(format)?;
                    if let Some(time) = time {
                        self.gap = self.gap_before(time.frames(self.format.sample_rate))?;
                    }
                }
                Ok(Step::Skipped { length }) => {
                    self.faults.skipped_packets += 1;
                    let frames = length.map_or(0, |length| length.frames(self.format.sample_rate));
                    self.gap = u64::try_from(frames.min(i128::from(self.format.sample_rate))).unwrap_or(0);
                }
                Ok(Step::Restarted) => self.origin = None,
                Ok(Step::End) => {
                    if let Some(converter) = self.converter.take() {
                        converter.finish(&mut self.waiting);
                        // The container says again that this is the end.
                        continue;
                    }
                    return self.end();
                }
                Err(Failure::Cut) if self.container.may_end_here(self.delivered, self.format.sample_rate) => {
                    return self.end();
                }
                Err(failure) => return Err(self.failed(failure)),
            }
        }
        Err(self.damaged("its parser finds no audio and no end"))
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
            None => self.converter.insert(Converter::new(format, self.format).map_err(|_| {
                AudioError::FormatChanged {
                    name: self.name.clone(),
                    from: self.format,
                    to: format,
                    frames: self.delivered,
                }
            })?),
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
        let slack = if self.container.has_exact_times() { 0 } else { rate / 10 };
        if missing <= slack {
            Ok(0)
        } else if missing <= MAX_GAP_SECONDS * rate {
            Ok(u64::try_from(missing).unwrap_or(0))
        } else {
            self.waiting.clear();
            Err(self.damaged("its clock jumps ahead by more than an hour"))
        }
    }

    /// The container is at its end: is the recording?
    fn end(&mut self) -> Result<usize, AudioError> {
        let promised = self.container.promised_frames(self.format.sample_rate);
        match promised {
            Some(promised) if self.delivered < promised => Err(self.cut()),
            _ => {
                self.ended = true;
                Ok(0)
            }
        }
    }

    fn failed(&self, failure: Failure) -> AudioError {
        match failure {
            Failure::Cut => self.cut(),
            Failure::Io(cause) => AudioError::Read { name: self.name.clone(), frames: self.delivered, cause },
            Failure::Damaged(reason) | Failure::Codec(reason) => self.damaged(&reason),
            Failure::NoTrack => self.damaged("the stream that follows has no audio"),
            Failure::Sandbox(cause) => AudioError::Sandbox { name: self.name.clone(), cause },
        }
    }

    fn cut(&self) -> AudioError {
        AudioError::Truncated {
            name: self.name.clone(),
            frames: self.delivered,
            expected: self
                .container
                .stated_frames(self.format.sample_rate)
                .filter(|expected| *expected > self.delivered),
        }
    }

    fn damaged(&self, reason: &str) -> AudioError {
        AudioError::Damaged { name: self.name.clone(), frames: self.delivered, reason: reason.to_owned() }
    }
}

impl Source for Decoded {
    fn format(&self) -> Format {
        self.format
    }

    fn frames(&self) -> Option<u64> {
        self.container.stated_frames(self.format.sample_rate)
    }

    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        to_end(self.next(block))
    }

    /// Gaps of more than a second: shorter ones are packets that were lost, and sound better when
    /// silence joins what is around them.
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

    fn tracks(&self) -> Option<Tracks> {
        self.container.tracks()
    }
}

#[cfg(test)]
mod tests;
