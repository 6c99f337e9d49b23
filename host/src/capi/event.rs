//! A session's events as C sees them.

use std::ffi::{c_char, c_void};
use std::ptr;

use crate::Word;
use crate::session::SessionEvent;

/// Type of an event. Programs ignore types that they do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum CEventType {
    /// Speech began at `start`.
    HearkenEventSpeechStarted = 0,
    /// Speech ended at `end`. The utterance's `HEARKEN_EVENT_FINAL` comes when it is recognized.
    HearkenEventSpeechEnded = 1,
    /// The language is known: `text` is its ISO 639-1 code, `probability` how sure the model is.
    HearkenEventLanguage = 2,
    /// The hypothesis for the utterance that began at `start`, while it goes on. The first
    /// `committed` words were committed with this event and do not change any more; the others
    /// replace those of the event before.
    HearkenEventPartial = 3,
    /// The utterance from `start` to `end` is complete: all its words, of which those that were
    /// committed come first, as they were.
    HearkenEventFinal = 4,
    /// Audio from `start` to `end` was not recognized; `text` has the reason.
    HearkenEventDropped = 5,
    /// Everything that was pushed, up to `end`, is dealt with. The last event.
    HearkenEventFinished = 6,
    /// Voice from `start` to `end`, at least a second of it, in which no words were recognized
    /// though it was decoded again: speech that was missed, or a sound that voice activity takes
    /// for speech.
    HearkenEventUnrecognized = 7,
}

/// A word with its place in time.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct CWord {
    /// First sample.
    pub start: u64,
    /// Sample after the last.
    pub end: u64,
    /// The word with the punctuation attached to it: UTF-8 without control characters, ends in a
    /// NUL.
    pub text: *const c_char,
    /// Mean probability of its tokens, from 0 to 1.
    pub probability: f32,
    /// 0.
    pub reserved: u32,
}

/// Something that happened. Positions are samples at 16 kHz (`HEARKEN_SAMPLE_RATE`) from the start
/// of the session's audio. Only the library makes these; later versions may have more fields at the
/// end.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct CEvent {
    /// A value of `hearken_event_type`.
    pub event_type: u32,
    /// Probability of the detected language, from 0 to 1; otherwise 0.
    pub probability: f32,
    /// First sample of the event's subject; of `HEARKEN_EVENT_PARTIAL` and `HEARKEN_EVENT_FINAL`
    /// the utterance's, by which they belong together.
    pub start: u64,
    /// Sample after the last of the event's subject; of a partial text the end of its last word.
    pub end: u64,
    /// The words, joined by spaces; or the text that the type describes. UTF-8 without control
    /// characters, ends in a NUL; never NULL.
    pub text: *const c_char,
    /// The words of a partial or final text; NULL if there are none.
    pub words: *const CWord,
    /// Number of words.
    pub word_count: usize,
    /// Number of committed words: the first ones.
    pub committed: usize,
}

/// Receives an event. The event and the memory that it points to belong to the library, and are
/// gone when the function returns. It must return: neither a C++ exception nor `longjmp` may leave
/// it.
///
/// It is called on a thread of the session's own, one event after the other. It may call every
/// function of the session but `hearken_session_free` and, since it has the events,
/// `hearken_session_poll`. Events wait while it runs; audio does not.
pub type EventCallback = Option<unsafe extern "C" fn(event: *const CEvent, user: *mut c_void)>;

/// An event with everything that it points to.
pub(super) struct Held {
    event: CEvent,
    /// All texts, each with a NUL: that of the event first.
    _texts: Vec<u8>,
    _words: Vec<CWord>,
}

// SAFETY: its pointers lead to its own heap, which moves with it from thread to thread and is not
// written any more.
unsafe impl Send for Held {}

