//! A recording's container, which a sandbox reads: bytes go in, blocks and facts come out, none of
//! which is trusted.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use hearken_proto::media::{self, Facts, Report, Request, Track};

use crate::audio::{AudioError, Format, Tracks};
use crate::sandbox::SandboxError;
use crate::sandbox::media::{Decoder, Input, Room};

/// Longest explanation that is taken over from the guest [characters].
const MAX_REASON: usize = 160;

/// Most reports in a row without a sample, which are hours of damaged packets: a decoder that never
/// comes to an end is given up.
const MAX_IDLE: u32 = 1 << 20;

/// One audio track, decoded in a sandbox of its own.
pub(super) struct Container {
    decoder: Decoder,
    facts: Facts,
    /// Reports without a sample since the last ones that had some.
    idle: u32,
}

/// The result of one packet.
pub(super) enum Step {
    /// Decoded audio, in the block.
    Audio {
        format: Format,
        /// Start of the block by the container's clock, if it has one.
        time: Option<media::Time>,
    },
    /// The packet could not be decoded.
    Skipped {
        /// How long it would have been.
        length: Option<media::Time>,
    },
    /// Another stream follows in the same file, with times of its own.
    Restarted,
    /// The proper end.
    End,
}

/// Why no more packets come.
#[derive(Debug)]
pub(super) enum Failure {
    /// The bytes end where more are needed.
    Cut,
    /// The system failed to deliver them.
    Io(io::Error),
    /// They make no sense.
    Damaged(String),
    /// There is no audio among them.
    NoTrack,
    /// No decoder for what they hold.
    Codec(String),
    /// There is no sandbox to read them in.
    Sandbox(SandboxError),
}

/// A recording's bytes and the way they can be read.
pub(super) struct Bytes {
    pub(super) input: Box<dyn Input>,
    /// Length in bytes, if it is known.
    pub(super) len: Option<u64>,
    pub(super) seekable: bool,
}

impl Bytes {
    /// The bytes of a file; without a length it is read from front to back.
    pub(super) fn of_file(file: File, len: Option<u64>) -> Self {
        Self { input: Box::new(Whole(file)), len, seekable: len.is_some() }
    }
}

/// A file, which other readers may use at the same time.
struct Whole(File);

impl Input for Whole {
    fn read_at(&mut self, position: u64, out: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(out, position)
    }
}

/// A stream that is read from front to back.
pub(super) struct Piped<R> {
    pub(super) reader: R,
    pub(super) position: u64,
}

