//! One window by itself, with whisper.cpp's own decoder.

use std::ffi::c_void;

use hearken_proto::abi::Status;
use hearken_proto::{Event, Segment, Task};
use whisper_rs::whisper_rs_sys as sys;
use whisper_rs::{FullParams, SamplingStrategy};

use super::Recognizer;
use crate::words::{self, Token};
use crate::{imports, spectrogram};

/// Candidates of temperature fallback, whisper.cpp's own default.
const BEST_OF: i32 = 5;

impl Recognizer {
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
        if let Some(prompt) = task.prompt.as_deref().and_then(words::told) {
            params.set_initial_prompt(&prompt);
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
}

unsafe extern "C" fn count_encode(
    _: *mut sys::whisper_context,
    _: *mut sys::whisper_state,
    counter: *mut c_void,
) -> bool {
    // SAFETY: `decode` passes a pointer to its live `u32`.
    unsafe { *counter.cast::<u32>() += 1 };
    true
}
