//! whisper.cpp behind the operations that the host asks for.

mod decode;
mod score;
mod streaming;

use std::ffi::c_int;

use hearken_proto::abi::Status;
use hearken_proto::{Event, Kernels, LoadOptions, ModelInfo, Task};
use whisper_rs::whisper_rs_sys as sys;
use whisper_rs::{
    DtwMode, DtwParameters, FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters,
    WhisperState,
};

use crate::decoder::Decoder;
use crate::{backend, imports, spectrogram};

/// Samples for each encoder position: the encoder's convolution halves the 10 ms mel frames.
const SAMPLES_PER_POSITION: usize = 320;

/// Positions of a short context, at least, and those behind the audio: with fewer, models repeat themselves or lose the end.
const LEAST_POSITIONS: usize = 512;
const SPARE_POSITIONS: usize = 128;

/// See [`Recognizer::encode_within`].
const NOTHING_TO_DO_MS: c_int = 100;

/// About what a state allocates for itself, besides buffers and scores: room for four schedulers' copies of tensors, of which
/// little is ever touched.
const OTHER_STATE: usize = 288 << 20;

/// A loaded model and the state to decode with it.
pub(crate) struct Recognizer {
    context: WhisperContext,
    state: WhisperState,
    decoder: Decoder,
    /// Word times come from attention.
    is_aligned: bool,
}

impl Recognizer {
    /// Reads the model from the host. Only possible while the snapshot is made.
    pub(crate) fn load(options: &LoadOptions) -> Result<Self, Status> {
        backend::register(options.kernels);
        let heads: Vec<sys::whisper_ahead> = options
            .alignment_heads
            .iter()
            .map(|&(layer, head)| sys::whisper_ahead { n_text_layer: layer as i32, n_head: head as i32 })
            .collect();
        let mut parameters = WhisperContextParameters::default();
        if !heads.is_empty() {
            parameters.dtw_parameters(DtwParameters {
                mode: DtwMode::Custom { aheads: &heads },
                ..DtwParameters::default()
            });
        }
        // The path is only a name: `loader` reads the host's bytes.
        let context = WhisperContext::new_with_params("model", parameters).map_err(|_| Status::BadModel)?;
        if options.kernels != Kernels::Stock {
            spectrogram::register();
            // The largest is a score for each word of the vocabulary at each place of a text.
            let scores =
                (context.n_vocab().max(0) as usize).saturating_mul(4 * context.n_text_ctx().max(0) as usize);
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
        Ok(Self { context, state, decoder, is_aligned: !heads.is_empty() })
    }

    /// Longest window in samples: past the model's context whisper.cpp loses text and reports success.
    pub(crate) fn max_window(&self) -> usize {
        self.context.n_audio_ctx().max(0) as usize * SAMPLES_PER_POSITION
    }

    /// Encodes a window, for the decoder.
    fn encode(&mut self, pcm: &[f32]) -> Result<(), Status> {
        self.state.pcm_to_mel(pcm, 1).map_err(|_| Status::DecodeFailed)?;
        self.state.encode(0, 1).map_err(|_| Status::DecodeFailed)
    }

    /// The same with no more than so many positions; 0 are all that the model has.
    fn encode_within(&mut self, pcm: &[f32], positions: c_int) -> Result<(), Status> {
        // Only `whisper_full` sets the number of positions. It takes less than 100 ms for nothing to do, and looks whether
        // there is that much before, and whether there is more after it has set it.
        let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
        params.set_language(Some("en"));
        params.set_audio_ctx(positions);
        params.set_duration_ms(NOTHING_TO_DO_MS);
        self.state.full(params, pcm).map_err(|_| Status::DecodeFailed)?;
        self.state.encode(0, 1).map_err(|_| Status::DecodeFailed)
    }

    /// Positions for a window of `len` samples where the context may be short; 0 for all.
    fn positions(&self, len: usize) -> c_int {
        let needed = len.div_ceil(SAMPLES_PER_POSITION) + SPARE_POSITIONS;
        let needed = needed.max(LEAST_POSITIONS).next_multiple_of(8);
        let all = self.context.n_audio_ctx().max(0) as usize;
        if needed < all { needed as c_int } else { 0 }
    }

    /// The language to decode in: as asked, or detected and reported.
    fn language(&mut self, pcm: &[f32], task: &Task) -> Result<String, Status> {
        if !self.context.is_multilingual() {
            if task.translate {
                return Err(Status::Unsupported);
            }
            return match task.language.as_deref() {
                None | Some("en") => Ok("en".to_owned()),
                Some(_) => Err(Status::BadLanguage),
            };
        }
        if let Some(language) = &task.language {
            if language.contains('\0') || whisper_rs::get_lang_id(language).is_none() {
                return Err(Status::BadLanguage);
            }
            return Ok(language.clone());
        }
        self.state.pcm_to_mel(pcm, 1).map_err(|_| Status::DecodeFailed)?;
        let (id, probabilities) = self.state.lang_detect(0, 1).map_err(|_| Status::DecodeFailed)?;
        let code = whisper_rs::get_lang_str(id).ok_or(Status::DecodeFailed)?.to_owned();
        let probability = probabilities.get(id as usize).copied().unwrap_or_default();
        imports::emit_event(&Event::Language { code: code.clone(), probability });
        Ok(code)
    }

    /// Probability that the window last encoded holds no speech.
    ///
    /// whisper.cpp 1.8.3 reads it from the first row of a prompt's logits while only the last row is filled, which
    /// is wrong for every multilingual model and every carried prompt; so the one-token prompt is run again here.
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
