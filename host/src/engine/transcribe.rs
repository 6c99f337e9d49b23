//! Recordings: voice activity packs speech into chunks, each chunk is one decode in a sandbox of
//! its own.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use hearken_proto::voice::missed;
use hearken_proto::{Event, Request, Task};

use super::intake::Intake;
use super::{Model, guard};
use crate::audio::{self, Chunk, Source, VadConfig};
use crate::error::Error;
use crate::executor::Class;
use crate::sandbox::SandboxError;
use crate::{Language, SAMPLE_RATE, Segment, Share, Transcript, Word, language, text, transcript};

/// Audio around missed voice that is decoded with it, in samples: 200 ms.
const AROUND: u64 = SAMPLE_RATE as u64 / 5;

/// Pause behind which another language may be spoken, in samples: 1 s.
const LANGUAGE_PAUSE: u64 = SAMPLE_RATE as u64;
/// Speech that is enough to tell its language, in samples: 6 s.
const LANGUAGE_SPEECH: u64 = 6 * SAMPLE_RATE as u64;

/// Options of transcribing a recording.
#[derive(Debug, Clone, Default)]
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
    /// Voice activity; `None` takes all audio for speech.
    pub voice_activity: Option<VadConfig>,
    /// Share of the engine's threads that the work is charged to. Default: the engine's common
    /// share.
    pub share: Option<Share>,
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
    pub reason: String,
}

impl Lost {
    /// Speech at these samples, lost for this reason.
    pub fn new(samples: std::ops::Range<u64>, reason: impl Into<String>) -> Self {
        Self { start: samples.start, end: samples.end, reason: reason.into() }
    }
}

/// A chunk that is queued or being decoded.
struct Pending {
    start: u64,
    end: u64,
    outcome: Receiver<Result<Heard, Error>>,
}

/// Result of one chunk.
#[derive(Default)]
struct Heard {
    language: Option<Language>,
    segments: Vec<Segment>,
    /// Voice without words.
    unrecognized: Vec<Range<u64>>,
}

/// Returns true if both are there and the same but for case and punctuation.
fn is_same(one: Option<&Word>, other: Option<&Word>) -> bool {
    one.zip(other).is_some_and(|(one, other)| text::essence(&one.text) == text::essence(&other.text))
}

impl Heard {
    /// Voice of a chunk that no word explains.
    fn missed(&self, chunk: &Chunk) -> Vec<Range<u64>> {
        let words = self.segments.iter().flat_map(|segment| &segment.words).map(|word| word.start..word.end);
        missed(chunk.voice.stretches(), words, chunk.start..chunk.end())
    }

    /// Adds the text of a part that was decoded by itself, as far as it is likely and does not
    /// begin as the text before it ends, or end as the text behind it begins: then a word's time
    /// was wrong.
    fn add(&mut self, part: Self) {
        for segment in part.segments {
            let place = self.segments.partition_point(|other| other.start < segment.start);
            let before = place.checked_sub(1).and_then(|before| self.segments[before].words.last());
            let behind = self.segments.get(place).and_then(|behind| behind.words.first());
            let is_likely = segment.no_speech <= guard::NO_SPEECH && segment.avg_logprob >= guard::LOGPROB;
            let is_again = is_same(before, segment.words.first()) || is_same(behind, segment.words.last());
            if is_likely && !is_again {
                self.segments.insert(place, segment);
            }
        }
    }
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

