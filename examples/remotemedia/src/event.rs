//! Transcript events, as RemoteMedia's streaming Whisper nodes send them.

use hearken::session::SessionEvent;
use hearken::{SAMPLE_RATE, Word};
use serde::Serialize;

/// One event. Texts are those of an utterance, from pause to pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TranscriptEvent {
    /// `partial`; `correction` if it takes back words of the event before; `final`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// Number of the event.
    pub(crate) revision: u64,
    /// The event of the same utterance that it stands in the place of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replaces: Option<u64>,
    /// All text: what is stable, then what is not.
    pub(crate) text: String,
    /// Committed text. It is never taken back.
    pub(crate) stable_text: String,
    /// Tentative text behind it.
    pub(crate) unstable_text: String,
    /// Start of the utterance \[ms\].
    pub(crate) audio_start_ms: u64,
    /// End of the last word, or of the utterance \[ms\].
    pub(crate) audio_end_ms: u64,
}

/// Makes transcript events of a session's.
#[derive(Debug, Default)]
pub(crate) struct Events {
    revision: u64,
    /// Samples of sessions that are over.
    before: u64,
    /// The running utterance's.
    committed: Vec<Word>,
    latest: Option<TranscriptEvent>,
}

impl Events {
    /// The event for a session's, if it has text.
    pub(crate) fn take(&mut self, event: SessionEvent) -> Option<TranscriptEvent> {
        match event {
            SessionEvent::Partial { utterance, committed, tentative } => {
                self.committed.extend(committed);
                let (stable, unstable) = (text(&self.committed), text(&tentative));
                let end = tentative.last().or(self.committed.last()).map_or(utterance, |word| word.end);
                self.event("partial", stable, unstable, utterance, end)
            }
            SessionEvent::Final { utterance, end, words } => {
                let stable = text(&words);
                let event = self.event("final", stable, String::new(), utterance, end);
                self.committed.clear();
                self.latest = None;
                event
            }
            SessionEvent::Finished { duration } => {
                self.before += duration;
                None
            }
            _ => None,
        }
    }

    fn event(
        &mut self,
        kind: &'static str,
        stable_text: String,
        unstable_text: String,
        start: u64,
        end: u64,
    ) -> Option<TranscriptEvent> {
        let gap = if stable_text.is_empty() || unstable_text.is_empty() { "" } else { " " };
        let text = format!("{stable_text}{gap}{unstable_text}");
        // An utterance without words has no event, unless its words are taken back.
        if text.is_empty() && self.latest.is_none() {
            return None;
        }
        let taken_back = self.latest.as_ref().is_some_and(|latest| !text.starts_with(&latest.text));
        self.revision += 1;
        let milliseconds = |sample: u64| (self.before + sample) * 1000 / u64::from(SAMPLE_RATE);
        let event = TranscriptEvent {
            kind: if kind == "partial" && taken_back { "correction" } else { kind },
            revision: self.revision,
            replaces: self.latest.as_ref().map(|latest| latest.revision),
            text,
            stable_text,
            unstable_text,
            audio_start_ms: milliseconds(start),
            audio_end_ms: milliseconds(end),
        };
        self.latest = Some(event.clone());
        Some(event)
    }
}

fn text(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, start: u64) -> Vec<Word> {
        let word = |(at, text): (usize, &str)| {
            let start = start + 1600 * at as u64;
            Word { start, end: start + 1600, text: text.to_owned(), probability: 1.0 }
        };
        text.split_whitespace().enumerate().map(word).collect()
    }

    fn partial(committed: &str, tentative: &str) -> SessionEvent {
        SessionEvent::Partial {
            utterance: 16_000,
            committed: words(committed, 16_000),
            tentative: words(tentative, 32_000),
        }
    }

    #[test]
    fn stable_text_is_what_was_committed() {
        let mut events = Events::default();
        let seen: Vec<_> = [
            SessionEvent::SpeechStarted { position: 16_000 },
            partial("", ""),
            partial("", "ask what"),
            partial("ask", "what your country"),
            partial("what", "you"),
            SessionEvent::Final { utterance: 16_000, end: 48_000, words: words("ask what you can", 16_000) },
            SessionEvent::Finished { duration: 64_000 },
            partial("", "do"),
        ]
        .into_iter()
        .filter_map(|event| events.take(event))
        .map(|event| {
            assert!(event.text.starts_with(&event.stable_text), "{event:?}");
            (
                event.kind,
                event.revision,
                event.replaces,
                event.stable_text,
                event.unstable_text,
                [event.audio_start_ms, event.audio_end_ms],
            )
        })
        .collect();
        let text = str::to_owned;
        let expected = [
            ("partial", 1, None, text(""), text("ask what"), [1000, 2200]),
            ("partial", 2, Some(1), text("ask"), text("what your country"), [1000, 2300]),
            ("correction", 3, Some(2), text("ask what"), text("you"), [1000, 2100]),
            ("final", 4, Some(3), text("ask what you can"), text(""), [1000, 3000]),
            ("partial", 5, None, text(""), text("do"), [5000, 6100]),
        ];
        assert_eq!(seen, expected);
    }
}
