//! The model with its recognizer, and recordings.

#[path = "../../../host/src/engine/chunk.rs"]
mod chunk;
#[path = "../../../host/src/engine/guard.rs"]
pub(crate) mod guard;
#[path = "../../../host/src/engine/intake.rs"]
mod intake;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use hearken_proto::window::{SAMPLES_PER_POSITION, STRIDES};
use hearken_proto::{Event, ModelInfo, Request, Task};

use self::chunk::{Heard, span};
use self::intake::Intake;
use crate::audio::{Chunk, Source, VadConfig};
use crate::error::Error;
use crate::model::{self, Checked, Known};
use crate::sandbox::{Instance, Recognize, SandboxError};
use crate::{DropReason, Language, SAMPLE_RATE, Segment, Transcript, language, text, to_end};

/// Options of transcribing a recording, as in the host.
#[derive(Debug, Clone, Default)]
pub struct TranscribeOptions {
    /// ISO 639-1 code; `None` detects it in each chunk of speech.
    pub language: Option<String>,
    /// Languages to detect among, as ISO 639-1 codes. Empty for all that the model knows.
    pub languages: Vec<String>,
    /// Keeps annotations such as `[Music]`.
    pub annotations: bool,
    /// Translates into English (multilingual models only).
    pub translate: bool,
    /// Names, spellings and style, as text that came before.
    pub prompt: Option<String>,
    /// Voice activity; `None` takes all audio for speech.
    pub voice_activity: Option<VadConfig>,
}

/// Speech that could not be recognized because the recognizer failed twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// First sample.
    pub start: u64,
    /// Sample after the last.
    pub end: u64,
    /// Why.
    pub reason: DropReason,
}

/// The beginning of the recording behind which the host's models compute their padding: two
/// seconds, 16-bit samples at 16 kHz, mono.
const PADDING: &[u8] = include_bytes!("padding.s16le");

struct Inner {
    name: String,
    checked: Checked,
    info: ModelInfo,
    recognizer: Rc<RefCell<dyn Recognize>>,
}

/// A model that was checked and loaded, with its recognizer.
#[derive(Clone)]
pub struct Model(Rc<Inner>);

impl Model {
    /// A model that `recognizer` has loaded, answering with these events.
    ///
    /// # Errors
    /// The recognizer did not say what it has loaded.
    pub fn new(
        name: &str,
        checked: Checked,
        recognizer: impl Recognize + 'static,
        events: Vec<Event>,
    ) -> Result<Self, Error> {
        let info = events.into_iter().find_map(|event| match event {
            Event::Loaded(info) => Some(info),
            _ => None,
        });
        let info =
            info.ok_or_else(|| SandboxError::Misbehaved("it does not say what it has loaded".to_owned()))?;
        let recognizer = Rc::new(RefCell::new(recognizer));
        Ok(Self(Rc::new(Inner { name: name.to_owned(), checked, info, recognizer })))
    }

