//! Condition on previous text: the end of an utterance becomes the prompt of the next one.

use serde::{Deserialize, Serialize};

use super::event::SessionEvent;
use crate::SAMPLE_RATE;
use crate::text;

/// Maximum number of words carried: enough for case and spelling, and too few to be a pattern that
/// a decoder continues.
const MOST: usize = 12;
/// Maximum length of carried words that a file claims [bytes].
const LONGEST_TEXT: usize = 1024;
/// Maximum pause [samples]: after a longer one the topic may have changed.
const LONGEST_PAUSE: u64 = 10 * SAMPLE_RATE as u64;

/// The last words of the utterance before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Carried {
    text: String,
    /// Position in the session where that utterance ended.
    end: u64,
    /// True if some audio of the current utterance was lost.
    damaged: bool,
}

impl Carried {
    /// Notes the results of a decode. Only final texts are carried; nothing is carried after one
    /// that was lost in part.
    pub(super) fn note(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::Dropped { .. } => {
                self.text.clear();
                self.damaged = true;
            }
            SessionEvent::Final { words, end, .. } => {
                let whole = !std::mem::take(&mut self.damaged);
                if whole && !words.is_empty() {
                    let last = &words[words.len().saturating_sub(MOST)..];
                    self.text = last.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
                    self.end = *end;
                }
            }
            _ => {}
        }
    }

    /// Returns what can be believed of one that was read from a file.
    pub(super) fn believed(mut self) -> Self {
        self.text = text::sanitize_trimmed(&self.text);
        if self.text.split(' ').count() > MOST || self.text.len() > LONGEST_TEXT {
            self.text.clear();
        }
        self
    }

    /// Prompt of an utterance that starts at `start`: `prompt`, and the words said just before.
    pub(super) fn prompt(&self, prompt: Option<&str>, start: u64) -> Option<String> {
        let fresh = !self.text.is_empty() && start.saturating_sub(self.end) <= LONGEST_PAUSE;
        match (prompt, fresh) {
            (prompt, false) => prompt.map(str::to_owned),
            (None, true) => Some(self.text.clone()),
            (Some(prompt), true) => Some(format!("{prompt} {}", self.text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DropReason, Word};

    const SECOND: u64 = SAMPLE_RATE as u64;

    fn said(text: &str, end: u64) -> SessionEvent {
        let words = text.split_whitespace();
        let words = words.map(|text| Word { text: text.to_owned(), ..Word::default() }).collect();
        SessionEvent::Final { utterance: 0, end, words }
    }

    #[test]
    fn the_last_words_are_carried_while_they_are_fresh() {
        let mut carried = Carried::default();
        assert_eq!(carried.prompt(None, SECOND), None);
        assert_eq!(carried.prompt(Some("Kubernetes"), SECOND).as_deref(), Some("Kubernetes"));
        carried.note(&said("and so it goes", 5 * SECOND));
        assert_eq!(carried.prompt(None, 6 * SECOND).as_deref(), Some("and so it goes"));
        assert_eq!(
            carried.prompt(Some("Kubernetes"), 15 * SECOND).as_deref(),
            Some("Kubernetes and so it goes")
        );
        assert_eq!(carried.prompt(None, 15 * SECOND + 1), None, "a long pause");
        // An utterance without words does not end the context.
        carried.note(&said("", 9 * SECOND));
        assert_eq!(carried.prompt(None, 10 * SECOND).as_deref(), Some("and so it goes"));
    }

    #[test]
    fn it_is_short_and_ends_with_what_was_lost() {
        let mut carried = Carried::default();
        let many: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        carried.note(&said(&many.join(" "), SECOND));
        let prompt = carried.prompt(None, SECOND).unwrap();
        assert_eq!(prompt.split(' ').collect::<Vec<_>>(), many[40 - MOST..]);
        carried.note(&SessionEvent::Dropped { position: 0, len: 1, reason: DropReason::Missing });
        carried.note(&said("what was committed of it", SECOND));
        assert_eq!(carried.prompt(None, SECOND), None);
        carried.note(&said("whole again", SECOND));
        assert_eq!(carried.prompt(None, SECOND).as_deref(), Some("whole again"));
    }
}
