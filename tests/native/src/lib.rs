//! The reference: whisper.cpp as whisper-rs builds it for this machine, outside any sandbox.

use std::ffi::{c_int, c_void};
use std::sync::Once;
use std::time::{Duration, Instant};

pub use whisper_rs;
use whisper_rs::whisper_rs_sys as sys;
use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperState};

/// A natively loaded model.
pub struct Native {
    context: WhisperContext,
}

/// A decoding state, which can be used again and again.
pub struct State<'a> {
    native: &'a Native,
    state: WhisperState,
    threads: usize,
}

/// Result of whisper.cpp for one chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Segments, in order.
    pub segments: Vec<Segment>,
    /// Probability that the chunk holds no speech: soft-max after the start of the transcript
    /// alone.
    pub no_speech: f32,
    /// True if greedy decoding failed whisper.cpp's own checks, so that it drew tokens at random,
    /// at higher temperatures.
    pub fell_back: bool,
}

/// A stretch of text.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// The text without surrounding space.
    pub text: String,
    /// Tokens, special ones included.
    pub tokens: Vec<u32>,
    /// Mean log-probability of the tokens that are text; 0 without any.
    pub avg_logprob: f32,
}

/// Counters of the callbacks.
#[derive(Default)]
struct Counts {
    encodes: u32,
    attempts: u32,
}

impl Native {
    /// Loads a model with whisper-rs's default parameters, which are the guest's.
    ///
    /// # Panics
    ///
    /// When whisper.cpp refuses the model.
    pub fn load(model: &[u8]) -> Self {
        Self::load_with(model, false)
    }

    /// Loads the model, with or without flash attention.
    ///
    /// # Panics
    ///
    /// When whisper.cpp refuses the model.
    pub fn load_with(model: &[u8], flash: bool) -> Self {
        static QUIET: Once = Once::new();
        QUIET.call_once(whisper_rs::install_logging_hooks);
        let mut parameters = WhisperContextParameters::default();
        parameters.flash_attn(flash);
        let context = WhisperContext::new_from_buffer_with_params(model, parameters);
        Self { context: context.expect("whisper.cpp loads it") }
    }

    /// The token that ends a text; those before it are text.
    pub fn end_of_text(&self) -> u32 {
        self.context.token_eot() as u32
    }

    /// The token of time 0; later times follow it.
    pub fn first_time(&self) -> u32 {
        self.context.token_beg() as u32
    }

    /// A fresh state, as each of hearken's sandboxes has.
    ///
    /// # Panics
    ///
    /// When memory runs out.
    pub fn state(&self) -> State<'_> {
        State { native: self, state: self.context.create_state().expect("memory for a state"), threads: 1 }
    }
}

