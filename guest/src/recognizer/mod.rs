//! whisper.cpp behind the operations that the host asks for.

mod biased;
mod decode;
mod language;
mod score;
mod streaming;

use std::ffi::c_int;

use hearken_proto::abi::Status;
use hearken_proto::{Event, Kernels, LoadOptions, ModelInfo, Task};
use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperState};

use crate::backend::{self, padding};
use crate::decoder::Decoder;
use crate::{imports, spectrogram};

/// Samples for each encoder position: the encoder's convolution halves the 10 ms mel frames.
const SAMPLES_PER_POSITION: usize = hearken_proto::window::SAMPLES_PER_POSITION as usize;

/// Positions that are computed behind the audio: 2 s. With 0.64 s models lose their way where they
/// say timestamps (docs/short-context.md).
const MARGIN: usize = 100;

/// Lengths of the recording that [padding](padding) is learned from, in samples: every 2 s.
const TEMPLATE_STEP: usize = 2 * hearken_proto::SAMPLE_RATE as usize;

/// See [`Recognizer::encode_within`].
const NOTHING_TO_DO_MS: c_int = 100;

/// Approximate size of a state's own allocations, besides buffers and scores, in bytes: room for
/// four schedulers' copies of tensors, of which little is ever touched.
const OTHER_STATE: usize = 64 << 20;

/// A loaded model and the state to decode with it.
pub(crate) struct Recognizer {
    context: WhisperContext,
    state: WhisperState,
    decoder: Decoder,
    /// Positions that whisper.cpp computes of a window; 0 for all.
    positions: c_int,
    /// The language of the utterance, once it is certain.
    language: Option<String>,
    /// The decoder's attention passes through this guest's backend, and gives word times.
    is_watched: bool,
}

impl Recognizer {
    /// Reads the model from the host. Only possible while the snapshot is made.
    pub(crate) fn load(options: &LoadOptions) -> Result<Self, Status> {
        backend::register(options.kernels);
        let parameters = WhisperContextParameters::default();
        // The path is only a name: `loader` reads the host's bytes.
        let context = WhisperContext::new_with_params("model", parameters).map_err(|_| Status::BadModel)?;
        if options.kernels != Kernels::Stock {
            spectrogram::register();
            // The largest is a score for each word of the vocabulary at each place of a text.
            let mut scores =
                (context.n_vocab().max(0) as usize).saturating_mul(4 * context.n_text_ctx().max(0) as usize);
            if matches!(options.kernels, Kernels::Guest | Kernels::Pool) {
                // In a browser, and on a telephone, all of linear memory counts.
                backend::scores::spare();
                scores = 0;
            }
            backend::workspace::open(scores.saturating_add(OTHER_STATE));
        }
        let state = context.create_state().map_err(|_| Status::BadModel)?;
        imports::emit_event(&Event::Loaded(ModelInfo {
            n_vocab: context.n_vocab() as u32,
            n_audio_ctx: context.n_audio_ctx() as u32,
            multilingual: context.is_multilingual(),
            whisper_cpp: whisper_rs::WHISPER_CPP_VERSION.to_owned(),
            weights: backend::weights(),
            workspace: backend::workspace::close(),
        }));
        let decoder = Decoder::new(&context, &options.alignment_heads);
        Ok(Self {
            context,
            state,
            decoder,
            positions: 0,
            language: None,
            is_watched: options.kernels != Kernels::Stock,
        })
    }

    /// Forgets what it knows of the utterance.
    pub(crate) fn forget(&mut self) {
        self.language = None;
    }

    /// Longest window in samples: past the model's context whisper.cpp loses text and reports
    /// success.
    pub(crate) fn max_window(&self) -> usize {
        self.context.n_audio_ctx().max(0) as usize * SAMPLES_PER_POSITION
    }

