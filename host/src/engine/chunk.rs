//! One chunk of a recording: its decode in a sandbox of its own, and what is believed of it.

use std::cmp::Reverse;
use std::ops::Range;

use hearken_proto::voice::missed;
use hearken_proto::window::{LOGPROB, NO_SPEECH};
use hearken_proto::{Event, Request, Task};

use super::{Model, guard};
use crate::audio::{Chunk, Voice};
use crate::error::Error;
use crate::place::Attempts;
use crate::sandbox::SandboxError;
use crate::{Language, SAMPLE_RATE, Segment, Word, text, transcript};

/// Audio around missed voice that is decoded with it, in samples: 200 ms.
const AROUND: u64 = SAMPLE_RATE as u64 / 5;

/// Maximum number of stretches of missed voice in a chunk that are decoded in vain: in noise that
/// voice activity takes for voice there may be one each second, and each costs a decode.
const MOST_IN_VAIN: u32 = 4;

/// Pause behind which another language may be spoken, in samples: 1 s.
const LANGUAGE_PAUSE: u64 = SAMPLE_RATE as u64;
/// Speech that is enough to tell its language, in samples: 6 s.
const LANGUAGE_SPEECH: u64 = 6 * SAMPLE_RATE as u64;

/// Result of one chunk.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) language: Option<Language>,
    pub(super) segments: Vec<Segment>,
    /// Voice without words, a second or more at a time.
    pub(super) unrecognized: Vec<Range<u64>>,
    /// From the first voice to the last, where there are no words at all.
    pub(super) wordless: Option<Range<u64>>,
}

/// Joins two stretches, and what is between them.
pub(super) fn span(one: Option<Range<u64>>, other: Option<Range<u64>>) -> Option<Range<u64>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.start.min(other.start)..one.end.max(other.end)),
        (one, other) => one.or(other),
    }
}

/// Returns true if both are there and the same but for case and punctuation.
fn is_same(one: Option<&Word>, other: Option<&Word>) -> bool {
    one.zip(other).is_some_and(|(one, other)| text::essence(&one.text) == text::essence(&other.text))
}

impl Heard {
    /// Those of some stretches of a chunk's voice that no word explains.
    fn missed(&self, voice: &[Range<u64>], chunk: &Chunk) -> Vec<Range<u64>> {
        let words = self.segments.iter().flat_map(|segment| &segment.words).map(|word| word.start..word.end);
        missed(voice, words, chunk.start..chunk.end())
    }

    /// Drops segments without a word that is not a hallucination of a tone.
    fn drop_tones(&mut self, voice: &Voice) {
        let is_tone = |word: &Word| voice.is_tone(&(word.start..word.end));
        self.segments.retain(|segment| segment.words.is_empty() || !segment.words.iter().all(is_tone));
    }

    /// Adds the text of a part that was decoded by itself, as far as it is likely and does not
    /// begin as the text before it ends, or end as the text behind it begins: then a word's time
    /// was wrong.
    fn add(&mut self, part: Self) {
        for segment in part.segments {
            let place = self.segments.partition_point(|other| other.start < segment.start);
            let before = place.checked_sub(1).and_then(|before| self.segments[before].words.last());
            let behind = self.segments.get(place).and_then(|behind| behind.words.first());
            let is_likely = segment.no_speech.is_none_or(|silence| silence <= NO_SPEECH)
                && segment.avg_logprob.is_none_or(|mean| mean >= LOGPROB);
            let is_again = is_same(before, segment.words.first()) || is_same(behind, segment.words.last());
            if is_likely && !is_again {
                self.segments.insert(place, segment);
            }
        }
    }
}

impl Model {
    /// Decodes a chunk: in parts where the language changes between them, if it is to be detected.
    pub(super) async fn decode_chunk(
        &self,
        chunk: Chunk,
        task: &Task,
        verbatim: bool,
        looks: bool,
    ) -> Result<Heard, Error> {
        let mut parts = Vec::new();
        if task.language.is_none() && !verbatim && self.multilingual() {
            let mut attempts = Attempts::default();
            parts = loop {
                match self.languages(&chunk, task).await {
                    Err(error) if attempts.again(&error) => {}
                    found => break found?,
                }
            };
        }
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
            heard.wordless = span(heard.wordless, part.wordless);
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
        let mut recognizer = self.recognizer().await?;
        let mut task = task.clone();
        let mut parts: Vec<(Range<u64>, String)> = Vec::new();
        for stretch in stretches {
            let end = stretch.end.min(stretch.start + LANGUAGE_SPEECH);
            recognizer.write(chunk.samples(stretch.start..end)).await?;
            for event in recognizer.call(&Request::Detect(task.clone())).await? {
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
            if !verbatim {
                heard.drop_tones(&chunk.voice);
                guard::drop_phrases(&mut heard.segments);
            }
            if guard::is_sparse(&heard.segments, chunk.voice.len()) {
                heard.segments.clear();
            }
            let language = heard.language.as_ref().map(|language| language.code.clone());
            let task = Task { language: task.language.clone().or(language), ..task.clone() };
            let mut stretches = heard.missed(&chunk.voice.stretches(), chunk);
            stretches.sort_by_key(|stretch| Reverse(stretch.end - stretch.start));
            let mut in_vain = 0;
            for stretch in stretches {
                if in_vain == MOST_IN_VAIN {
                    break;
                }
                let start = stretch.start.saturating_sub(AROUND).max(chunk.start);
                let end = (stretch.end + AROUND).min(chunk.end());
                let samples = chunk.samples(start..end);
                let mut part = self.decode_or_retry(start, samples, &task, verbatim).await?;
                guard::drop_phrases(&mut part.segments);
                // The chunk as a whole had no words there.
                if !part.segments.is_empty() && guard::is_sure(&part.segments) {
                    heard.add(part);
                } else {
                    in_vain += 1;
                }
            }
            let missed = heard.missed(&chunk.voice.stretches(), chunk);
            heard.segments.retain(|segment| verbatim || !guard::has_hole(segment, &missed));
            heard.unrecognized = heard.missed(chunk.voice.with_tones(), chunk);
            if heard.segments.is_empty() {
                heard.wordless = chunk.voice.with_tones().iter().cloned().map(Some).fold(None, span);
            }
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
        let mut attempts = Attempts::default();
        loop {
            match self.decode(start, samples, task, verbatim).await {
                // The state of the sandbox may be the cause: once more, in a fresh one.
                Err(error) if attempts.again(&error) => {}
                outcome => return outcome,
            }
        }
    }

    /// Decodes `samples` in a sandbox of their own.
    async fn decode(&self, start: u64, samples: &[f32], task: &Task, verbatim: bool) -> Result<Heard, Error> {
        let mut recognizer = self.recognizer().await?;
        recognizer.write(samples).await?;
        let mut heard = Heard::default();
        let mut silence = None;
        let mut report = guard::Report::of(samples.len());
        for event in recognizer.call(&Request::Decode(task.clone())).await? {
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
                    silence = (encodes == 1).then(|| transcript::probability(no_speech));
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
            let tokens = segment.tokens.iter().filter(|&&token| token < special).count() as u32;
            let mean = segment.avg_logprob.unwrap_or_default();
            !segment.text.is_empty()
                && !guard::is_unspoken(segment.end - segment.start, tokens, silence.unwrap_or_default(), mean)
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
        avg_logprob: Some(if segment.avg_logprob.is_finite() { segment.avg_logprob.min(0.0) } else { 0.0 }),
        no_speech: None,
    }
}
