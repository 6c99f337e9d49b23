//! Whole recordings: taken in on a pool of threads in the tenants' turns, recognized on the
//! engine's; none holds a thread while it waits.

use std::fs::File;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use hearken::audio::{self, AudioError, Channel, Encoding, Faults, Format, RawPcm, Source};
use hearken::{Model, Progress, Segment, TranscribeOptions, Transcript, seconds};

use super::rejection::Rejection;
use super::ticket::Ticket;

/// Name of an upload in errors.
const NAME: &str = "the upload";

/// An uploaded recording.
pub(super) enum Recording {
    /// A file with a header.
    Container(File),
    /// Samples and nothing else.
    Raw { file: File, format: Format, encoding: Encoding },
}

impl Recording {
    /// The same recording, to be read from its start, when the other one is not read any more.
    fn again(&self) -> Result<Self, Rejection> {
        let again = |file: &File| file.try_clone().map_err(|_| Rejection::Internal);
        Ok(match self {
            Self::Container(file) => Self::Container(again(file)?),
            Self::Raw { file, format, encoding } => {
                Self::Raw { file: again(file)?, format: *format, encoding: *encoding }
            }
        })
    }

    /// Opens it. Its length in seconds, if that is known.
    fn open(self) -> Result<(Box<dyn Source>, Option<f64>), AudioError> {
        match self {
            Self::Container(file) => {
                let source = audio::from_file(NAME, file)?;
                let rate = f64::from(source.format().sample_rate);
                let seconds = source.frames().map(|frames| frames as f64 / rate);
                Ok((source, seconds))
            }
            Self::Raw { mut file, format, encoding } => {
                use std::io::Seek;
                let open = |cause| AudioError::Open { name: NAME.to_owned(), cause };
                file.rewind().map_err(open)?;
                let len = file.metadata().map_err(open)?.len();
                let frame = encoding.bytes() as u64 * u64::from(format.channels);
                let seconds = (len / frame.max(1)) as f64 / f64::from(format.sample_rate);
                Ok((Box::new(RawPcm::new(NAME, file, format, encoding)?), Some(seconds)))
            }
        }
    }
}

/// Transcribes a recording; `observe` is called with each segment as it comes. Dropping the future
/// cancels it: the rest is not decoded.
pub(super) async fn transcribe(
    ticket: Ticket,
    model: Model,
    recording: Recording,
    options: TranscribeOptions,
    observe: impl FnMut(&Segment) + Send + 'static,
) -> Result<Transcript, Rejection> {
    let (transcript, _) = one(&Arc::new(ticket), &model, recording, None, options, observe).await?;
    Ok(transcript)
}

/// Transcribes each channel of a recording by itself. Each counts as a recording.
pub(super) async fn transcribe_channels(
    ticket: Ticket,
    model: Model,
    recording: Recording,
    options: TranscribeOptions,
) -> Result<Vec<Transcript>, Rejection> {
    let ticket = Arc::new(ticket);
    let mut transcripts = Vec::new();
    loop {
        let channel = Some(transcripts.len() as u16);
        let again = recording.again()?;
        let (transcript, channels) = one(&ticket, &model, again, channel, options.clone(), |_| {}).await?;
        transcripts.push(transcript);
        if transcripts.len() >= usize::from(channels) {
            return Ok(transcripts);
        }
    }
}

/// Transcribes a recording, or one channel of it; returns how many it has.
async fn one(
    ticket: &Arc<Ticket>,
    model: &Model,
    recording: Recording,
    channel: Option<u16>,
    options: TranscribeOptions,
    mut observe: impl FnMut(&Segment) + Send + 'static,
) -> Result<(Transcript, u16), Rejection> {
    // Rejected before any work if there is no credit.
    ticket.tenant.check_credit(Instant::now())?;
    let mut options = options.share(ticket.tenant.share.clone());
    options.bias.extend(&ticket.tenant.limits.bias);
    let started = Instant::now();
    let stopped = Arc::new(OnceLock::new());
    let observe = move |progress: Progress<'_>| {
        if let Progress::Segment(segment) = progress {
            observe(segment);
        }
    };
    let transcript = async {
        let intake = &ticket.app.intake;
        let place = Arc::clone(ticket);
        let opening = async move {
            let opened = recording.open();
            drop(place);
            opened
        };
        let (source, length) = intake.run(&ticket.tenant.share, opening).await??;
        let channels = source.format().channels;
        let source: Box<dyn Source> = match channel {
            Some(channel) => Box::new(Channel::new(source, channel)),
            None => source,
        };
        let source = Metered::new(source, length, Arc::clone(ticket), Arc::clone(&stopped))?;
        let place = Arc::clone(ticket);
        Ok((model.transcribe_on(intake, source, &options, place, observe).await?, channels))
    };
    let (transcript, channels) = ticket.unless_revoked(transcript).await?;
    if stopped.get().is_some() {
        // The source is gone, and with it the other reference to `stopped`.
        return Err(Arc::into_inner(stopped).and_then(OnceLock::into_inner).unwrap_or(Rejection::Internal));
    }
    let length = seconds(transcript.duration);
    if length > 0.0 {
        let factor = ticket.app.metrics.recording_factor.get_or_create(&ticket.by_tenant()).clone();
        factor.observe(started.elapsed().as_secs_f64() / length);
    }
    let lost: u64 = transcript.lost.iter().map(|lost| lost.end - lost.start).sum();
    let dropped = ticket.app.metrics.dropped.get_or_create(&ticket.by_tenant()).clone();
    dropped.inc_by(seconds(lost));
    tracing::info!(tenant = &*ticket.tenant.name, seconds = length, took = ?started.elapsed(), lost, "recording");
    Ok((transcript, channels))
}

