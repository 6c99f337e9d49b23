//! The loop that feeds whisper.cpp's decoder.

use std::rc::Rc;

use hearken_proto::Task;
use hearken_proto::abi::Status;
use whisper_rs::{WhisperContext, WhisperState};

use super::annotations;
use super::bias::{Trail, Turn, boosted};
use super::heads::{Head, Shape, following};
use super::pieces::Pieces;
use super::rules::{Chance, Picked, Vocabulary};
use super::transcript::{Place, SAMPLES_PER_FRAME, Said, Transcript};
use super::trie::Trie;
use crate::backend::{Watched, attention_tap};
use crate::stream::Spoken;
use crate::words;

/// whisper.cpp's limit for the first timestamp, in seconds.
const LATEST_FIRST: f32 = 1.0;
/// Seconds that whisper.cpp takes every model's context to have when it computes that limit.
const CHUNK: f32 = 30.0;
/// Windows of which less than this is left are done: whisper.cpp's 100 ms.
const LEAST_REST: usize = hearken_proto::SAMPLE_RATE as usize / 10;
/// Maximum number of tokens of a window: a constant, and a number for each second. The fastest
/// speakers reach 11 a second; a loop exceeds it.
const MOST_TOKENS: usize = 15;
const MOST_TOKENS_A_SECOND: usize = 15;
const SECOND: usize = hearken_proto::SAMPLE_RATE as usize;
/// Above this temperature whisper.cpp gives no prompt.
const HISTORY_CUTOFF: f32 = 0.5;

/// A model's decoder.
pub(crate) struct Decoder {
    vocabulary: Vocabulary,
    /// The model knows timestamps.
    is_timed: bool,
    /// Tokens that begin annotations, which are not speech.
    annotations: Vec<i32>,
    /// Alignment heads.
    heads: Vec<Head>,
    frames: usize,
    /// Tokens of a transcript, at most.
    longest: usize,
    /// Tokens of a prompt, at most.
    longest_prompt: usize,
    pieces: Rc<Pieces>,
    /// The phrases of the latest task.
    trie: Rc<Trie>,
    logits: Vec<f32>,
}

/// A place to which a text may have to go back: the likeliest token there, and the logits.
#[derive(Default)]
struct Crossing {
    best: Option<Picked>,
    logits: Vec<f32>,
}

/// Result of one pass over a window.
pub(crate) struct Decoded {
    pub(crate) words: Vec<Spoken>,
    pub(crate) avg_logprob: f32,
    /// True if the decoder did not come to an end: it repeated itself, or produced too much text.
    pub(crate) stalled: bool,
    /// Position [samples] at which the decoder wants to be run again: it ended before the audio
    /// did.
    pub(crate) rest: Option<u32>,
    /// Number of words to keep in that case; the others are decoded again.
    pub(crate) settled: usize,
}

/// Input and options of a decoding.
pub(crate) struct Order<'a> {
    pub(crate) task: &'a Task,
    /// True if the decoder is given the task's prompt.
    pub(crate) prompted: bool,
    pub(crate) language: &'a str,
    /// Forced prefix: words that were recognized in this window's beginning.
    pub(crate) forced: &'a [Spoken],
    /// Length of the window in samples.
    pub(crate) len: usize,
    /// 0 takes the most likely tokens, more draws them.
    pub(crate) temperature: f32,
}