impl State<'_> {
    /// Threads for encoder and decoder; 1 unless this is called.
    pub fn set_threads(&mut self, threads: usize) {
        self.threads = threads;
    }

    /// Encodes `samples` and feeds `count` tokens, after those that start a transcript; how long
    /// the encoder and the tokens took, without the spectrogram and the start.
    ///
    /// # Panics
    ///
    /// When whisper.cpp fails.
    pub fn time(&mut self, samples: &[f32], count: usize) -> (Duration, Duration) {
        self.state.pcm_to_mel(samples, self.threads).expect("a spectrogram");
        let start = Instant::now();
        self.state.encode(0, self.threads).expect("whisper.cpp encodes");
        let encoder = start.elapsed();
        let prompt = self.prompt("en");
        let past = prompt.len();
        for (past, token) in prompt.into_iter().enumerate() {
            self.step(token, past);
        }
        let start = Instant::now();
        for index in 0..count {
            self.step(1000 + index as i32, past + index);
        }
        (encoder, start.elapsed())
    }

    /// Decodes English with the guest's parameters.
    ///
    /// # Panics
    ///
    /// When whisper.cpp fails.
    pub fn hear(&mut self, samples: &[f32]) -> Heard {
        self.hear_in("en", samples)
    }

    /// Decodes a language (ISO 639-1) with the guest's parameters.
    ///
    /// # Panics
    ///
    /// When whisper.cpp fails.
    pub fn hear_in(&mut self, language: &str, samples: &[f32]) -> Heard {
        self.decode(samples, language, true)
    }

    /// Decodes without temperature fallback: for weights that were drawn at random.
    ///
    /// # Panics
    ///
    /// When whisper.cpp fails.
    pub fn hear_once(&mut self, samples: &[f32]) -> Heard {
        self.decode(samples, "en", false)
    }

    fn decode(&mut self, samples: &[f32], language: &str, fall_back: bool) -> Heard {
        let mut counts = Counts::default();
        let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 5 });
        params.set_n_threads(self.threads as i32);
        if !fall_back {
            params.set_temperature_inc(0.0);
        }
        params.set_no_context(true);
        params.set_language(Some(language));
        params.set_translate(false);
        params.set_token_timestamps(true);
        // hearken takes annotations for no words.
        params.set_suppress_nst(true);
        params.set_print_progress(false);
        params.set_print_realtime(false);
        params.set_print_special(false);
        params.set_print_timestamps(false);
        let counter: *mut c_void = (&raw mut counts).cast();
        // SAFETY: both callbacks only touch the counts they are given, which outlive the call to
        // `full`.
        unsafe {
            params.set_start_encoder_callback(Some(count_encode));
            params.set_start_encoder_callback_user_data(counter);
            params.set_filter_logits_callback(Some(count_attempt));
            params.set_filter_logits_callback_user_data(counter);
        }
        self.state.full(params, samples).expect("whisper.cpp decodes");

        let eot = self.native.context.token_eot();
        let mut segments = Vec::new();
        for segment in self.state.as_iter() {
            let tokens: Vec<_> = (0..segment.n_tokens())
                .filter_map(|index| segment.get_token(index))
                .map(|token| token.token_data())
                .collect();
            let text: Vec<f32> =
                tokens.iter().filter(|token| token.id < eot).map(|token| token.plog).collect();
            segments.push(Segment {
                text: String::from_utf8_lossy(segment.to_bytes().unwrap_or_default()).trim().to_owned(),
                avg_logprob: if text.is_empty() { 0.0 } else { text.iter().sum::<f32>() / text.len() as f32 },
                tokens: tokens.iter().map(|token| token.id as u32).collect(),
            });
        }
        let logits = self.step(self.native.context.token_sot(), 0);
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mass: f32 = logits.iter().map(|logit| (logit - top).exp()).sum();
        let no_speech = (logits[self.native.context.token_nosp() as usize] - top).exp() / mass;
        Heard { segments, no_speech, fell_back: counts.attempts > counts.encodes }
    }

    /// Feeds exactly `tokens`; answers the logits at each position, those of the start of the
    /// transcript included.
    ///
    /// # Panics
    ///
    /// When whisper.cpp fails.
    pub fn score(&mut self, samples: &[f32], language: &str, tokens: &[u32]) -> Vec<Vec<f32>> {
        let mut logits = self.start(samples, language);
        for &token in tokens {
            let step = self.step(token as i32, logits.len());
            logits.push(step);
        }
        logits
    }

    /// Feeds what it finds likeliest itself, `count` times; answers those tokens and the logits as
    /// [`score`](Self::score).
    ///
    /// # Panics
    ///
    /// When whisper.cpp fails.
    pub fn follow(&mut self, samples: &[f32], language: &str, count: usize) -> (Vec<u32>, Vec<Vec<f32>>) {
        let mut logits = self.start(samples, language);
        let mut tokens = Vec::new();
        for _ in 0..count {
            let token = top_two(&logits[logits.len() - 1]).0;
            tokens.push(token);
            let step = self.step(token as i32, logits.len());
            logits.push(step);
        }
        (tokens, logits)
    }

    fn start(&mut self, samples: &[f32], language: &str) -> Vec<Vec<f32>> {
        self.state.pcm_to_mel(samples, self.threads).expect("a spectrogram");
        self.state.encode(0, self.threads).expect("whisper.cpp encodes");
        let prompt = self.prompt(language).into_iter().enumerate();
        prompt.map(|(past, token)| self.step(token, past)).collect()
    }

    /// The tokens that start a transcript.
    fn prompt(&self, language: &str) -> Vec<i32> {
        let context = &self.native.context;
        let mut prompt = vec![context.token_sot()];
        if context.is_multilingual() {
            let id = whisper_rs::get_lang_id(language).expect("a language that Whisper knows");
            prompt.extend([context.token_lang(id), context.token_transcribe()]);
        }
        prompt
    }

    fn step(&mut self, token: i32, past: usize) -> Vec<f32> {
        self.state.decode(&[token], past, self.threads).expect("whisper.cpp decodes");
        self.state.get_logits().expect("logits").to_vec()
    }
}

