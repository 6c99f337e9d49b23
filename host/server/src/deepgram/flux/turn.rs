//! Turns of a conversation: when one begins, may be over, goes on and is over.

use hearken::{SAMPLE_RATE, Word, text};

/// Silence of an utterance's end [samples]: 300 ms. The turn may go on behind it.
pub(super) const PAUSE_MS: u32 = 300;
const PAUSE: u64 = SAMPLE_RATE as u64 * PAUSE_MS as u64 / 1000;
/// Interval at which the rising confidence is reported in silence [samples]: 250 ms.
const TELL: u64 = SAMPLE_RATE as u64 / 4;
/// Confidence that no silence exceeds.
const MOST: f32 = 0.99;

/// Number of pauses of a kind within turns for each end of one, and the time in which that
/// number falls with their length.
struct Pauses {
    /// Pauses of at least [`PAUSE`] within turns for each turn that ends.
    within: f32,
    /// Seconds in which their number falls to 37 %.
    decay: f32,
}

/// Pauses behind text that ends a sentence (period, question or exclamation mark), and behind other
/// text. Counted on speakers of LibriSpeech (docs/server.md).
const CLOSED: Pauses = Pauses { within: 0.49, decay: 0.34 };
const OPEN: Pauses = Pauses { within: 4.0, decay: 0.34 };

/// Settings that decide when a turn is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Thresholds {
    /// Confidence from which it may be over; `None`: that is not told.
    pub(super) eager: Option<f32>,
    /// Confidence from which it is over.
    pub(super) end: f32,
    /// Silence after which it is over at any confidence [ms].
    pub(super) timeout_ms: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { eager: None, end: 0.7, timeout_ms: 5_000 }
    }
}

/// A change of the turn that clients are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Start,
    Update,
    EagerEnd,
    Resumed,
    End(Trigger),
}

/// Reason for the end of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// The confidence.
    Model,
    /// The client.
    Manual,
    /// The silence.
    Timeout,
}

/// The current turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) thresholds: Thresholds,
    pub(super) index: u32,
    /// Words of its utterances that are over, and of the one that is not.
    said: Vec<Word>,
    committed: Vec<Word>,
    tentative: Vec<Word>,
    begun: bool,
    speaking: bool,
    /// End of the latest voice that had words [samples].
    silent_from: u64,
    /// The client was told that it may be over.
    may_be_over: bool,
    /// Position of the latest news in silence.
    told: u64,
    /// The client ends it.
    forced: bool,
}