    /// Computes the padding behind beginnings of a recording, for windows of about their lengths.
    pub(crate) fn learn_padding(&mut self, recording: &[f32]) -> Result<(), Status> {
        let all = self.max_window() / SAMPLES_PER_POSITION;
        for len in (TEMPLATE_STEP..=recording.len()).step_by(TEMPLATE_STEP) {
            let first = len / SAMPLES_PER_POSITION + MARGIN;
            // With less padding there is nothing to save.
            if first + MARGIN > all {
                break;
            }
            padding::record(first);
            self.encode_within(&recording[..len], 0)?;
            // The decoder's keys pass through the backend when it reads them.
            self.step(self.context.token_sot(), 0)?;
            if !padding::keep() {
                return Err(Status::Unsupported);
            }
        }
        Ok(())
    }

    /// Encodes a window for the decoder: all of its context.
    fn encode_all(&mut self, pcm: &[f32]) -> Result<(), Status> {
        padding::off();
        self.encode_within(pcm, 0)
    }

    /// Encodes a window for the decoder: the positions that hold audio and a margin, with padding
    /// from the cache. Returns false if the whole context was computed, because it is asked for, or
    /// there is no cache, or nothing to save.
    fn encode(&mut self, pcm: &[f32], full: bool) -> Result<bool, Status> {
        let needed = (pcm.len().div_ceil(SAMPLES_PER_POSITION) + MARGIN).next_multiple_of(8);
        let all = self.max_window() / SAMPLES_PER_POSITION;
        let computed = if full { None } else { padding::extend(needed).filter(|computed| *computed < all) };
        match computed {
            Some(computed) => self.encode_within(pcm, computed as c_int)?,
            None => self.encode_all(pcm)?,
        }
        Ok(computed.is_some())
    }

    /// Encodes with at most this number of encoder positions; 0 stands for all that the model has.
    fn encode_within(&mut self, pcm: &[f32], positions: c_int) -> Result<(), Status> {
        if positions == self.positions {
            self.state.pcm_to_mel(pcm, 1).map_err(|_| Status::DecodeFailed)?;
        } else {
            // Only `whisper_full` sets the number of positions. It does nothing with less than 100
            // ms; it checks the length before, and again after it has set the number.
            let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
            params.set_language(Some("en"));
            params.set_audio_ctx(positions);
            params.set_duration_ms(NOTHING_TO_DO_MS);
            self.state.full(params, pcm).map_err(|_| Status::DecodeFailed)?;
            self.positions = positions;
        }
        self.state.encode(0, 1).map_err(|_| Status::DecodeFailed)
    }

    /// The language to decode in where nothing is to be detected: the one that is asked for, or a
    /// model's only one.
    fn named_language(&self, task: &Task) -> Result<Option<String>, Status> {
        if !self.context.is_multilingual() {
            if task.translate {
                return Err(Status::Unsupported);
            }
            return match task.language.as_deref() {
                None | Some("en") => Ok(Some("en".to_owned())),
                Some(_) => Err(Status::BadLanguage),
            };
        }
        if let Some(language) = &task.language
            && (language.contains('\0') || whisper_rs::get_lang_id(language).is_none())
        {
            return Err(Status::BadLanguage);
        }
        Ok(task.language.clone())
    }

    /// Probability that the window last encoded holds no speech.
    ///
    /// whisper.cpp 1.8.3 reads it from the first row of a prompt's logits while only the last row
    /// is filled, which is wrong for every multilingual model and every carried prompt; so the
    /// one-token prompt is run again here.
    fn no_speech(&mut self) -> Result<f32, Status> {
        let token = self.context.token_nosp() as usize;
        let logits = self.step(self.context.token_sot(), 0)?;
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mass: f32 = logits.iter().map(|logit| (logit - top).exp()).sum();
        Ok(logits.get(token).map_or(0.0, |logit| (logit - top).exp() / mass))
    }

    /// One decoder step: the logits after `token` at position `past`.
    fn step(&mut self, token: i32, past: usize) -> Result<&[f32], Status> {
        self.state.decode(&[token], past, 1).map_err(|_| Status::DecodeFailed)?;
        let logits = self.state.get_logits().map_err(|_| Status::DecodeFailed)?;
        Ok(&logits[..logits.len().min(self.context.n_vocab() as usize)])
    }
}
