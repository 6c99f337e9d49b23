//! The windows of a stream, with a decoder that follows the audio.

use hearken_proto::Task;
use hearken_proto::abi::Status;
use hearken_proto::window::{LOGPROB, NO_SPEECH};

use super::Recognizer;
use crate::decoder::{self, Decoded, Order};
use crate::script;
use crate::stream::{Effort, Recognize, Recognized, Spoken};

/// The temperature of a final text's second try.
const RETRY_TEMPERATURE: f32 = 0.6;
/// Minimum length for whisper.cpp: it recognizes nothing in less than 100 ms.
const SHORTEST: usize = hearken_proto::SAMPLE_RATE as usize / 10;

/// Returns true if a text may not be what was said: it did not come to an end, or is unlikely
/// though the window is not silent.
pub(super) fn is_doubtful(decoded: &Decoded, no_speech: f32) -> bool {
    decoded.stalled || (decoded.avg_logprob < LOGPROB && no_speech < NO_SPEECH)
}

impl Recognizer {
    /// Decodes the encoded window behind the forced tokens.
    fn decode_behind(&mut self, order: &Order<'_>) -> Result<Decoded, Status> {
        self.decoder.decode(&self.context, &mut self.state, order)
    }

    /// This recognizer as the streaming policy wants it.
    pub(crate) fn streaming<'a>(&'a mut self, task: &'a Task) -> Streaming<'a> {
        Streaming { recognizer: self, task }
    }
}

/// A recognizer with a task, for the streaming policy.
pub(crate) struct Streaming<'a> {
    recognizer: &'a mut Recognizer,
    task: &'a Task,
}

impl Recognize for Streaming<'_> {
    fn recognize(&mut self, pcm: &[f32], forced: &[Spoken], effort: Effort) -> Result<Recognized, Status> {
        if pcm.len() < SHORTEST {
            return Ok(Recognized { no_speech: 1.0, ..Recognized::default() });
        }
        let Self { recognizer, task } = self;
        let is_final = effort != Effort::Partial;
        let is_padded = recognizer.encode(pcm, task.full_context)?;
        let language = recognizer.language(task, pcm.len(), is_final)?;
        // A step of its own, so only where it decides something.
        let no_speech = if is_final { recognizer.no_speech()? } else { 0.0 };
        let prompted = effort != Effort::Unprompted;
        let order =
            Order { task, prompted, language: &language.code, forced, len: pcm.len(), temperature: 0.0 };
        let mut decoded = recognizer.decode_behind(&order)?;
        let mut encodes = 1;
        if is_padded && (decoded.stalled || (is_final && is_doubtful(&decoded, no_speech))) {
            // The padding may have misled it: the whole context tells.
            recognizer.encode(pcm, true)?;
            decoded = recognizer.decode_behind(&order)?;
            encodes += 1;
        }
        if is_final && is_doubtful(&decoded, no_speech) {
            let again = recognizer.decode_behind(&Order { temperature: RETRY_TEMPERATURE, ..order })?;
            let score = |decoded: &Decoded| (!decoded.stalled, decoded.avg_logprob);
            if score(&again) > score(&decoded) {
                decoded = again;
            }
        }
        if !task.annotations {
            decoder::drop_bracketed(&mut decoded.words);
        }
        if recognizer.context.is_multilingual() {
            decoded.words.retain(|spoken| script::fits(&spoken.word.text, &language.code));
        }
        let words = decoded.words.iter_mut().map(|spoken| (&mut spoken.word, spoken.heard_at));
        decoder::trim_all(words, &mut None, pcm);
        Ok(Recognized {
            settled: decoded.settled.min(decoded.words.len()),
            rest: decoded.rest,
            no_speech,
            avg_logprob: decoded.avg_logprob,
            words: decoded.words,
            encodes,
            unsettled: !language.is_certain,
        })
    }
}
