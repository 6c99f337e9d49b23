//! whisper.cpp behind the operations that the host asks for.

use std::ffi::{c_int, c_void};

use hearken_proto::abi::Status;
use hearken_proto::{Event, Kernels, LoadOptions, ModelInfo, Segment, Stage, Task};
use whisper_rs::whisper_rs_sys as sys;
use whisper_rs::{
    DtwMode, DtwParameters, FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters,
    WhisperState,
};

use crate::decoder::{self, Decoded, Decoder, Order};
use crate::stream::{Effort, Recognise, Recognised, Spoken};
use crate::words::{self, Token};
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

/// Candidates of temperature fallback, whisper.cpp's own default.
const BEST_OF: i32 = 5;

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

    /// Decodes `pcm` once with whisper.cpp's own fallback and emits what it heard.
    pub(crate) fn decode(&mut self, pcm: &[f32], task: &Task) -> Result<(), Status> {
        if pcm.is_empty() {
            imports::emit_event(&Event::Decoded { no_speech: 1.0, encodes: 0 });
            return Ok(());
        }
        let language = self.language(pcm, task)?;
        let encodes = self.full(pcm, task, &language)?;
        for segment in self.segments(pcm.len(), &language) {
            imports::emit_event(&Event::Segment(segment));
        }
        let no_speech = self.no_speech()?;
        imports::emit_event(&Event::Decoded { no_speech, encodes });
        Ok(())
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

    /// What the decoder says of the window that was encoded, behind what it is told.
    fn decode_behind(&mut self, order: &Order<'_>) -> Result<Decoded, Status> {
        self.decoder.decode(&self.context, &mut self.state, order)
    }

    /// This recogniser as the streaming policy wants it.
    pub(crate) fn streaming<'a>(&'a mut self, task: &'a Task) -> Streaming<'a> {
        Streaming { recognizer: self, task }
    }

    /// Runs whisper.cpp over `pcm`; returns the number of encoder passes.
    fn full(&mut self, pcm: &[f32], task: &Task, language: &str) -> Result<u32, Status> {
        let mut encodes = 0u32;
        let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: BEST_OF });
        params.set_n_threads(1);
        params.set_no_context(true);
        params.set_language(Some(language));
        params.set_translate(task.translate);
        // What the samples' energy tells of word times is slow to compute, and worth less than what attention tells.
        params.set_token_timestamps(!self.is_aligned);
        // As long as it is: what computed the spectrogram had no way to say so.
        params.set_duration_ms(spectrogram::duration_ms(pcm.len()));
        params.set_print_progress(false);
        params.set_print_realtime(false);
        params.set_print_special(false);
        params.set_print_timestamps(false);
        if let Some(prompt) = &task.prompt {
            // A NUL cannot be part of a C string, and means nothing to a tokenizer.
            params.set_initial_prompt(&prompt.replace('\0', ""));
        }
        // SAFETY: `count_encode` only touches the counter it is given, which outlives the call to `full`.
        unsafe {
            params.set_start_encoder_callback(Some(count_encode));
            params.set_start_encoder_callback_user_data((&raw mut encodes).cast());
        }
        self.state.full(params, pcm).map_err(|_| Status::DecodeFailed)?;
        Ok(encodes)
    }

    /// What the last run over `len` samples found.
    fn segments(&self, len: usize, language: &str) -> Vec<Segment> {
        let spaced = words::is_spaced(language);
        let segments = self.state.as_iter().map(|segment| {
            let mut ids = Vec::new();
            let tokens: Vec<Token> = (0..segment.n_tokens())
                .filter_map(|index| segment.get_token(index))
                .map(|token| {
                    let data = token.token_data();
                    ids.push(data.id as u32);
                    Token {
                        text: token.to_bytes().unwrap_or_default().to_vec(),
                        special: data.id >= self.context.token_eot(),
                        probability: data.p,
                        logprob: data.plog,
                        start: data.t0,
                        end: data.t1,
                        aligned: data.t_dtw,
                    }
                })
                .collect();
            let span = words::Span::new(segment.start_timestamp(), segment.end_timestamp(), len);
            Segment {
                start: span.start,
                end: span.end,
                text: String::from_utf8_lossy(segment.to_bytes().unwrap_or_default()).into_owned(),
                avg_logprob: words::average_logprob(&tokens),
                words: words::group(&tokens, span, spaced),
                tokens: ids,
            }
        });
        segments.collect()
    }

    /// Feeds `tokens` whatever the model would rather say, and emits what it would have said.
    pub(crate) fn score(
        &mut self,
        pcm: &[f32],
        language: Option<&str>,
        tokens: &[u32],
    ) -> Result<(), Status> {
        let n_vocab = self.context.n_vocab() as u32;
        if tokens.iter().any(|&token| token >= n_vocab) {
            return Err(Status::Malformed);
        }
        let mut forced = vec![self.context.token_sot()];
        if self.context.is_multilingual() {
            let id = whisper_rs::get_lang_id(language.unwrap_or("en")).ok_or(Status::BadLanguage)?;
            forced.extend([self.context.token_lang(id), self.context.token_transcribe()]);
        }
        let prompt = forced.len();
        forced.extend(tokens.iter().map(|&token| token as i32));
        if forced.len() > self.context.n_text_ctx() as usize {
            return Err(Status::Malformed);
        }
        let done = |stage| imports::emit_event(&Event::Stage(stage));
        self.state.pcm_to_mel(pcm, 1).map_err(|_| Status::DecodeFailed)?;
        done(Stage::Spectrogram);
        self.state.encode(0, 1).map_err(|_| Status::DecodeFailed)?;
        done(Stage::Encoder);
        let (mut argmax, mut best, mut second) = (Vec::new(), Vec::new(), Vec::new());
        for (past, token) in forced.iter().enumerate() {
            let logits = self.step(*token, past)?;
            let mut top = (0u32, f32::NEG_INFINITY);
            let mut runner_up = f32::NEG_INFINITY;
            for (id, &logit) in logits.iter().enumerate() {
                if logit > top.1 {
                    runner_up = top.1;
                    top = (id as u32, logit);
                } else if logit > runner_up {
                    runner_up = logit;
                }
            }
            argmax.push(top.0);
            best.push(top.1);
            second.push(runner_up);
            if past + 1 == prompt {
                done(Stage::Prompt);
            }
        }
        imports::emit_event(&Event::Scores { argmax, best, second });
        Ok(())
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

/// The temperature of a final text's second try.
const RETRY_TEMPERATURE: f32 = 0.6;
/// A text is doubtful when its tokens are less likely than this on average and the window is not silent: OpenAI's
/// thresholds, as whisper.cpp has them.
const LOGPROB: f32 = -1.0;
const NO_SPEECH: f32 = 0.6;

/// A recogniser with a task, for the streaming policy.
pub(crate) struct Streaming<'a> {
    recognizer: &'a mut Recognizer,
    task: &'a Task,
}

