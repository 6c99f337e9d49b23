//! Recordings: voice activity packs speech into chunks, each chunk is one decode in a sandbox of
//! its own.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use hearken_proto::Task;

use super::Model;
use super::chunk::{Heard, span};
use super::intake::Intake;
use crate::audio::{self, Chunk, Source, VadConfig};
use crate::error::Error;
use crate::executor::Class;
use crate::place::Fault;
use crate::{Bias, DropReason, Language, Segment, Share, Transcript, language, text};

/// Options of transcribing a recording.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TranscribeOptions {
    /// ISO 639-1 code; `None` detects it in each chunk of speech. A chunk that does not tell is
    /// taken for the language of the recording's first speech.
    pub language: Option<String>,
    /// Languages to detect among, as ISO 639-1 codes. Empty for all that the model knows.
    pub languages: Vec<String>,
    /// Keeps annotations such as `[Music]`. Default: false, they are not speech.
    pub annotations: bool,
    /// Leaves text as whisper.cpp decodes it: voice in which no words were recognized is not
    /// decoded again by itself, and text that the model is not sure of stays. For comparisons.
    pub verbatim: bool,
    /// Translates into English (multilingual models only).
    pub translate: bool,
    /// Names, spellings and style, as text that came before.
    pub prompt: Option<String>,
    /// Words and phrases to expect. With them a recording is decoded by hearken's own decoder, and
    /// by whisper.cpp's only where that is in doubt.
    pub bias: Bias,
    /// Voice activity; `None` takes all audio for speech.
    pub voice_activity: Option<VadConfig>,
    /// Share of the engine's threads that the work is charged to. Default: the engine's common
    /// share.
    pub share: Option<Share>,
}

setters! {
    TranscribeOptions:
    languages: Vec<String>,
    annotations: bool,
    verbatim: bool,
    translate: bool,
    bias: Bias;
    language: String,
    prompt: String,
    voice_activity: VadConfig,
    share: Share,
}

impl TranscribeOptions {
    /// The defaults: detect the language, skip silence.
    pub fn new() -> Self {
        Self { voice_activity: Some(VadConfig::default()), ..Self::default() }
    }
}