    /// Checks that the model supports the options, before any work is done for them.
    pub(crate) fn can(&self, language: Option<&str>, translate: bool) -> Result<(), Error> {
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

    fn knows(&self, language: &str) -> bool {
        language::is_known(language, self.checked().header.dims().n_vocab)
    }

    /// Decodes a chunk: in parts where the language changes between them, if it is to be detected.
    async fn decode_chunk(
        &self,
        chunk: Chunk,
        task: &Task,
        verbatim: bool,
        looks: bool,
    ) -> Result<Heard, Error> {
        let parts = if task.language.is_none() && !verbatim && self.multilingual() {
            self.languages(&chunk, task).await?
        } else {
            Vec::new()
        };
        if parts.len() < 2 {
            return self.decode_part(&chunk, task, verbatim, looks).await;
        }
        let mut heard = Heard::default();
        for (part, language) in parts {
            let task = Task { language: Some(language.clone()), ..task.clone() };
            let part = self.decode_part(&chunk.part(part), &task, verbatim, looks).await?;
            heard.language = heard.language.or(Some(Language { code: language, probability: None }));
            heard.segments.extend(part.segments);
            heard.unrecognized.extend(part.unrecognized);
        }
        Ok(heard)
    }

    /// The parts of a chunk in which one language is spoken, and which it is. Changes are looked
    /// for behind pauses. Empty if no part tells.
    async fn languages(&self, chunk: &Chunk, task: &Task) -> Result<Vec<(Range<u64>, String)>, Error> {
        let stretches = chunk.voice.separated(LANGUAGE_PAUSE);
        if stretches.len() < 2 {
            return Ok(Vec::new());
        }
        let mut instance = self.instantiate().await?;
        let mut task = task.clone();
        let mut parts: Vec<(Range<u64>, String)> = Vec::new();
        for stretch in stretches {
            let end = stretch.end.min(stretch.start + LANGUAGE_SPEECH);
            instance.write(chunk.samples(stretch.start..end)).await?;
            for event in instance.call(&Request::Detect(task.clone())).await? {
                let Event::Language { code, certain: true, .. } = event else { continue };
                if parts.last().is_some_and(|(_, language)| *language == code) || !self.knows(&code) {
                    continue;
                }
                let start = match parts.last_mut() {
                    // The new part begins with its speech; the pause belongs to the one before.
                    Some((before, _)) => {
                        before.end = stretch.start.saturating_sub(AROUND).max(before.start);
                        before.end
                    }
                    None => chunk.start,
                };
                parts.push((start..chunk.end(), code.clone()));
                task.usual = Some(code);
            }
        }
        Ok(parts)
    }

    /// Decodes a part of a chunk, or all of it, and once more each stretch of it that was missed.
    async fn decode_part(
        &self,
        chunk: &Chunk,
        task: &Task,
        verbatim: bool,
        looks: bool,
    ) -> Result<Heard, Error> {
        let mut heard = self.decode_or_retry(chunk.start, &chunk.samples, task, verbatim).await?;
        if looks {
            let voice = chunk.voice.stretches().iter().map(|stretch| stretch.end - stretch.start).sum();
            if guard::is_sparse(&heard.segments, voice) {
                heard.segments.clear();
            }
            let language = heard.language.as_ref().map(|language| language.code.clone());
            let task = Task { language: task.language.clone().or(language), ..task.clone() };
            for stretch in heard.missed(chunk) {
                let start = stretch.start.saturating_sub(AROUND).max(chunk.start);
                let end = (stretch.end + AROUND).min(chunk.end());
                let samples = chunk.samples(start..end);
                let part = self.decode_or_retry(start, samples, &task, verbatim).await?;
                // The chunk as a whole had no words there.
                if guard::is_sure(&part.segments) {
                    heard.add(part);
                }
            }
            heard.unrecognized = heard.missed(chunk);
        }
        Ok(heard)
    }

    async fn decode_or_retry(
        &self,
        start: u64,
        samples: &[f32],
        task: &Task,
        verbatim: bool,
    ) -> Result<Heard, Error> {
        match self.decode(start, samples, task, verbatim).await {
            // The state of the instance may be the cause: once more, in a fresh one.
            Err(Error::Sandbox(error)) if error.ends_one_utterance() => {
                self.decode(start, samples, task, verbatim).await
            }
            outcome => outcome,
        }
    }

    /// Decodes `samples` in a sandbox of their own.
    async fn decode(&self, start: u64, samples: &[f32], task: &Task, verbatim: bool) -> Result<Heard, Error> {
        let mut instance = self.instantiate().await?;
        instance.write(samples).await?;
        let mut heard = Heard::default();
        let mut silence = 0.0;
        let mut report = guard::Report::of(samples.len());
        for event in instance.call(&Request::Decode(task.clone())).await? {
            match event {
                Event::Language { code, probability, .. } => {
                    // The recording's later utterances use this language: one guest must not spoil
                    // the rest.
                    if !self.knows(&code) {
                        return Err(
                            SandboxError::Misbehaved("it detected no known language".to_owned()).into()
                        );
                    }
                    heard.language =
                        Some(Language { code, probability: Some(transcript::probability(probability)) });
                }
                Event::Segment(segment) if !report.has_room_for(&segment) => {
                    return Err(SandboxError::Misbehaved(
                        "it reports more text than anybody can say in that time".to_owned(),
                    )
                    .into());
                }
                Event::Segment(segment) if !verbatim && guard::has_no_places(&segment.words) => {}
                Event::Segment(segment) => heard.segments.push(place(segment, start, samples.len())),
                Event::Decoded { no_speech, encodes } => {
                    // With more than one window the probability is only that of the last.
                    silence = if encodes == 1 { transcript::probability(no_speech) } else { 0.0 };
                }
                Event::Loaded(_)
                | Event::Stage(_)
                | Event::Scores { .. }
                | Event::Hypothesis { .. }
                | Event::Media(_) => {}
            }
        }
        let special = self.first_special_token();
        for segment in &mut heard.segments {
            segment.no_speech = silence;
            guard::cut_loop(segment);
        }
        heard.segments.retain(|segment| {
            let text_tokens = segment.tokens.iter().filter(|&&token| token < special).count();
            !segment.text.is_empty()
                && !guard::is_unspoken(segment, text_tokens)
                && (verbatim || !guard::is_unsure(segment))
        });
        Ok(heard)
    }
}

/// Puts a guest's segment on the recording's clock, believing none of its numbers.
fn place(segment: hearken_proto::Segment, start: u64, len: usize) -> Segment {
    let at = |sample: u32| start + u64::from(sample).min(len as u64);
    let (first, last) = (at(segment.start), at(segment.end).max(at(segment.start)));
    Segment {
        start: first,
        end: last,
        text: text::sanitize_trimmed(&segment.text),
        words: Word::place(segment.words, start, first..last),
        tokens: segment.tokens,
        avg_logprob: if segment.avg_logprob.is_finite() { segment.avg_logprob.min(0.0) } else { 0.0 },
        no_speech: 0.0,
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
            language: options.language.clone().or_else(|| (!model.multilingual()).then(|| "en".to_owned())),
            transcript: Transcript::default(),
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
        self.tell_position();
    }

    /// Returns true unless enough chunks are under way to keep all threads busy.
    pub(super) fn has_room(&self) -> bool {
        let ahead = self.model.engine.threads() + 1;
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
        let engine = &self.model.engine;
        let share = self.options.share.as_ref().unwrap_or(engine.common_share());
        engine.executor().submit(share, Class::Batch, Instant::now(), async move {
            if answer.errand.is_wanted() {
                answer.give(model.decode_chunk(chunk, &task, verbatim, looks).await);
            }
        });
    }

    /// Returns true if chunks are under way.
    #[cfg(feature = "server")]
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
            Err(Error::Sandbox(error)) if !error.ends_one_utterance() => return Err(error.into()),
            Err(error) => {
                let lost = Lost { start, end, reason: error.to_string() };
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