impl Decoder {
    /// `known` are heads of which it is known that they follow the audio, if any are.
    pub(crate) fn new(context: &WhisperContext, known: &[Head]) -> Self {
        let layers = context.model_n_text_layer();
        let count = |number: i32| number.max(0) as u32;
        let shape = Shape {
            vocabulary: count(context.n_vocab()),
            layers: count(layers),
            heads: count(context.model_n_text_head()),
        };
        let heads = following(known, shape);
        let mut never = vec![
            context.token_sot(),
            context.token_solm(),
            context.token_prev(),
            context.token_nosp(),
            context.token_not(),
            context.token_translate(),
            context.token_transcribe(),
        ];
        never.extend((0..=whisper_rs::get_lang_max_id()).map(|language| context.token_lang(language)));
        let context_frames = context.n_audio_ctx().max(1);
        // whisper.cpp takes two layers for a distilled model's, which knows no timestamps.
        let is_timed = layers != 2 || context.n_vocab() == 51_866;
        let latest_first = (LATEST_FIRST / (CHUNK / context_frames as f32)).round() as i32;
        Self {
            vocabulary: Vocabulary {
                eot: context.token_eot(),
                beg: context.token_beg(),
                blank: context.tokenize(" ", 8).ok().and_then(|tokens| tokens.first().copied()),
                never,
                continues: continuing(context),
                latest_first,
                timed: is_timed,
                suppressed: Vec::new(),
            },
            is_timed,
            annotations: annotations::tokens(context.token_eot(), |token| context.token_to_bytes(token).ok()),
            heads,
            frames: context_frames as usize,
            longest: (context.n_text_ctx() / 2 - 4).max(1) as usize,
            longest_prompt: (context.n_text_ctx() / 2).max(1) as usize,
            pieces: Rc::new(Pieces::new(context.token_eot(), |token| context.token_to_bytes(token).ok())),
            trie: Rc::default(),
            logits: Vec::new(),
        }
    }

    /// Decodes the window that `state` has encoded.
    pub(crate) fn decode(
        &mut self,
        context: &WhisperContext,
        state: &mut WhisperState,
        order: &Order<'_>,
    ) -> Result<Decoded, Status> {
        self.vocabulary.timed = self.is_timed && order.task.timestamps;
        self.vocabulary.suppressed.clear();
        if !order.task.annotations {
            self.vocabulary.suppressed.extend(&self.annotations);
        }
        let mut feed = self.prompt(context, order)?;
        let before = feed.len();
        let mut said: Vec<Said> = self.forced(order).map(|token| Said { token, logprob: 0.0 }).collect();
        let forced = said.len();
        feed.extend(said.iter().map(|said| said.token));
        let spaced = words::is_spaced(order.language);
        // Fixed seed, so that a session can be replayed.
        let mut chance = Chance::new(order.len as u64);
        let (mut fed, mut ended) = (0, false);
        let (trie, pieces) = (self.trie(order), Rc::clone(&self.pieces));
        let behind: Vec<i32> = said.iter().map(|said| said.token).collect();
        let mut trail =
            (!trie.is_empty()).then(|| Trail::new(&trie, &pieces, self.vocabulary.eot, spaced, &behind));
        let mut crossing = Crossing::default();

        attention_tap::begin(&self.heads, order.len.div_ceil(SAMPLES_PER_FRAME as usize).min(self.frames));
        let longest = self.longest.min(forced + MOST_TOKENS + order.len * MOST_TOKENS_A_SECOND / SECOND);
        while said.len() < longest {
            let best = match crossing.best.take_if(|_| feed.is_empty()) {
                Some(best) => best,
                None => {
                    attention_tap::pass(feed.len());
                    state.decode(&feed, fed, 1).map_err(|_| Status::DecodeFailed)?;
                    self.take_logits(state, feed.len())?;
                    fed += feed.len();
                    let sequence: Vec<i32> = said.iter().map(|said| said.token).collect();
                    let whole = spaced && forced > 0 && said.len() == forced;
                    self.pick(&sequence, whole, order.temperature, &mut chance)?
                }
            };
            let at = said.len();
            let turn = trail.as_mut().map_or(Turn::Keep, |trail| trail.turn(at, best.token, &self.logits));
            if trail.as_ref().is_some_and(|trail| trail.is_pending_from(at)) {
                crossing.best = Some(best);
                crossing.logits.clone_from(&self.logits);
            }
            let Picked { token, logprob } = match turn {
                Turn::Keep => best,
                Turn::Take { token, boost } => self.taken(best, token, boost),
                Turn::Back(to) => {
                    said.truncate(to);
                    fed = before + to;
                    attention_tap::back_to(fed);
                    self.logits.clone_from(&crossing.logits);
                    feed.clear();
                    continue;
                }
            };
            if token == self.vocabulary.eot {
                ended = true;
                break;
            }
            said.push(Said { token, logprob });
            if self.reaches_end(token, order.len) {
                ended = true;
                break;
            }
            let loops = |watched: &Watched| self.transcript(order, &said, forced, before, watched).stalled();
            if let Some(keep) = attention_tap::look(loops).flatten() {
                said.truncate(keep);
                break;
            }
            feed = vec![token];
        }
        let watched = attention_tap::end();
        let transcript = self.transcript(order, &said, forced, before, &watched);
        let (kept, rest) = if ended { self.rest(&said, forced, order.len) } else { (said.len(), None) };
        let bytes = |token| context.token_to_bytes(token).map(<[u8]>::to_vec).unwrap_or_default();
        Ok(Decoded {
            words: transcript.words(bytes),
            avg_logprob: transcript.average_logprob(),
            stalled: !ended,
            settled: self.transcript(order, &said[..kept], forced, before, &watched).words(bytes).len(),
            rest,
        })
    }