/// Progress of a transcription.
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Amount of input that has been read and, before `decoded`, decoded; samples at 16 kHz.
    Position {
        /// Samples read.
        read: u64,
        /// Samples behind which nothing is pending.
        decoded: u64,
        /// Length that the input states.
        total: Option<u64>,
    },
    /// The language is known.
    Language(&'a Language),
    /// A segment, in order.
    Segment(&'a Segment),
    /// Speech that could not be recognized.
    Lost(&'a Lost),
    /// Voice in which no words were recognized: samples.
    Unrecognized(&'a Range<u64>),
}

/// Speech that could not be recognized because its guest failed twice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// First sample.
    pub start: u64,
    /// Sample after the last.
    pub end: u64,
    /// Why.
    pub reason: DropReason,
}

impl Lost {
    /// Speech at these samples, lost for this reason.
    pub fn new(samples: std::ops::Range<u64>, reason: DropReason) -> Self {
        Self { start: samples.start, end: samples.end, reason }
    }
}

/// A chunk that is queued or being decoded.
struct Pending {
    start: u64,
    end: u64,
    outcome: Receiver<Result<Heard, Error>>,
}

impl Model {
    /// Transcribes a file in any format that [`audio::open`] reads.
    ///
    /// # Errors
    ///
    /// As [`Model::transcribe`].
    pub fn transcribe_file(&self, path: &Path, options: &TranscribeOptions) -> Result<Transcript, Error> {
        self.transcribe(&mut *audio::open(path)?, options, |_| {})
    }

    /// Transcribes a recording, telling `observer` how it goes. Chunks are decoded on all of the
    /// engine's threads; memory stays bounded however long the recording is.
    ///
    /// # Errors
    ///
    /// When the input ends in an error, the language is unknown, the model does not support the
    /// options, or the engine is dropped. A guest that fails on some speech does not fail the
    /// recording: see [`Transcript::lost`].
    pub fn transcribe(
        &self,
        source: &mut dyn Source,
        options: &TranscribeOptions,
        observer: impl FnMut(Progress<'_>),
    ) -> Result<Transcript, Error> {
        self.can(options.language.as_deref(), options.translate)?;
        for language in &options.languages {
            self.can(Some(language), options.translate)?;
        }
        let mut run = Run::new(self, options, observer);
        run.all(source)?;
        Ok(run.transcript)
    }

    /// Checks that the model supports a language, as an ISO 639-1 code or `None` for detection, and
    /// translation into English, before any work is done for them.
    ///
    /// # Errors
    ///
    /// [`Error::Language`] and [`Error::EnglishOnly`].
    pub fn can(&self, language: Option<&str>, translate: bool) -> Result<(), Error> {
        if let Some(language) = language.filter(|code| !self.knows(code)) {
            return Err(Error::Language { language: text::sanitize(language) });
        }
        let wanted = match language {
            _ if self.multilingual() => return Ok(()),
            _ if translate => "translate".to_owned(),
            None | Some("en") => return Ok(()),
            Some(other) => format!("recognize {other}"),
        };
        Err(Error::EnglishOnly { name: self.name().to_owned(), wanted })
    }

    pub(super) fn knows(&self, language: &str) -> bool {
        language::is_known(language, self.checked().header.dims().n_vocab)
    }
}

/// State of a recording whose owner does not block while its chunks are decoded. Empty for one that
/// does.
#[derive(Default)]
pub(super) struct Errand {
    /// Set when the outcome is not needed any more.
    pub(super) given_up: Option<Arc<AtomicBool>>,
    /// Held until the job is done, and dropped before its outcome can be received.
    pub(super) place: Option<Arc<dyn Send + Sync>>,
    /// Called when the outcome can be received, or will never come.
    pub(super) wake: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Errand {
    fn is_wanted(&self) -> bool {
        self.given_up.as_ref().is_none_or(|given_up| !given_up.load(Ordering::Relaxed))
    }
}

/// A job's end of its channel.
struct Answer {
    answer: Option<Sender<Result<Heard, Error>>>,
    errand: Errand,
}

impl Answer {
    fn give(mut self, outcome: Result<Heard, Error>) {
        self.errand.place = None;
        if let Some(answer) = &self.answer {
            // The receiver is gone when the recording was cancelled: then the result is not needed.
            let _ = answer.send(outcome);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.errand.place = None;
        self.answer = None;
        if let Some(wake) = &self.errand.wake {
            wake();
        }
    }
}

/// Transcription of a recording, in progress.
pub(super) struct Run<'a, O> {
    pub(super) model: &'a Model,
    pub(super) options: &'a TranscribeOptions,
    observer: O,
    /// Once known, it is kept.
    language: Option<String>,
    pub(super) transcript: Transcript,
    /// From the first voice to the last of chunks without any words.
    wordless: Option<Range<u64>>,
    /// Chunks under way, in the recording's order.
    pending: VecDeque<Pending>,
    pub(super) read: u64,
    decoded: u64,
    pub(super) total: Option<u64>,
}

impl<'a, O: FnMut(Progress<'_>)> Run<'a, O> {
    pub(super) fn new(model: &'a Model, options: &'a TranscribeOptions, observer: O) -> Self {
        Self {
            model,
            options,
            observer,
            language: options.language.clone().or_else(|| model.only_language().map(str::to_owned)),
            transcript: Transcript::default(),
            wordless: None,
            pending: VecDeque::new(),
            read: 0,
            decoded: 0,
            total: None,
        }
    }

    fn all(&mut self, source: &mut dyn Source) -> Result<(), Error> {
        let mut intake = Intake::new(source, self.model, self.options)?;
        self.total = intake.total();
        while !intake.has_ended() {
            let ready = intake.step()?;
            self.read = intake.read();
            for chunk in ready {
                while !self.has_room() {
                    self.receive()?;
                }
                self.submit(chunk, Errand::default());
            }
            // Progress is reported also when no text comes for long: the input may be a
            // microphone's.
            self.receive_done()?;
            self.tell_position();
        }
        while !self.pending.is_empty() {
            self.receive()?;
        }
        self.complete(&intake);
        Ok(())
    }

    /// Completes the transcript with the intake's information about the whole recording.
    pub(super) fn complete<S: Source>(&mut self, intake: &Intake<S>) {
        self.decoded = self.read;
        self.transcript.duration = self.read;
        self.transcript.damage = intake.damage().map(str::to_owned);
        self.transcript.faults = intake.faults();
        self.transcript.taken_channel = intake.taken_channel();
        self.transcript.loudest_db = intake.loudest_db();
        if self.transcript.segments.is_empty() && self.transcript.unrecognized.is_empty() {
            // Where it is all there is, also voice of less than a second counts.
            if let Some(stretch) = self.wordless.take() {
                (self.observer)(Progress::Unrecognized(&stretch));
                self.transcript.unrecognized.push(stretch);
            }
        }
        self.tell_position();
    }

    /// Returns true unless enough chunks are under way to keep all threads busy.
    pub(super) fn has_room(&self) -> bool {
        let ahead = self.model.place().width().saturating_add(1);
        // Until the language is known, chunks are decoded one by one: the rest needs it.
        self.pending.len() < if self.language.is_some() { ahead } else { 1 }
    }

    /// Queues a chunk.
    pub(super) fn submit(&mut self, chunk: Chunk, errand: Errand) {
        let task = Task {
            language: self.options.language.clone(),
            candidates: self.options.languages.clone(),
            usual: self.language.clone(),
            annotations: self.options.annotations,
            translate: self.options.translate,
            prompt: self.options.prompt.clone(),
            bias: self.options.bias.to_proto(),
            ..Task::default()
        };
        let verbatim = self.options.verbatim;
        // Without voice activity pauses would count as voice.
        let looks = !verbatim && self.options.voice_activity.is_some();
        let model = self.model.clone().billed(self.options.share.as_ref());
        let (answer, outcome) = crossbeam_channel::bounded(1);
        let answer = Answer { answer: Some(answer), errand };
        self.pending.push_back(Pending { start: chunk.start, end: chunk.end(), outcome });
        // A recording has no deadline of its own: first come, first served.
        let decoding = model.clone();
        let job = async move {
            if answer.errand.is_wanted() {
                answer.give(decoding.decode_chunk(chunk, &task, verbatim, looks).await);
            }
        };
        model.submit(Class::Batch, Instant::now(), Box::pin(job));
    }

    /// Returns true if chunks are under way.
    #[cfg(feature = "service")]
    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Waits for the first chunk under way, and delivers it.
    fn receive(&mut self) -> Result<(), Error> {
        let Some(pending) = self.pending.pop_front() else { return Ok(()) };
        // The job's end of the channel is dropped unanswered only by a panic in it.
        let outcome = pending.outcome.recv().unwrap_or(Err(Error::Panicked));
        self.take(&pending, outcome)
    }

    /// Delivers the first chunks under way that are done. Returns false if there was none.
    pub(super) fn receive_done(&mut self) -> Result<bool, Error> {
        let mut any = false;
        while let Some(pending) = self.pending.front() {
            let outcome = match pending.outcome.try_recv() {
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => Err(Error::Panicked),
                Ok(outcome) => outcome,
            };
            if let Some(pending) = self.pending.pop_front() {
                self.take(&pending, outcome)?;
                any = true;
            }
        }
        Ok(any)
    }

    fn take(&mut self, pending: &Pending, outcome: Result<Heard, Error>) -> Result<(), Error> {
        let (start, end) = (pending.start, pending.end);
        match outcome {
            Ok(heard) => self.deliver(heard),
            Err(error) if error.fault() == Fault::Machine => return Err(error),
            Err(error) => {
                let lost = Lost { start, end, reason: DropReason::Failed(error.to_string()) };
                (self.observer)(Progress::Lost(&lost));
                self.transcript.lost.push(lost);
            }
        }
        self.decoded = end;
        self.tell_position();
        Ok(())
    }

    fn deliver(&mut self, heard: Heard) {
        for stretch in heard.unrecognized {
            (self.observer)(Progress::Unrecognized(&stretch));
            self.transcript.unrecognized.push(stretch);
        }
        if heard.segments.is_empty() {
            self.wordless = span(self.wordless.take(), heard.wordless);
            // A language that was detected in a stretch without speech does not count.
            return;
        }
        let detected = heard.language.or_else(|| {
            let code = self.language.clone()?;
            Some(Language { code, probability: None })
        });
        if let (None, Some(language)) = (&self.transcript.language, detected) {
            self.language = Some(language.code.clone());
            (self.observer)(Progress::Language(&language));
            self.transcript.language = Some(language);
        }
        for segment in heard.segments {
            (self.observer)(Progress::Segment(&segment));
            self.transcript.segments.push(segment);
        }
    }

    pub(super) fn tell_position(&mut self) {
        (self.observer)(Progress::Position { read: self.read, decoded: self.decoded, total: self.total });
    }
}