impl<R: Read + Send> Input for Piped<R> {
    fn read_at(&mut self, position: u64, out: &mut [u8]) -> io::Result<usize> {
        let Some(mut skipped) = position.checked_sub(self.position) else {
            return Err(io::ErrorKind::Unsupported.into());
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

impl Container {
    /// Finds out what the bytes are, and chooses a track.
    pub(super) async fn open(
        room: &Room,
        bytes: Bytes,
        extension: Option<&str>,
        track: &Track,
    ) -> Result<Self, Failure> {
        let Bytes { input, len, seekable } = bytes;
        let mut decoder = room.decoder(input).await.map_err(Failure::Sandbox)?;
        let extension = extension.map(str::to_ascii_lowercase);
        let request = Request::Open { extension, len, seekable, track: track.clone() };
        match ask(&mut decoder, request).await? {
            Report::Opened(facts) => Ok(Self { decoder, facts, idle: 0 }),
            _ => Err(Failure::Damaged("its parser failed".to_owned())),
        }
    }

    /// Decodes the next packet of the track into `block`, which is empty unless the step is
    /// [`Step::Audio`].
    pub(super) async fn next(&mut self, block: &mut Vec<f32>) -> Result<Step, Failure> {
        block.clear();
        if self.idle == MAX_IDLE {
            return Err(Failure::Damaged("hours of it have no sound".to_owned()));
        }
        self.idle += 1;
        match ask(&mut self.decoder, Request::Next).await? {
            Report::Audio { sample_rate, channels, address, samples, time } => {
                let channels = u16::try_from(channels).unwrap_or(u16::MAX);
                if channels == 0 || samples % u32::from(channels) != 0 {
                    return Err(Failure::Damaged("its parser failed".to_owned()));
                }
                self.decoder.samples(address, samples, block).map_err(broken)?;
                if samples > 0 {
                    self.idle = 0;
                }
                Ok(Step::Audio { format: Format { sample_rate, channels }, time })
            }
            Report::Skipped { length } => Ok(Step::Skipped { length }),
            Report::Restarted(facts) => {
                self.facts = facts;
                Ok(Step::Restarted)
            }
            Report::End => Ok(Step::End),
            Report::Opened(_) | Report::Failed(_) => Err(Failure::Damaged("its parser failed".to_owned())),
        }
    }

    /// The format in the header, for recordings without a single packet.
    pub(super) fn stated_format(&self) -> Option<Format> {
        let (sample_rate, channels) = self.facts.format?;
        Format { sample_rate, channels: u16::try_from(channels).ok()? }.validate().ok()
    }

    /// Number of frames in the header, exact or estimated.
    pub(super) fn stated_frames(&self, rate: u32) -> Option<u64> {
        u64::try_from(self.facts.duration?.frames(rate)).ok()
    }

    /// Least number of frames of a complete recording, if its header is to be
    /// trusted with that.
    pub(super) fn promised_frames(&self, rate: u32) -> Option<u64> {
        let tolerance = self.facts.tolerance?;
        Some(self.stated_frames(rate)?.saturating_sub(tolerance.into()))
    }

    /// Returns true if bytes that end here are no cut, with `delivered` frames out.
    pub(super) fn may_end_here(&self, delivered: u64, rate: u32) -> bool {
        // 50 ms: encoder delay, rounding, and a picture that stays a little longer than the sound.
        let slack = u64::from(rate / 20);
        self.facts.open_ended
            && self.stated_frames(rate).is_none_or(|stated| delivered.saturating_add(slack) >= stated)
    }

    /// The sound tracks, if there are several.
    pub(super) fn tracks(&self) -> Option<Tracks> {
        Tracks::of(&self.facts)
    }

    /// Returns true if a packet's time is exact to the frame.
    pub(super) fn has_exact_times(&self) -> bool {
        self.facts.exact_times
    }

    /// Returns true if the container's clock starts with the recording.
    pub(super) fn has_absolute_times(&self) -> bool {
        self.facts.absolute_times
    }
}

/// Makes a request; a report of failure is the error.
async fn ask(decoder: &mut Decoder, request: Request) -> Result<Report, Failure> {
    match decoder.call(request).await {
        Ok(Report::Failed(failure)) => Err(match failure {
            media::Failure::Cut => Failure::Cut,
            media::Failure::Read => match decoder.take_input_error() {
                Some(error) => Failure::Io(error),
                None => Failure::Cut,
            },
            media::Failure::Damaged(reason) => Failure::Damaged(shortened(&reason)),
            media::Failure::NoTrack => Failure::NoTrack,
            media::Failure::Codec(reason) => Failure::Codec(shortened(&reason)),
        }),
        Ok(report) => Ok(report),
        // The parser may have given up because the bytes did not come.
        Err(error) => Err(decoder.take_input_error().map_or_else(|| broken(error), Failure::Io)),
    }
}

/// The guest has ended, and with it the recording.
fn broken(error: SandboxError) -> Failure {
    Failure::Damaged(match error {
        SandboxError::CpuTime { limit } => {
            format!("reading it took more than {} s of CPU time", limit.as_secs())
        }
        SandboxError::Memory { limit } => format!("reading it takes more than {} MiB", limit >> 20),
        _ => "its parser failed".to_owned(),
    })
}

fn shortened(reason: &str) -> String {
    crate::text::sanitize(reason).chars().take(MAX_REASON).collect()
}

/// An error for a recording that was not opened.
pub(super) fn not_opened(name: &str, failure: Failure) -> AudioError {
    let name = name.to_owned();
    match failure {
        Failure::Cut => AudioError::NotAudio { name, reason: "it ends too soon".to_owned() },
        Failure::Io(cause) => AudioError::Read { name, frames: 0, cause },
        Failure::Damaged(reason) => AudioError::NotAudio { name, reason },
        Failure::NoTrack => AudioError::NoTrack { name },
        Failure::Codec(reason) => AudioError::Codec { name, reason },
        Failure::Sandbox(cause) => AudioError::Sandbox { name, cause },
    }
}
