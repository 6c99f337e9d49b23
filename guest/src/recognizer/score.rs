//! Teacher forcing: the probabilities of given tokens, to measure a model and to compare it with
//! others.

use hearken_proto::abi::Status;
use hearken_proto::{Event, Stage};

use super::Recognizer;
use crate::imports;

impl Recognizer {
    /// Forces `tokens`, and emits the model's probabilities at each position.
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
            let (token, top, runner_up) = top_two(self.step(*token, past)?);
            argmax.push(token);
            best.push(top);
            second.push(runner_up);
            if past + 1 == prompt {
                done(Stage::Prompt);
            }
        }
        imports::emit_event(&Event::Scores { argmax, best, second });
        Ok(())
    }
}

/// The first of the largest numbers, and the next one.
fn top_two(logits: &[f32]) -> (u32, f32, f32) {
    /// Number of values that are passed over at once where none of them is large.
    const GROUP: usize = 64;
    let (mut place, mut top, mut runner_up) = (0, f32::NEG_INFINITY, f32::NEG_INFINITY);
    for (group, first) in logits.chunks(GROUP).zip((0..).step_by(GROUP)) {
        // All of them, so that it is done with vectors.
        if !group.iter().fold(false, |any, logit| any | (*logit > runner_up)) {
            continue;
        }
        for (&logit, id) in group.iter().zip(first..) {
            if logit > top {
                runner_up = top;
                (place, top) = (id, logit);
            } else if logit > runner_up {
                runner_up = logit;
            }
        }
    }
    (place, top, runner_up)
}

#[cfg(test)]
mod tests {
    use super::top_two;

    #[test]
    fn the_two_largest_are_found_wherever_they_are() {
        let at = |places: &[(usize, f32)]| {
            let mut logits = vec![-1.0; 200];
            places.iter().for_each(|&(place, logit)| logits[place] = logit);
            top_two(&logits)
        };
        assert_eq!(at(&[(0, 2.0), (199, 1.0)]), (0, 2.0, 1.0));
        assert_eq!(at(&[(63, 1.0), (64, 2.0)]), (64, 2.0, 1.0));
        assert_eq!(at(&[(5, 2.0), (130, 2.0)]), (5, 2.0, 2.0), "the first of equals");
        assert_eq!(
            at(&[(5, f32::NAN), (130, 0.0)]),
            (130, 0.0, -1.0),
            "what is no number is not the largest"
        );
        assert_eq!(at(&[]), (0, -1.0, -1.0));
        assert_eq!(top_two(&[3.0]), (0, 3.0, f32::NEG_INFINITY));
    }
}