    /// The model's entry in the table of known models.
    pub fn known(&self) -> Option<&'static Known> {
        model::known(&self.0.checked.hash)
    }

    /// Lets the recognizer compute the padding behind short windows once, so that live text costs
    /// what its audio does, and not what 30 s do. It takes one pass of the encoder.
    ///
    /// # Errors
    /// The recognizer has ended, or cannot do that.
    pub fn learn_padding(&self) -> Result<(), Error> {
        let samples: Vec<f32> = (PADDING.chunks_exact(2))
            .map(|bytes| f32::from(i16::from_le_bytes([bytes[0], bytes[1]])) / 32_768.0)
            .collect();
        let mut recognizer = self.0.recognizer.borrow_mut();
        recognizer.write(&samples);
        recognizer.call(&Request::LearnPadding)?;
        Ok(())
    }

    /// Returns true if it knows other languages than English.
    pub fn multilingual(&self) -> bool {
        self.0.info.multilingual
    }

    fn context_samples(&self) -> usize {
        let stated = u64::from(self.0.info.n_audio_ctx) * u64::from(SAMPLES_PER_POSITION);
        stated.min(self.0.checked.header.context_samples()) as usize
    }

    /// Longest piece of a recording that is decoded at once, in samples, as in the host.
    pub(crate) fn chunk_samples(&self) -> usize {
        self.context_samples().min(29 * SAMPLE_RATE as usize)
    }

    /// Audio of a running utterance that is decoded at once, in samples, as in the host.
    pub(crate) fn stride_samples(&self) -> usize {
        let known = self.known().and_then(|known| known.window).map_or(usize::MAX, |window| window as usize);
        (self.context_samples().min(known) / STRIDES).max(1)
    }

    fn first_special_token(&self) -> u32 {
        if self.multilingual() { 50_257 } else { 50_256 }
    }

    fn knows(&self, language: &str) -> bool {
        language::is_known(language, self.0.checked.header.dims().n_vocab)
    }

    /// The recognizer, ready for a new utterance.
    pub(crate) async fn recognizer(&self) -> Result<Instance, Error> {
        Ok(Instance::new(&self.0.recognizer)?)
    }

    /// The host's counters; here nobody counts.
    pub(crate) fn meter(&self) -> Meter {
        Meter
    }

    /// Number of windows that are decoded for an utterance, for the host's counters.
    pub(crate) fn windows(&self, _: u64) -> u64 {
        1
    }

    /// Checks that the model supports the options, before any work is done for them.
    ///
    /// # Errors
    /// It does not; the message says what does.
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
        Err(Error::EnglishOnly { name: self.0.name.clone(), wanted })
    }

    /// Transcribes a recording, chunk by chunk; `sink` gets the segments as they come.
    ///
    /// # Errors
    /// The input fails at its start, the model does not support the options, or the recognizer has
    /// ended.
    pub fn transcribe(
        &self,
        source: &mut dyn Source,
        options: &TranscribeOptions,
        mut sink: impl FnMut(&Segment),
    ) -> Result<Transcript, Error> {
        self.can(options.language.as_deref(), options.translate)?;
        for language in &options.languages {
            self.can(Some(language), options.translate)?;
        }
        let mut transcript = Transcript::default();
        // From the first voice to the last of chunks without any words.
        let mut wordless = None;
        // Once known, it is kept.
        let mut language =
            options.language.clone().or_else(|| language::only(self.multilingual()).map(str::to_owned));
        let mut intake = Intake::new(source, self, options)?;
        while !intake.has_ended() {
            for chunk in intake.step()? {
                self.chunk(chunk, options, &mut language, &mut transcript, &mut wordless, &mut sink)?;
            }
        }
        transcript.duration = intake.read();
        transcript.damage = intake.damage().map(str::to_owned);
        transcript.faults = intake.faults();
        transcript.taken_channel = intake.taken_channel();
        transcript.loudest_db = intake.loudest_db();
        if transcript.segments.is_empty() && transcript.unrecognized.is_empty() {
            // Where it is all there is, also voice of less than a second counts.
            transcript.unrecognized.extend(wordless);
        }
        Ok(transcript)
    }

    fn chunk(
        &self,
        chunk: Chunk,
        options: &TranscribeOptions,
        language: &mut Option<String>,
        transcript: &mut Transcript,
        wordless: &mut Option<Range<u64>>,
        sink: &mut impl FnMut(&Segment),
    ) -> Result<(), Error> {
        let task = Task {
            language: options.language.clone(),
            candidates: options.languages.clone(),
            usual: language.clone(),
            annotations: options.annotations,
            translate: options.translate,
            prompt: options.prompt.clone(),
            ..Task::default()
        };
        let (start, end) = (chunk.start, chunk.end());
        let looks = options.voice_activity.is_some();
        let heard = match to_end(self.decode_chunk(chunk, &task, false, looks)) {
            Ok(heard) => heard,
            Err(Error::Sandbox(error)) if error.ends_one_utterance() => {
                transcript.lost.push(Lost { start, end, reason: DropReason::Failed(error.to_string()) });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let Heard { language: detected, segments, unrecognized, wordless: voice } = heard;
        transcript.unrecognized.extend(unrecognized);
        if segments.is_empty() {
            *wordless = span(wordless.take(), voice);
            // A language that was detected in a stretch without speech does not count.
            return Ok(());
        }
        if transcript.language.is_none() {
            let known = || Some(Language { code: language.clone()?, probability: None });
            transcript.language = detected.or_else(known);
            *language = transcript.language.as_ref().map(|language| language.code.clone());
        }
        for segment in segments {
            sink(&segment);
            transcript.segments.push(segment);
        }
        Ok(())
    }
}

/// Stands for the host's counters.
pub(crate) struct Meter;

impl Meter {
    pub(crate) fn spoken(&self, _: u64, _: u64) {}
}