/// Samples of all channels in a second of audio that counts as a second of `recording_minutes`:
/// those of 48 kHz and two channels. A recording that has more counts for longer than it lasts.
const SAMPLES_PER_SECOND: u64 = 2 * 48_000;

/// A source that is charged for, and ends when it is longer than it may be.
struct Metered {
    source: Box<dyn Source>,
    ticket: Arc<Ticket>,
    /// Seconds that were charged and have not come.
    reserved: f64,
    /// Frames so far, those of gaps included, and samples that were decoded.
    frames: u64,
    samples: u64,
    /// Why it ended too soon. Read when the recording has ended.
    stopped: Arc<OnceLock<Rejection>>,
}

impl Metered {
    /// Charges for its length, or for the most that it may have, if the length is not known.
    fn new(
        source: Box<dyn Source>,
        seconds: Option<f64>,
        ticket: Arc<Ticket>,
        stopped: Arc<OnceLock<Rejection>>,
    ) -> Result<Self, Rejection> {
        let most = 60.0 * f64::from(ticket.tenant.limits.recording_minutes);
        let reserved = seconds.unwrap_or(most).clamp(0.0, most);
        ticket.tenant.reserve(reserved, Instant::now())?;
        Ok(Self { source, ticket, reserved, frames: 0, samples: 0, stopped })
    }

    /// Counts frames. Returns false if the recording is too long.
    fn allows(&mut self, frames: u64, samples: u64) -> bool {
        let rate = u64::from(self.source.format().sample_rate);
        self.frames += frames;
        self.samples += samples;
        let seconds = frames as f64 / rate as f64;
        self.ticket.heard(seconds);
        let tenant = &self.ticket.tenant;
        let charged = seconds.min(self.reserved);
        self.reserved -= charged;
        if seconds > charged {
            // It is longer than its header says.
            tenant.debit(seconds - charged, Instant::now());
            if let Some(rejection) = tenant.owes_a_recording(Instant::now()) {
                let _ = self.stopped.set(rejection);
            }
        }
        let most = u64::from(tenant.limits.recording_minutes) * 60;
        if self.frames > most * rate || self.samples > most * SAMPLES_PER_SECOND {
            let _ = self.stopped.set(Rejection::TooLong(tenant.limits.recording_minutes));
        }
        self.stopped.get().is_none()
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.ticket.tenant.debit(-self.reserved, Instant::now());
    }
}

impl Source for Metered {
    fn format(&self) -> Format {
        self.source.format()
    }

    fn frames(&self) -> Option<u64> {
        self.source.frames()
    }

    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        if self.stopped.get().is_some() {
            block.clear();
            return Ok(0);
        }
        let frames = self.source.read(block)?;
        if !self.allows(frames as u64, block.len() as u64) {
            block.clear();
            return Ok(0);
        }
        Ok(frames)
    }

    fn take_gap(&mut self) -> u64 {
        if self.stopped.get().is_some() {
            return 0;
        }
        let frames = self.source.take_gap();
        if self.allows(frames, 0) { frames } else { 0 }
    }

    fn faults(&self) -> Faults {
        self.source.faults()
    }
}

/// Warnings about a transcript's damage, in words.
pub(super) fn warnings(transcript: &Transcript) -> Vec<String> {
    let lost = transcript.lost.iter().map(|lost| {
        format!("speech from {:.1} s to {:.1} s was not recognized", seconds(lost.start), seconds(lost.end))
    });
    let faults = transcript.faults;
    let damaged = faults.is_damaged().then(|| {
        format!(
            "damaged audio: {} packets skipped, {} frames replaced by silence, {} samples that were no numbers",
            faults.skipped_packets, faults.concealed_frames, faults.non_finite_samples
        )
    });
    lost.chain(transcript.damage.clone()).chain(damaged).collect()
}