    /// Aligns the text `tokens`, which were decoded from it, with the window that `state` has
    /// encoded. Returns one place for each, or none if there are too many of them to be read at
    /// once, or attention is not recorded.
    pub(crate) fn place(
        &mut self,
        context: &WhisperContext,
        state: &mut WhisperState,
        order: &Order<'_>,
        tokens: &[i32],
    ) -> Result<Vec<Place>, Status> {
        self.vocabulary.timed = false;
        let mut feed = self.prompt(context, order)?;
        let before = feed.len();
        feed.extend(tokens);
        if tokens.is_empty() || feed.len() > context.n_text_ctx().max(0) as usize {
            return Ok(Vec::new());
        }
        attention_tap::begin(&self.heads, order.len.div_ceil(SAMPLES_PER_FRAME as usize).min(self.frames));
        attention_tap::pass(feed.len());
        let read = state.decode(&feed, 0, 1);
        let watched = attention_tap::end();
        read.map_err(|_| Status::DecodeFailed)?;
        let said: Vec<Said> = tokens.iter().map(|token| Said { token: *token, logprob: 0.0 }).collect();
        Ok(self.transcript(order, &said, 0, before, &watched).places())
    }

    fn transcript<'a>(
        &'a self,
        order: &Order<'_>,
        said: &'a [Said],
        forced: usize,
        before: usize,
        watched: &'a Watched,
    ) -> Transcript<'a> {
        let spaced = words::is_spaced(order.language);
        // The last position of the prompt predicts the first token.
        let position = before - 1;
        Transcript { vocabulary: &self.vocabulary, said, forced, position, watched, len: order.len, spaced }
    }

    /// Builds the decoder's prompt: text that came before, start, language, task.
    fn prompt(&self, context: &WhisperContext, order: &Order<'_>) -> Result<Vec<i32>, Status> {
        let mut prompt = Vec::new();
        // As whisper.cpp: text that came before misleads a decoder that draws.
        let is_prompted = order.prompted && order.temperature < HISTORY_CUTOFF;
        let past = order.task.prompt.as_deref().filter(|_| is_prompted);
        if let Some(past) = past.and_then(words::prompt_text) {
            let tokens = context.tokenize(&past, past.len() + 1).map_err(|_| Status::Malformed)?;
            let skipped = tokens.len().saturating_sub(self.longest_prompt - 1);
            if !tokens.is_empty() {
                prompt.push(context.token_prev());
                prompt.extend(&tokens[skipped..]);
            }
        }
        prompt.push(context.token_sot());
        if context.is_multilingual() {
            let id = whisper_rs::get_lang_id(order.language).ok_or(Status::BadLanguage)?;
            let task =
                if order.task.translate { context.token_translate() } else { context.token_transcribe() };
            prompt.extend([context.token_lang(id), task]);
        }
        if !self.vocabulary.timed {
            prompt.push(context.token_not());
        }
        Ok(prompt)
    }

    /// Tokens of the forced prefix; it starts with a timestamp.
    fn forced(&self, order: &Order<'_>) -> impl Iterator<Item = i32> {
        let mut tokens = Vec::new();
        let mut latest = 0;
        for (index, spoken) in order.forced.iter().enumerate() {
            let start = [spoken.word.start];
            let marks: &[u32] = match (index, spoken.marks.as_slice()) {
                (0, []) => &start,
                (0, [.., last]) => std::slice::from_ref(last),
                (_, marks) => marks,
            };
            for mark in marks.iter().filter(|_| self.vocabulary.timed) {
                latest = latest.max((mark / SAMPLES_PER_FRAME).min(self.frames as u32));
                tokens.push(self.vocabulary.beg + latest as i32);
            }
            tokens.extend(&spoken.tokens);
        }
        tokens.into_iter()
    }

    /// Keeps the logits after the last of `count` tokens that were fed.
    fn take_logits(&mut self, state: &WhisperState, count: usize) -> Result<(), Status> {
        let first = state.get_logits().map_err(|_| Status::DecodeFailed)?;
        // SAFETY: whisper.cpp keeps a row for each token that it was fed in one call, one behind
        // the other, of which only the last is filled (`whisper_decode_internal`); `get_logits`
        // gives the first.
        let last = unsafe {
            std::slice::from_raw_parts(first.as_ptr().wrapping_add((count - 1) * first.len()), first.len())
        };
        self.logits.clear();
        self.logits.extend_from_slice(last);
        Ok(())
    }

    fn pick(
        &mut self,
        said: &[i32],
        whole: bool,
        temperature: f32,
        chance: &mut Chance,
    ) -> Result<Picked, Status> {
        if whole {
            self.vocabulary.forbid_continuing(&mut self.logits);
        }
        let picked = if temperature > 0.0 {
            self.vocabulary.drawn(&mut self.logits, said, temperature, chance)
        } else {
            self.vocabulary.best(&mut self.logits, said)
        };
        picked.ok_or(Status::DecodeFailed)
    }

    /// The phrases of a task as a trie; none where tokens are drawn.
    fn trie(&mut self, order: &Order<'_>) -> Rc<Trie> {
        if order.temperature > 0.0 {
            return Rc::default();
        }
        if !self.trie.is_of(&order.task.bias) {
            self.trie = Rc::new(Trie::new(&order.task.bias, &self.pieces));
        }
        Rc::clone(&self.trie)
    }

    /// A token that is taken instead of the likeliest one: as likely as its boost makes it.
    fn taken(&self, best: Picked, token: i32, boost: f32) -> Picked {
        let logit = |token: i32| self.logits.get(token.max(0) as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let logprob = best.logprob + logit(token) - logit(best.token);
        Picked { token, logprob: boosted(logprob, boost) }
    }

    /// Returns true if a timestamp marks the end of the audio, apart from the part that whisper.cpp
    /// neglects.
    fn reaches_end(&self, token: i32, len: usize) -> bool {
        let steps = self.vocabulary.steps(token).filter(|steps| *steps > 0);
        steps.is_some_and(|steps| steps as usize * SAMPLES_PER_FRAME as usize + LEAST_REST >= len)
    }

    /// Number of tokens to keep when the decoder has ended, and the position at which it wants to
    /// be run again. A timestamp that closes a segment ends the window; one that opens another,
    /// without text or with text that is not closed, is the position to go on from.
    fn rest(&self, said: &[Said], forced: usize, len: usize) -> (usize, Option<u32>) {
        let is_late = |said: &Said| said.token > self.vocabulary.beg;
        let Some(last) = said[forced..].iter().rposition(is_late).map(|at| forced + at) else {
            return (said.len(), None);
        };
        let closes = last > 0 && self.vocabulary.is_text(said[last - 1].token);
        if closes && last + 1 == said.len() {
            return (said.len(), None);
        }
        let reached = self.vocabulary.steps(said[last].token).unwrap_or(0) * SAMPLES_PER_FRAME;
        // Text after a timestamp that closes nothing is decoded again.
        let rest = (reached as usize + LEAST_REST < len).then_some(reached);
        (last + 1, rest)
    }
}

/// Text tokens that continue a word: those that do not begin with a space.
fn continuing(context: &WhisperContext) -> Vec<bool> {
    let begins = |token| context.token_to_bytes(token).is_ok_and(|bytes| bytes.starts_with(b" "));
    (0..context.token_eot()).map(|token| !begins(token)).collect()
}
