//! The language of speech: detected by the decoder's first step, decided when there is enough
//! evidence.

use hearken_proto::abi::Status;
use hearken_proto::{Event, SAMPLE_RATE, Task};

use super::Recognizer;
use crate::imports;

/// The end of text of multilingual vocabularies; languages follow two tokens behind.
const TEXT_TOKENS: i32 = 50_257;
/// Tokens of a multilingual vocabulary that are neither text nor a language: start, end, tasks,
/// timestamps.
const OTHER_TOKENS: i32 = 51_766 - TEXT_TOKENS;

/// Speech that a decision needs: less may be a word that several languages have.
const LEAST_SPEECH: usize = SAMPLE_RATE as usize * 3 / 2;
/// Minimum probability of a detected language where none is usual. On noise the likeliest language
/// has less: 0.45 to 0.5.
const BELIEVED: f32 = 0.7;
/// Minimum probability of the usual language, and rule for another one in its place: that one must
/// be this likely, or `BELIEVED` and this many times as likely as the usual one. Between Spanish
/// and Portuguese a model may waver where it is certain that it is not English.
const BELIEVED_USUAL: f32 = 0.4;
const BELIEVED_INSTEAD: f32 = 0.85;
const TIMES_AS_LIKELY: f32 = 20.0;

/// A language that was detected.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Detected {
    pub(super) code: String,
    /// Probability among the candidates.
    pub(super) probability: f32,
    /// Probability of the usual language; 0 if there is none.
    pub(super) usual: f32,
}

/// A language to decode in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decision {
    pub(super) code: String,
    pub(super) is_certain: bool,
}

/// Decides on the language of `samples` of speech.
fn decide(detected: Detected, usual: Option<&str>, samples: usize) -> Decision {
    let enough = samples >= LEAST_SPEECH;
    let Detected { code, probability, usual: usual_probability } = detected;
    let is_other = probability >= BELIEVED_INSTEAD
        || (probability >= BELIEVED && probability >= TIMES_AS_LIKELY * usual_probability);
    match usual {
        Some(usual) if usual == code => {
            Decision { code, is_certain: enough && probability >= BELIEVED_USUAL }
        }
        Some(_) if enough && is_other => Decision { code, is_certain: true },
        Some(usual) => Decision { code: usual.to_owned(), is_certain: false },
        None => Decision { code, is_certain: enough && probability >= BELIEVED },
    }
}

impl Recognizer {
    /// The likeliest language of the window that is encoded, among the task's candidates if there
    /// are any.
    pub(super) fn detect(&mut self, task: &Task) -> Result<Detected, Status> {
        let candidates = &task.candidates;
        let count =
            (self.context.n_vocab() - TEXT_TOKENS - OTHER_TOKENS).clamp(1, whisper_rs::get_lang_max_id() + 1);
        let languages: Vec<(&'static str, usize)> = (0..count)
            .filter_map(|id| Some((whisper_rs::get_lang_str(id)?, self.context.token_lang(id) as usize)))
            .filter(|(code, _)| candidates.is_empty() || candidates.iter().any(|candidate| candidate == code))
            .collect();
        let logits = self.step(self.context.token_sot(), 0)?;
        let scores = languages.iter().filter_map(|(code, token)| Some((*code, *logits.get(*token)?)));
        let scores: Vec<(&str, f32)> = scores.collect();
        let best = scores.iter().max_by(|one, other| one.1.total_cmp(&other.1)).ok_or(Status::BadLanguage)?;
        let mass: f32 = scores.iter().map(|(_, score)| (score - best.1).exp()).sum();
        let usual = scores.iter().find(|(code, _)| task.usual.as_deref() == Some(*code));
        let usual = usual.map_or(0.0, |usual| (usual.1 - best.1).exp() / mass);
        Ok(Detected { code: best.0.to_owned(), probability: 1.0 / mass, usual })
    }

    /// Detects the language of `pcm`, whatever that of the windows before was, and reports it.
    pub(crate) fn detect_language(&mut self, pcm: &[f32], task: &Task) -> Result<(), Status> {
        self.encode(pcm, task.full_context)?;
        let detected = self.detect(task)?;
        let probability = detected.probability;
        let decision = decide(detected, task.usual.as_deref(), pcm.len());
        report(decision, probability);
        Ok(())
    }

    /// The language to decode the window in that is encoded: part of an utterance, or all of it.
    /// Reports it once it is certain, or final.
    pub(super) fn language(
        &mut self,
        task: &Task,
        samples: usize,
        is_final: bool,
    ) -> Result<Decision, Status> {
        let known = self.named_language(task)?.or_else(|| self.language.clone());
        if let Some(code) = known {
            return Ok(Decision { code, is_certain: true });
        }
        let detected = self.detect(task)?;
        let probability = detected.probability;
        let decision = decide(detected, task.usual.as_deref(), samples);
        if decision.is_certain {
            self.language = Some(decision.code.clone());
        }
        if decision.is_certain || is_final {
            report(decision.clone(), probability);
        }
        Ok(decision)
    }
}

fn report(decision: Decision, probability: f32) {
    imports::emit_event(&Event::Language { code: decision.code, probability, certain: decision.is_certain });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: usize = SAMPLE_RATE as usize;

    fn decided(code: &str, probability: f32, usual: Option<&str>, seconds: usize) -> (String, bool) {
        let other = 1.0 - probability;
        let detected = Detected { code: code.to_owned(), probability, usual: other };
        let decision = decide(detected, usual, seconds * SECOND);
        (decision.code, decision.is_certain)
    }

    #[test]
    fn noise_and_short_speech_decide_nothing() {
        assert_eq!(decided("ko", 0.5, None, 5), ("ko".to_owned(), false));
        assert_eq!(decided("en", 0.9, None, 1), ("en".to_owned(), false));
        assert_eq!(decided("en", 0.9, None, 2), ("en".to_owned(), true));
    }

    #[test]
    fn another_language_than_the_usual_one_needs_more_evidence() {
        assert_eq!(decided("en", 0.5, Some("en"), 2), ("en".to_owned(), true));
        assert_eq!(decided("es", 0.8, Some("en"), 2), ("en".to_owned(), false));
        assert_eq!(decided("es", 0.9, Some("en"), 2), ("es".to_owned(), true));
        assert_eq!(decided("es", 0.9, Some("en"), 1), ("en".to_owned(), false));
        // The rest is Portuguese.
        let spanish = Detected { code: "es".to_owned(), probability: 0.8, usual: 0.02 };
        assert!(decide(spanish, Some("en"), 2 * SECOND).is_certain);
    }
}
