//! Decoding of a single window with a bias to phrases: with this guest's own decoder, since
//! whisper.cpp's has one way to go, and cannot take a phrase back.

use hearken_proto::abi::Status;
use hearken_proto::{Event, Segment, Task};

use super::Recognizer;
use super::streaming::is_doubtful;
use crate::decoder::{self, Decoded, Order};
use crate::imports;
use crate::script;
use crate::stream::Spoken;
use crate::words;

/// Audio that is too short to be decoded: whisper.cpp's 100 ms.
const SHORTEST: usize = hearken_proto::SAMPLE_RATE as usize / 10;
/// Minimum step to the position at which the decoder goes on, in samples: 1 s. Smaller steps add
/// nothing but work.
const LEAST_STEP: usize = hearken_proto::SAMPLE_RATE as usize;

impl Recognizer {
    /// Decodes `pcm` with the task's bias and emits its segments. Returns false, and emits nothing,
    /// if the text is doubtful: then temperature fallback is better than a bias.
    pub(super) fn decode_biased(&mut self, pcm: &[f32], task: &Task, language: &str) -> Result<bool, Status> {
        let mut task = Task { timestamps: true, ..task.clone() };
        let (mut from, mut encodes, mut no_speech) = (0, 0, 0.0);
        let mut segments: Vec<Segment> = Vec::new();
        while pcm.len() - from > SHORTEST {
            let window = &pcm[from..];
            self.encode_all(window)?;
            encodes += 1;
            no_speech = self.no_speech()?;
            let order = Order {
                task: &task,
                prompted: true,
                language,
                forced: &[],
                len: window.len(),
                temperature: 0.0,
            };
            let mut decoded = self.decoder.decode(&self.context, &mut self.state, &order)?;
            if is_doubtful(&decoded, no_speech) {
                return Ok(false);
            }
            let rest = decoded.rest.map(|rest| rest as usize).filter(|rest| *rest >= LEAST_STEP);
            if rest.is_some() {
                decoded.words.truncate(decoded.settled);
            }
            if !task.annotations {
                decoder::drop_bracketed(&mut decoded.words);
            }
            if self.context.is_multilingual() {
                decoded.words.retain(|spoken| script::fits(&spoken.word.text, language));
            }
            let timed = decoded.words.iter_mut().map(|spoken| (&mut spoken.word, spoken.heard_at));
            decoder::trim_all(timed, &mut None, window);
            self.collect(decoded, from as u32, language, &mut segments);
            let Some(rest) = rest else { break };
            from += rest;
            // As whisper.cpp: what was said is the next window's prompt.
            let said = segments.iter().map(|segment| segment.text.as_str());
            task.prompt = Some(task.prompt.as_deref().into_iter().chain(said).collect::<Vec<_>>().join(" "));
            task.prompt = task.prompt.filter(|prompt| !prompt.is_empty());
        }
        segments.into_iter().for_each(|segment| imports::emit_event(&Event::Segment(segment)));
        imports::emit_event(&Event::Decoded { no_speech, encodes });
        Ok(true)
    }

    /// Puts words together to segments, which timestamps begin. `from` is the window's position.
    fn collect(&self, decoded: Decoded, from: u32, language: &str, segments: &mut Vec<Segment>) {
        let avg_logprob = decoded.avg_logprob;
        let space = if words::is_spaced(language) { " " } else { "" };
        let first = segments.len();
        for Spoken { mut word, tokens, marks, .. } in decoded.words {
            word.start = word.start.saturating_add(from);
            word.end = word.end.saturating_add(from);
            if segments.len() == first || !marks.is_empty() {
                segments.push(Segment { start: word.start, avg_logprob, ..Segment::default() });
            }
            let Some(segment) = segments.last_mut() else { continue };
            if !segment.text.is_empty() {
                segment.text.push_str(space);
            }
            segment.text.push_str(&word.text);
            segment.end = word.end;
            segment.tokens.extend(tokens.iter().map(|token| *token as u32));
            segment.words.push(word);
        }
    }
}