/// Raw little-endian `f32`.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
}

/// The likeliest token, its logit and the second best logit.
pub fn top_two(logits: &[f32]) -> (u32, f32, f32) {
    let (mut token, mut best, mut second) = (0, f32::NEG_INFINITY, f32::NEG_INFINITY);
    for (id, &logit) in logits.iter().enumerate() {
        if logit > best {
            (token, second, best) = (id as u32, best, logit);
        } else if logit > second {
            second = logit;
        }
    }
    (token, best, second)
}

unsafe extern "C" fn count_encode(
    _: *mut sys::whisper_context,
    _: *mut sys::whisper_state,
    counts: *mut c_void,
) -> bool {
    // SAFETY: `hear` passes a pointer to its live counts.
    unsafe { (*counts.cast::<Counts>()).encodes += 1 };
    true
}

/// Called before each choice of a token; one without tokens before it begins an attempt at some
/// temperature.
unsafe extern "C" fn count_attempt(
    _: *mut sys::whisper_context,
    _: *mut sys::whisper_state,
    _: *const sys::whisper_token_data,
    tokens: c_int,
    _: *mut f32,
    counts: *mut c_void,
) {
    if tokens == 0 {
        // SAFETY: `hear` passes a pointer to its live counts.
        unsafe { (*counts.cast::<Counts>()).attempts += 1 };
    }
}

/// Weights in half precision, little-endian, as blocks of ggml's type of that name: `q4_0`, `q5_0`,
/// `q5_1` or `q8_0`.
///
/// # Panics
///
/// When there is no such type here, or the weights are no whole blocks.
pub fn quantize(name: &str, weights: &[u8]) -> Vec<u8> {
    let (kind, block) = match name {
        "q4_0" => (sys::ggml_type_GGML_TYPE_Q4_0, 18),
        "q5_0" => (sys::ggml_type_GGML_TYPE_Q5_0, 22),
        "q5_1" => (sys::ggml_type_GGML_TYPE_Q5_1, 24),
        "q8_0" => (sys::ggml_type_GGML_TYPE_Q8_0, 34),
        _ => panic!("no type {name}"),
    };
    let half = |bytes: &[u8; 2]| {
        // SAFETY: it converts one number.
        unsafe { sys::ggml_fp16_to_fp32(u16::from_le_bytes(*bytes)) }
    };
    let floats: Vec<f32> = weights.as_chunks().0.iter().map(half).collect();
    assert_eq!(floats.len() % 32, 0, "whole blocks");
    let mut blocks = vec![0; floats.len() / 32 * block];
    // SAFETY: it reads one row of all weights and writes their blocks, for which there is room.
    let written = unsafe {
        let row = floats.len() as i64;
        sys::ggml_quantize_chunk(
            kind,
            floats.as_ptr(),
            blocks.as_mut_ptr().cast(),
            0,
            1,
            row,
            std::ptr::null(),
        )
    };
    assert_eq!(written, blocks.len());
    blocks
}
