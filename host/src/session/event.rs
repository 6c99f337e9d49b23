//! What a session says.

use crate::{Language, Word};

/// Something that happened. Positions are samples at 16 kHz from the start of the session's audio: the only clock
/// there is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// Speech began.
    SpeechStarted {
        /// First sample of the utterance, pre-roll included.
        position: u64,
    },
    /// The language is known.
    Language(Language),
    /// What is thought of an utterance that goes on.
    Partial {
        /// First sample of the utterance; the same in all its events.
        utterance: u64,
        /// Words that became certain with this event. They do not change any more.
        committed: Vec<Word>,
        /// Words behind them that may still change; they replace those of the event before.
        tentative: Vec<Word>,
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
    /// Audio that was not recognised.
    Dropped {
        /// First sample.
        position: u64,
        /// How many.
        len: u64,
        /// Why.
        reason: String,
    },
    /// Everything that was pushed has been dealt with; the last event.
    Finished {
        /// Length of the session's audio.
        duration: u64,
    },
}