impl Held {
    pub(super) fn new(event: &SessionEvent) -> Self {
        let (mut start, mut end, mut probability) = (0, 0, 0.0);
        let (mut words, mut committed) = (Vec::new(), 0);
        let mut text = String::new();
        let kind = match event {
            SessionEvent::SpeechStarted { position } => {
                (start, end) = (*position, *position);
                CEventType::HearkenEventSpeechStarted
            }
            SessionEvent::SpeechEnded { position } => {
                (start, end) = (*position, *position);
                CEventType::HearkenEventSpeechEnded
            }
            SessionEvent::Language(language) => {
                text.clone_from(&language.code);
                probability = language.probability.unwrap_or(1.0);
                CEventType::HearkenEventLanguage
            }
            SessionEvent::Partial { utterance, committed: certain, tentative } => {
                words = certain.iter().chain(tentative).collect();
                committed = certain.len();
                (start, end) = (*utterance, words.last().map_or(*utterance, |word: &&Word| word.end));
                CEventType::HearkenEventPartial
            }
            // Everything was committed before: no words are tentative any more.
            SessionEvent::Paused { utterance, position } => {
                (start, end) = (*utterance, *position);
                CEventType::HearkenEventPartial
            }
            SessionEvent::Final { utterance, end: last, words: all } => {
                words = all.iter().collect();
                committed = words.len();
                (start, end) = (*utterance, *last);
                CEventType::HearkenEventFinal
            }
            SessionEvent::Dropped { position, len, reason } => {
                (start, end, text) = (*position, position + len, reason.to_string());
                CEventType::HearkenEventDropped
            }
            SessionEvent::Unrecognized { position, len } => {
                (start, end) = (*position, position + len);
                CEventType::HearkenEventUnrecognized
            }
            SessionEvent::Finished { duration } => {
                end = *duration;
                CEventType::HearkenEventFinished
            }
        };
        let (texts, words) = lay_out(&text, &words);
        let event = CEvent {
            event_type: kind as u32,
            probability,
            start,
            end,
            text: texts.as_ptr().cast(),
            words: if words.is_empty() { ptr::null() } else { words.as_ptr() },
            word_count: words.len(),
            committed,
        };
        Self { event, _texts: texts, _words: words }
    }

    /// Stays where it is, with all that it points to, as long as this does.
    pub(super) fn event(&self) -> &CEvent {
        &self.event
    }
}

/// Puts the event's text (that of its words, if there are any) and the words' texts into one block.
fn lay_out(text: &str, words: &[&Word]) -> (Vec<u8>, Vec<CWord>) {
    let mut texts = Vec::new();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            texts.push(b' ');
        }
        push(&mut texts, &word.text);
    }
    push(&mut texts, text);
    texts.push(0);
    let mut places = Vec::with_capacity(words.len());
    for word in words {
        places.push(texts.len());
        push(&mut texts, &word.text);
        texts.push(0);
    }
    // The block does not grow any more: its content keeps its address.
    let words = words.iter().zip(places).map(|(word, place)| CWord {
        start: word.start,
        end: word.end,
        text: texts[place..].as_ptr().cast(),
        probability: word.probability,
        reserved: 0,
    });
    let words = words.collect();
    (texts, words)
}

/// Appends text, which has no NUL unless something is wrong; it would be the end for C.
fn push(texts: &mut Vec<u8>, text: &str) {
    texts.extend(text.bytes().map(|byte| if byte == 0 { b' ' } else { byte }));
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;
    use crate::DropReason;

    fn word(start: u64, end: u64, text: &str) -> Word {
        Word { start, end, text: text.to_owned(), probability: 0.5 }
    }

    /// Type, start, end, text, and the words with their places.
    type Read = (u32, u64, u64, String, Vec<(u64, u64, String)>);

    fn read(held: &Held) -> Read {
        let event = held.event();
        // SAFETY: the event is held, with its texts and as many words as it says.
        let (text, words) = unsafe {
            let words = match event.words {
                words if words.is_null() => &[],
                words => std::slice::from_raw_parts(words, event.word_count),
            };
            let text = |text| CStr::from_ptr(text).to_str().unwrap().to_owned();
            (text(event.text), words.iter().map(|word| (word.start, word.end, text(word.text))).collect())
        };
        (event.event_type, event.start, event.end, text, words)
    }

    #[test]
    fn a_partial_text_has_its_certain_words_first() {
        let held = Held::new(&SessionEvent::Partial {
            utterance: 100,
            committed: vec![word(110, 120, "één")],
            tentative: vec![word(120, 130, "two\0"), word(130, 150, "three")],
        });
        // It may move.
        let held = [held];
        let expected = vec![(110, 120, "één".into()), (120, 130, "two ".into()), (130, 150, "three".into())];
        assert_eq!(read(&held[0]), (3, 100, 150, "één two  three".into(), expected));
        assert_eq!(held[0].event().committed, 1);
    }

    #[test]
    fn events_without_words_have_their_text() {
        let dropped = SessionEvent::Dropped { position: 10, len: 5, reason: DropReason::Missing };
        assert_eq!(read(&Held::new(&dropped)), (5, 10, 15, DropReason::Missing.to_string(), vec![]));
        let silent = SessionEvent::Final { utterance: 10, end: 15, words: vec![] };
        assert_eq!(read(&Held::new(&silent)), (4, 10, 15, String::new(), vec![]));
    }
}
