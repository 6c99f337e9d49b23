//! Whole recordings: read on a thread that may block, recognised on the engine's.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::admission::Ticket;
use super::refusal::Refusal;
use crate::audio::{self, AudioError, Encoding, Faults, Format, RawPcm, Source};
use crate::{Model, Progress, SAMPLE_RATE, Segment, TranscribeOptions, Transcript};

/// What errors call an upload.
const NAME: &str = "the upload";

/// What was uploaded.
pub(super) enum Recording {
    /// A file that says what it is.
    Container(File),
    /// Samples and nothing else.
    Raw { file: File, format: Format, encoding: Encoding },
}

impl Recording {
    fn open(self) -> Result<Box<dyn Source>, AudioError> {
        match self {
            Self::Container(file) => audio::from_file(NAME, file),
            Self::Raw { mut file, format, encoding } => {
                use std::io::Seek;
                file.rewind().map_err(|source| AudioError::Open { name: NAME.to_owned(), source })?;
                Ok(Box::new(RawPcm::new(NAME, file, format, encoding)?))
            }
        }
    }
}

/// Transcribes a recording; `observe` is told of each segment as it comes. Given up when the future is dropped: the rest is
/// not decoded for nobody.
pub(super) async fn transcribe(
    ticket: Ticket,
    model: Model,
    recording: Recording,
    options: TranscribeOptions,
    mut observe: impl FnMut(&Segment) + Send + 'static,
) -> Result<Transcript, Refusal> {
    // Refused before any work if there is no credit; charged in full, then, however long it is.
    ticket.tenant.check_credit(Instant::now())?;
    let options = TranscribeOptions { share: Some(ticket.tenant.share.clone()), ..options };
    let unwanted = Unwanted(Arc::default());
    let given_up = Arc::clone(&unwanted.0);
    let done = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        let mut source = Metered {
            source: recording.open()?,
            ticket: &ticket,
            given_up: &given_up,
            frames: 0,
            too_long: false,
        };
        let transcript = model.transcribe(&mut source, &options, |progress| {
            if let Progress::Segment(segment) = progress {
                observe(segment);
            }
        })?;
        if source.too_long {
            return Err(Refusal::TooLong(ticket.tenant.limits.recording_minutes));
        }
        let seconds = transcript.duration as f64 / f64::from(SAMPLE_RATE);
        if seconds > 0.0 {
            let factor = ticket.app.metrics.recording_factor.get_or_create(&ticket.by_tenant()).clone();
            factor.observe(started.elapsed().as_secs_f64() / seconds);
        }
        let lost: u64 = transcript.lost.iter().map(|lost| lost.end - lost.start).sum();
        let dropped = ticket.app.metrics.dropped.get_or_create(&ticket.by_tenant()).clone();
        dropped.inc_by(lost as f64 / f64::from(SAMPLE_RATE));
        tracing::info!(tenant = &*ticket.tenant.name, seconds, took = ?started.elapsed(), lost, "recording");
        Ok(transcript)
    });
    let done = done.await;
    drop(unwanted);
    // Only a panic in it, or the runtime's end, leaves no answer.
    done.unwrap_or(Err(Refusal::Internal))
}

/// Says, when it is dropped, that nobody waits any more.
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A source that is charged for, and ends when nobody wants it, or when it is longer than it may be.
struct Metered<'a> {
    source: Box<dyn Source>,
    ticket: &'a Ticket,
    given_up: &'a AtomicBool,
    frames: u64,
    too_long: bool,
}

impl Source for Metered<'_> {
    fn format(&self) -> Format {
        self.source.format()
    }

    fn frames(&self) -> Option<u64> {
        self.source.frames()
    }

    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        let rate = u64::from(self.source.format().sample_rate);
        let limit = u64::from(self.ticket.tenant.limits.recording_minutes) * 60 * rate;
        if self.given_up.load(Ordering::Relaxed) || self.too_long {
            block.clear();
            return Ok(0);
        }
        let frames = self.source.read(block)?;
        self.frames += frames as u64;
        self.ticket.count(frames as f64 / rate as f64);
        if self.frames > limit {
            self.too_long = true;
            block.clear();
            return Ok(0);
        }
        Ok(frames)
    }

    fn faults(&self) -> Faults {
        self.source.faults()
    }
}

/// What a transcript lacks, in words.
pub(super) fn warnings(transcript: &Transcript) -> Vec<String> {
    let seconds = |samples: u64| samples as f64 / f64::from(SAMPLE_RATE);
    let lost = transcript.lost.iter().map(|lost| {
        format!("speech from {:.1} s to {:.1} s was not recognised", seconds(lost.start), seconds(lost.end))
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
