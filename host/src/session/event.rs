//! Events of a session.

use serde::{Deserialize, Serialize};

use crate::{DropReason, Language, Segment, Word};

/// Something that happened. Positions are samples at 16 kHz from the start of the session's audio:
/// the only clock there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SessionEvent {
    /// Speech began.
    SpeechStarted {
        /// First sample of the utterance, pre-roll included.
        position: u64,
    },
    /// Speech ended: the utterance's [`Final`](Self::Final) comes when it is recognized.
    SpeechEnded {
        /// Sample after the last of the utterance, hangover included.
        position: u64,
    },
    /// The language is known.
    Language(Language),
    /// The hypothesis for a running utterance.
    Partial {
        /// First sample of the utterance; the same in all its events.
        utterance: u64,
        /// Words that became certain with this event. They do not change any more.
        committed: Vec<Word>,
        /// Words behind them that may still change; they replace those of the event before.
        tentative: Vec<Word>,
    },
    /// The speaker has paused for [`SessionOptions::pause`](super::SessionOptions::pause): all
    /// words of the running utterance so far are committed. Emitted if there are new ones.
    Paused {
        /// First sample of the utterance.
        utterance: u64,
        /// Sample after the last voice.
        position: u64,
    },
    /// An utterance is complete.
    Final {
        /// First sample of the utterance.
        utterance: u64,
        /// Sample after its last.
        end: u64,
        /// All its words: those that were committed in order, then the rest.
        words: Vec<Word>,
    },
    /// Audio that was not recognized.
    Dropped {
        /// First sample.
        position: u64,
        /// Number of samples.
        len: u64,
        /// Why.
        reason: DropReason,
    },
    /// Voice of an utterance, at least a second of it, in which no words were recognized though it
    /// was decoded again: speech that was missed, or a sound that voice activity takes for speech.
    /// Comes before the utterance's [`Final`](Self::Final).
    Unrecognized {
        /// First sample.
        position: u64,
        /// Number of samples, from the first voice to the last.
        len: u64,
    },
    /// Everything that was pushed has been dealt with; the last event.
    Finished {
        /// Length of the session's audio.
        duration: u64,
    },
}

impl SessionEvent {
    /// Makes the segment of a complete utterance, unless it has no words.
    pub fn segment(&self) -> Option<Segment> {
        let Self::Final { words, .. } = self else { return None };
        let (first, last) = (words.first()?, words.last()?);
        Some(Segment {
            start: first.start,
            end: last.end,
            text: words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "),
            words: words.clone(),
            ..Segment::default()
        })
    }
}

impl SessionEvent {
    /// Moves the event to a clock on which its session's began at `origin`, in samples at 16 kHz:
    /// for streams that are more than one session.
    #[must_use]
    pub fn later(mut self, origin: u64) -> Self {
        let move_words = |words: &mut Vec<Word>| {
            for word in words {
                word.start += origin;
                word.end += origin;
            }
        };
        match &mut self {
            Self::SpeechStarted { position }
            | Self::SpeechEnded { position }
            | Self::Dropped { position, .. }
            | Self::Unrecognized { position, .. } => *position += origin,
            Self::Partial { utterance, committed, tentative } => {
                *utterance += origin;
                move_words(committed);
                move_words(tentative);
            }
            Self::Paused { utterance, position } => {
                *utterance += origin;
                *position += origin;
            }
            Self::Final { utterance, end, words } => {
                *utterance += origin;
                *end += origin;
                move_words(words);
            }
            Self::Finished { duration } => *duration += origin,
            Self::Language(_) => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_moves_with_all_its_positions() {
        let word = |start, end| Word { start, end, ..Word::default() };
        let end = 9;
        let event = SessionEvent::Final { utterance: 1, end, words: vec![word(2, 4), word(4, 8)] };
        let moved =
            SessionEvent::Final { utterance: 101, end: 109, words: vec![word(102, 104), word(104, 108)] };
        assert_eq!(event.clone().later(100), moved);
        assert_eq!(event.clone().later(0), event);
        let dropped = |position| SessionEvent::Dropped { position, len: 3, reason: DropReason::Overload };
        assert_eq!(dropped(7).later(5), dropped(12));
    }
}