impl Turn {
    /// The first turn.
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, ..Self::default() }
    }

    /// The words so far.
    pub(super) fn words(&self) -> impl Iterator<Item = &Word> {
        self.said.iter().chain(&self.committed).chain(&self.tentative)
    }

    /// Speech began.
    pub(super) fn speak(&mut self) -> Option<Event> {
        self.speaking = true;
        std::mem::take(&mut self.may_be_over).then_some(Event::Resumed)
    }

    /// There is a text of the running utterance.
    pub(super) fn hear(&mut self, committed: Vec<Word>, tentative: Vec<Word>) -> Option<Event> {
        self.committed.extend(committed);
        self.tentative = tentative;
        self.news()
    }

    /// An utterance is over, a pause before `end`.
    pub(super) fn complete(&mut self, words: Vec<Word>, end: u64) -> Option<Event> {
        self.speaking = false;
        let is_heard = !words.is_empty() || !self.committed.is_empty() || !self.tentative.is_empty();
        self.committed.clear();
        self.tentative.clear();
        if is_heard {
            (self.silent_from, self.told) = (end.saturating_sub(PAUSE), end);
        }
        self.said.extend(words);
        if is_heard { self.news() } else { None }
    }

    fn news(&mut self) -> Option<Event> {
        if self.words().next().is_none() {
            // What was heard is withdrawn: the turn that began with it goes on.
            return self.begun.then_some(Event::Update);
        }
        Some(if std::mem::replace(&mut self.begun, true) { Event::Update } else { Event::Start })
    }

    /// The client ends the turn when what it said is recognized.
    pub(super) fn force(&mut self) {
        self.forced = true;
    }

    /// Audio was heard up to a position. `is_busy` while an utterance is spoken or recognized.
    pub(super) fn wait(&mut self, position: u64, is_busy: bool) -> Option<Event> {
        if is_busy {
            return None;
        }
        if std::mem::take(&mut self.forced) && self.begun {
            return Some(Event::End(Trigger::Manual));
        }
        if !self.begun || self.speaking {
            return None;
        }
        let confidence = self.confidence(position);
        let silence_ms = position.saturating_sub(self.silent_from) * 1000 / u64::from(SAMPLE_RATE);
        if confidence >= self.thresholds.end {
            return Some(Event::End(Trigger::Model));
        }
        if silence_ms >= self.thresholds.timeout_ms {
            return Some(Event::End(Trigger::Timeout));
        }
        if !self.may_be_over && self.thresholds.eager.is_some_and(|eager| confidence >= eager) {
            (self.may_be_over, self.told) = (true, position);
            return Some(Event::EagerEnd);
        }
        if position >= self.told + TELL {
            self.told = position;
            return Some(Event::Update);
        }
        None
    }

    /// The next turn begins with what is said from now on.
    pub(super) fn next(&mut self) {
        *self = Self { thresholds: self.thresholds, index: self.index.saturating_add(1), ..Self::default() };
    }

    /// Probability that the turn is over, at a position: among pauses behind such a text that are
    /// at least as long, the share of those that end a turn. 0 while somebody speaks.
    pub(super) fn confidence(&self, position: u64) -> f32 {
        let Some(last) = self.words().last().filter(|_| !self.speaking && self.begun) else { return 0.0 };
        let is_closed = text::sanitize_trimmed(&last.text).ends_with(['.', '?', '!', '。', '？', '！']);
        let Pauses { within, decay } = if is_closed { CLOSED } else { OPEN };
        let beyond = position.saturating_sub(self.silent_from).saturating_sub(PAUSE);
        let longer = within * (-(beyond as f32 / SAMPLE_RATE as f32) / decay).exp();
        (1.0 / (1.0 + longer)).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Word {
        Word { text: text.to_owned(), probability: 0.9, ..Word::default() }
    }

    fn turn(eager: Option<f32>, end: f32) -> Turn {
        Turn::new(Thresholds { eager, end, ..Thresholds::default() })
    }

    const MS: u64 = SAMPLE_RATE as u64 / 1000;

    /// Events of silence that goes on in steps of 20 ms, and when they came [ms].
    fn silence(turn: &mut Turn, from: u64, ms: u64) -> Vec<(u64, Event)> {
        let mut events = Vec::new();
        for at in (0..=ms).step_by(20) {
            if let Some(event) = turn.wait(from + at * MS, false).filter(|event| *event != Event::Update) {
                events.push((at, event));
                if matches!(event, Event::End(_)) {
                    break;
                }
            }
        }
        events
    }

    #[test]
    fn a_turn_begins_with_words_and_ends_with_a_confident_silence() {
        let mut turn = turn(None, 0.8);
        assert_eq!(turn.speak(), None);
        assert_eq!(turn.hear(vec![], vec![]), None);
        assert_eq!(turn.hear(vec![], vec![word("Hello")]), Some(Event::Start));
        assert_eq!(turn.hear(vec![word("Hello")], vec![word("you")]), Some(Event::Update));
        assert_eq!((turn.wait(500 * MS, true), turn.confidence(500 * MS)), (None, 0.0));
        assert_eq!(turn.complete(vec![word("Hello"), word("you.")], 1000 * MS), Some(Event::Update));
        assert_eq!(turn.words().count(), 2);
        let ended = silence(&mut turn, 1000 * MS, 5_000);
        assert!(matches!(ended[..], [(at, Event::End(Trigger::Model))] if at < 500), "{ended:?}");
        turn.next();
        assert_eq!((turn.index, turn.words().count(), turn.wait(9000 * MS, false)), (1, 0, None));
    }

    #[test]
    fn a_sentence_that_is_not_over_is_waited_for() {
        let ends = |text: &str| {
            let mut turn = turn(None, 0.8);
            turn.complete(vec![word(text)], 0);
            silence(&mut turn, 0, 10_000)[0].0
        };
        assert!(ends("over.") < ends("and"));
        let mut never = turn(None, 1.0);
        never.complete(vec![word("over.")], PAUSE);
        assert_eq!(silence(&mut never, PAUSE, 10_000), [(4_700, Event::End(Trigger::Timeout))]);
    }

    #[test]
    fn a_turn_that_may_be_over_goes_on_when_somebody_speaks() {
        let mut turn = turn(Some(0.6), 0.95);
        turn.speak();
        assert_eq!(turn.complete(vec![word("Well,")], 0), Some(Event::Start));
        let eager = silence(&mut turn, 0, 1_200);
        assert!(matches!(eager[..], [(800..1_000, Event::EagerEnd)]), "{eager:?}");
        assert_eq!(turn.speak(), Some(Event::Resumed));
        assert_eq!(turn.speak(), None);
        assert_eq!(turn.wait(9_000 * MS, false), None, "somebody speaks");
        // A noise without words: the silence goes on.
        assert_eq!(turn.complete(vec![], 500 * MS), None);
        let events = silence(&mut turn, 500 * MS, 9_000);
        assert!(
            matches!(events[..], [(_, Event::End(Trigger::Model))] | [_, (_, Event::End(Trigger::Model))]),
            "{events:?}"
        );
    }

    #[test]
    fn a_client_ends_a_turn_when_its_text_is_there() {
        let mut turn = turn(None, 1.0);
        turn.force();
        assert_eq!(turn.wait(0, false), None, "there is none");
        turn.hear(vec![], vec![word("Hello")]);
        turn.force();
        assert_eq!(turn.wait(0, true), None);
        turn.complete(vec![word("Hello")], 0);
        assert_eq!(turn.wait(0, false), Some(Event::End(Trigger::Manual)));
    }

    #[test]
    fn words_that_are_withdrawn_leave_the_turn() {
        let mut turn = turn(None, 0.8);
        assert_eq!(turn.hear(vec![], vec![word("you")]), Some(Event::Start));
        assert_eq!(turn.complete(vec![], 0), Some(Event::Update));
        assert_eq!((turn.words().count(), turn.confidence(9_000 * MS)), (0, 0.0));
        assert_eq!(silence(&mut turn, 0, 9_000), [(5_000, Event::End(Trigger::Timeout))]);
    }
}
