//! Decoding of a single window with whisper.cpp's own decoder.

use std::ffi::c_void;
use std::ops::Range;

use hearken_proto::abi::Status;
use hearken_proto::{Event, Segment, Task, Word};
use whisper_rs::whisper_rs_sys as sys;
use whisper_rs::{FullParams, SamplingStrategy};

use super::Recognizer;
use crate::backend::padding;
use crate::decoder::{self, Order};
use crate::script;
use crate::stream::Spoken;
use crate::words::{self, Token};
use crate::{imports, spectrogram};

/// Candidates of temperature fallback, whisper.cpp's own default.
const BEST_OF: i32 = 5;

/// Empties a segment that is nothing but an annotation in brackets or between notes.
fn drop_annotations(segment: &mut Segment) {
    let spoken = |word: &Word| Spoken { word: word.clone(), ..Spoken::default() };
    let mut left: Vec<Spoken> = segment.words.iter().map(spoken).collect();
    decoder::drop_bracketed(&mut left);
    if left.is_empty() {
        segment.text.clear();
        segment.words.clear();
    }
}

/// A segment, and its tokens in the order of [`Segment::tokens`].
struct Draft {
    segment: Segment,
    tokens: Vec<Token>,
}

impl Recognizer {
    /// Decodes `pcm` once with whisper.cpp's own temperature fallback and emits its segments.
    pub(crate) fn decode(&mut self, pcm: &[f32], task: &Task) -> Result<(), Status> {
        if pcm.is_empty() {
            imports::emit_event(&Event::Decoded { no_speech: 1.0, encodes: 0 });
            return Ok(());
        }
        let language = match self.named_language(task)? {
            Some(language) => language,
            None => {
                self.encode(pcm, task.full_context)?;
                self.language(task, pcm.len(), true)?.code
            }
        };
        if !task.bias.is_empty() && self.decode_biased(pcm, task, &language)? {
            return Ok(());
        }
        let encodes = self.full(pcm, task, &language)?;
        let mut drafts = self.segments(pcm.len(), &language);
        let no_speech = self.no_speech()?;
        if self.is_watched {
            self.place(&mut drafts, pcm, task, &language, encodes)?;
        }
        if self.context.is_multilingual() {
            drafts.retain(|draft| script::fits(&draft.segment.text, &language));
        }
        if !task.annotations {
            drafts.iter_mut().for_each(|draft| drop_annotations(&mut draft.segment));
        }
        for draft in drafts {
            imports::emit_event(&Event::Segment(draft.segment));
        }
        imports::emit_event(&Event::Decoded { no_speech, encodes });
        Ok(())
    }

    /// Gives words the times at which the decoder attends to them, and segments those of their
    /// words: whisper.cpp's own, the timestamps and the probabilities of tokens, fail after pauses
    /// and where windows join.
    fn place(
        &mut self,
        drafts: &mut [Draft],
        pcm: &[f32],
        task: &Task,
        language: &str,
        encodes: u32,
    ) -> Result<(), Status> {
        let texts = |draft: &Draft| {
            draft.tokens.iter().zip(&draft.segment.tokens).filter(|(token, _)| !token.special).count()
        };
        let ids: Vec<i32> = drafts
            .iter()
            .flat_map(|draft| draft.tokens.iter().zip(&draft.segment.tokens))
            .filter(|(token, _)| !token.special)
            .map(|(_, id)| *id as i32)
            .collect();
        if encodes != 1 {
            // The last window may begin anywhere.
            self.state.encode(0, 1).map_err(|_| Status::DecodeFailed)?;
        }
        let order = Order { task, prompted: true, language, forced: &[], len: pcm.len(), temperature: 0.0 };
        let places = self.decoder.place(&self.context, &mut self.state, &order, &ids)?;
        let spaced = words::is_spaced(language);
        let (mut rest, mut before, mut behind) = (places.as_slice(), 0, None);
        for draft in drafts.iter_mut() {
            let (places, others) = rest.split_at(texts(draft).min(rest.len()));
            rest = others;
            let texts = draft.tokens.iter_mut().filter(|token| !token.special);
            texts.zip(places).for_each(|(token, place)| token.aligned = place.end);
            let Some(last) = places.last() else { continue };
            let span = words::Span::new(before, i64::MAX, pcm.len());
            before = last.end;
            let spoken: Vec<&Token> = draft.tokens.iter().filter(|token| !token.special).collect();
            let looked = |range: Range<usize>| {
                let spoken = range.filter(|at| words::is_spoken(&spoken[*at].text));
                spoken.filter_map(|at| places.get(at)?.attended).max()
            };
            let placed = words::group_places(&draft.tokens, span, spaced).into_iter();
            let (mut words, looked): (Vec<Word>, Vec<Option<u32>>) =
                placed.map(|(word, range)| (word, looked(range))).unzip();
            decoder::trim_all(words.iter_mut().zip(looked), &mut behind, pcm);
            draft.segment.words = words;
            let segment = &mut draft.segment;
            if let (Some(first), Some(last)) = (segment.words.first(), segment.words.last()) {
                (segment.start, segment.end) = (first.start, last.end);
            }
        }
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
        // The samples' energy is slow to compute, and tells less of word times than attention does.
        params.set_token_timestamps(!self.is_watched);
        params.set_suppress_nst(!task.annotations);
        // As long as it is: the code that computed the spectrogram had no way to report this.
        params.set_duration_ms(spectrogram::duration_ms(pcm.len()));
        params.set_print_progress(false);
        params.set_print_realtime(false);
        params.set_print_special(false);
        params.set_print_timestamps(false);
        if let Some(prompt) = task.prompt.as_deref().and_then(words::prompt_text) {
            params.set_initial_prompt(&prompt);
        }
        // SAFETY: `count_encode` only touches the counter it is given, which outlives the call to
        // `full`.
        unsafe {
            params.set_start_encoder_callback(Some(count_encode));
            params.set_start_encoder_callback_user_data((&raw mut encodes).cast());
        }
        padding::off();
        self.state.full(params, pcm).map_err(|_| Status::DecodeFailed)?;
        self.positions = 0;
        Ok(encodes)
    }

    /// Segments of the last run over `len` samples.
    fn segments(&self, len: usize, language: &str) -> Vec<Draft> {
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
            let segment = Segment {
                start: span.start,
                end: span.end,
                text: String::from_utf8_lossy(segment.to_bytes().unwrap_or_default()).into_owned(),
                avg_logprob: words::average_logprob(&tokens),
                words: words::group(&tokens, span, spaced),
                tokens: ids,
            };
            Draft { segment, tokens }
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