impl Recognise for Streaming<'_> {
    fn recognise(&mut self, pcm: &[f32], told: &[Spoken], effort: Effort) -> Result<Recognised, Status> {
        if pcm.len() < SHORTEST {
            return Ok(Recognised { no_speech: 1.0, ..Recognised::default() });
        }
        let Self { recognizer, task } = self;
        let detects = recognizer.context.is_multilingual() && task.language.is_none();
        let language = recognizer.language(pcm, task)?;
        let mut positions = 0;
        // Whoever told the language has encoded the window for it.
        if task.short_context && !detects {
            positions = recognizer.positions(pcm.len());
            recognizer.encode_within(pcm, positions)?;
        } else if !detects {
            recognizer.encode(pcm)?;
        }
        // A step of its own, so only where it decides something.
        let no_speech = if effort == Effort::Final { recognizer.no_speech()? } else { 0.0 };
        let order = Order { task, language: &language, told, len: pcm.len(), temperature: 0.0 };
        let mut decoded = recognizer.decode_behind(&order)?;
        let mut encodes = 1;
        if decoded.stalled && positions > 0 {
            // It lost its way in the short context.
            recognizer.encode_within(pcm, 0)?;
            decoded = recognizer.decode_behind(&order)?;
            encodes += 1;
        }
        let doubtful = decoded.stalled || (decoded.avg_logprob < LOGPROB && no_speech < NO_SPEECH);
        if effort == Effort::Final && doubtful {
            let again = recognizer.decode_behind(&Order { temperature: RETRY_TEMPERATURE, ..order })?;
            let score = |decoded: &Decoded| (!decoded.stalled, decoded.avg_logprob);
            if score(&again) > score(&decoded) {
                decoded = again;
            }
        }
        for spoken in &mut decoded.words {
            decoder::trim(&mut spoken.word, spoken.attended, pcm);
        }
        Ok(Recognised {
            settled: decoded.settled,
            rest: decoded.rest,
            no_speech,
            avg_logprob: decoded.avg_logprob,
            words: decoded.words,
            encodes,
        })
    }
}

/// whisper.cpp hears nothing in less than 100 ms.
const SHORTEST: usize = hearken_proto::SAMPLE_RATE as usize / 10;

unsafe extern "C" fn count_encode(
    _: *mut sys::whisper_context,
    _: *mut sys::whisper_state,
    counter: *mut c_void,
) -> bool {
    // SAFETY: `decode` passes a pointer to its live `u32`.
    unsafe { *counter.cast::<u32>() += 1 };
    true
}
