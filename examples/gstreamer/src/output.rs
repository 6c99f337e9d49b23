//! Conversion of a session's events to pieces of text, each with its place in time. Positions are
//! samples at 16 kHz.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use hearken::Word;
use hearken::formats::{Format, Writer, cues};
use hearken::session::SessionEvent;

/// Speech is found this much after it began, at most: voice activity holds a candidate and its
/// pre-roll back.
const HELD_BACK: u64 = hearken::SAMPLE_RATE as u64;

/// Shortest silence that is reported downstream.
const SILENCE: u64 = hearken::SAMPLE_RATE as u64 / 2;

/// Kind of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Live: words once they are committed, or once they are `budget` samples old.
    Words {
        /// Maximum age of a word [samples].
        budget: u64,
    },
    /// Each utterance when it is complete, cut so that it can be read.
    Cues,
    /// A subtitle file.
    File(Format),
}

/// A buffer to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) text: Vec<u8>,
}

/// Turns events into pieces.
pub(crate) struct Output {
    kind: Kind,
    offset: u64,
    /// Starts of the utterances that are not complete.
    open: VecDeque<u64>,
    /// Words that are not certain and did not have to go out yet.
    tentative: Vec<Word>,
    /// End of the last word that was sent.
    said: u64,
    /// Position up to which text or silence was reported.
    told: u64,
    file: Option<(Writer<Shared>, Shared)>,
    pieces: Vec<Piece>,
}

impl Output {
    /// The times in a subtitle file begin with `offset`.
    pub(crate) fn new(kind: Kind, offset: u64) -> Self {
        let file = match kind {
            Kind::File(format) => {
                let shared = Shared::default();
                Writer::begin(format, shared.clone()).ok().map(|writer| (writer, shared))
            }
            _ => None,
        };
        Self {
            kind,
            offset,
            open: VecDeque::new(),
            tentative: Vec::new(),
            said: 0,
            told: 0,
            file,
            pieces: Vec::new(),
        }
    }

    /// Takes an event.
    pub(crate) fn take(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::SpeechStarted { position } => self.open.push_back(*position),
            SessionEvent::Partial { committed, tentative, .. } => {
                if let Kind::Words { .. } = self.kind {
                    self.say(committed);
                    self.tentative.clone_from(tentative);
                }
            }
            SessionEvent::Final { end, words, .. } => {
                self.open.pop_front();
                self.tentative.clear();
                match self.kind {
                    Kind::Words { .. } => self.say(words),
                    Kind::Cues => self.cut(event, *end),
                    Kind::File(_) => self.write(event),
                }
            }
            _ => {}
        }
    }

    /// Time has come this far: words that may not wait any longer go out as they are.
    pub(crate) fn due(&mut self, position: u64) {
        let Kind::Words { budget } = self.kind else { return };
        let due = self.tentative.iter().take_while(|word| word.start + budget <= position).count();
        if due > 0 {
            let words: Vec<Word> = self.tentative.drain(..due).collect();
            self.say(&words);
        }
    }

    /// Ends the stream: no more audio comes.
    pub(crate) fn end(&mut self) {
        if let Some((writer, shared)) = self.file.take() {
            // Memory takes everything.
            let _ = writer.end(None, 0);
            self.drain(&shared, self.said, self.said);
        }
    }

    /// Takes the pieces that are ready.
    pub(crate) fn pieces(&mut self) -> Vec<Piece> {
        if let Some(last) = self.pieces.last() {
            self.told = self.told.max(last.end);
        }
        mem::take(&mut self.pieces)
    }

    /// Stretch without text, now and later, if it is worth reporting: elements that wait for text
    /// go on.
    pub(crate) fn silence(&mut self, position: u64) -> Option<(u64, u64)> {
        let until = match self.open.front() {
            Some(start) => self.said.max(*start),
            None => position.saturating_sub(HELD_BACK),
        };
        if until < self.told + SILENCE {
            return None;
        }
        let from = mem::replace(&mut self.told, until);
        Some((from, until))
    }

    /// Position at which [`due`](Self::due) or [`silence`](Self::silence) has output if no event
    /// comes before.
    pub(crate) fn next(&self) -> u64 {
        let due = match (self.kind, self.tentative.first()) {
            (Kind::Words { budget }, Some(word)) => word.start + budget,
            _ => u64::MAX,
        };
        // While somebody speaks, silence is reported up to the text before, and that does not move.
        let silence = if self.open.is_empty() { self.told + SILENCE + HELD_BACK } else { u64::MAX };
        due.min(silence)
    }

    /// Words that were sent already are not sent again; their final form is in the messages.
    fn say(&mut self, words: &[Word]) {
        let fresh: Vec<&Word> = words.iter().filter(|word| word.start >= self.said).collect();
        let (Some(first), Some(last)) = (fresh.first(), fresh.last()) else { return };
        let text = fresh.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        self.pieces.push(Piece { start: first.start, end: last.end, text: text.into_bytes() });
        self.said = last.end.max(self.said);
        self.tentative.retain(|word| word.start >= self.said);
    }

    fn cut(&mut self, event: &SessionEvent, end: u64) {
        let Some(segment) = event.segment() else { return };
        let per_ms = u64::from(hearken::SAMPLE_RATE) / 1000;
        for cue in cues(&segment) {
            // It may stay on the screen until the utterance's own end, and no longer: then the next
            // one may begin.
            let piece = Piece {
                start: cue.start * per_ms,
                end: (cue.end * per_ms).min(end).max(cue.start * per_ms),
                text: cue.lines.join("\n").into_bytes(),
            };
            self.said = piece.end;
            self.pieces.push(piece);
        }
    }

    fn write(&mut self, event: &SessionEvent) {
        let Some(mut segment) = event.segment() else { return };
        let Some((writer, shared)) = &mut self.file else { return };
        let shared = shared.clone();
        let (start, end) = (segment.start, segment.end);
        segment.start += self.offset;
        segment.end += self.offset;
        for word in &mut segment.words {
            word.start += self.offset;
            word.end += self.offset;
        }
        // Memory takes everything.
        let _ = writer.segment(&segment);
        self.said = end;
        self.drain(&shared, start, end);
    }

    fn drain(&mut self, shared: &Shared, start: u64, end: u64) {
        let text = shared.take();
        if !text.is_empty() {
            self.pieces.push(Piece { start, end, text });
        }
    }
}

/// Shared byte sink of a format writer.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(all: &[(u64, &str)]) -> Vec<Word> {
        let word = |(start, text): &(u64, &str)| Word {
            start: *start,
            end: start + 100,
            text: (*text).to_owned(),
            probability: 1.0,
        };
        all.iter().map(word).collect()
    }

    fn partial(committed: &[(u64, &str)], tentative: &[(u64, &str)]) -> SessionEvent {
        SessionEvent::Partial { utterance: 0, committed: words(committed), tentative: words(tentative) }
    }

    fn texts(output: &mut Output) -> Vec<String> {
        output.pieces().into_iter().map(|piece| String::from_utf8(piece.text).unwrap()).collect()
    }

    #[test]
    fn a_word_goes_out_once_when_it_is_certain_or_when_it_must() {
        let mut output = Output::new(Kind::Words { budget: 1_000 }, 0);
        output.take(&SessionEvent::SpeechStarted { position: 0 });
        output.take(&partial(&[(0, "one")], &[(100, "two"), (700, "tree")]));
        assert_eq!(texts(&mut output), ["one"]);
        output.due(1_099);
        assert!(texts(&mut output).is_empty());
        assert_eq!(output.next(), 1_100);
        output.due(1_100);
        assert_eq!(texts(&mut output), ["two"]);
        // An overdue word was right, or nearly: in any case it is not sent twice.
        output.take(&partial(&[(100, "too")], &[(700, "three")]));
        assert!(texts(&mut output).is_empty());
        let all = words(&[(0, "one"), (100, "too"), (700, "three"), (800, "four")]);
        output.take(&SessionEvent::Final { utterance: 0, end: 2_000, words: all });
        assert_eq!(texts(&mut output), ["three four"]);
    }

    #[test]
    fn silence_is_reported_but_not_where_text_may_come() {
        let rate = u64::from(hearken::SAMPLE_RATE);
        let mut output = Output::new(Kind::Cues, 0);
        assert_eq!(output.next(), rate * 3 / 2);
        assert_eq!(output.silence(rate * 3 / 2 - 1), None);
        assert_eq!(output.silence(3 * rate), Some((0, 2 * rate)));
        assert_eq!(output.silence(3 * rate + 10), None);
        assert_eq!(output.next(), rate * 7 / 2);
        output.take(&SessionEvent::SpeechStarted { position: 3 * rate });
        assert_eq!(output.silence(60 * rate), Some((2 * rate, 3 * rate)));
        assert_eq!(output.silence(61 * rate), None);
        assert_eq!(output.next(), u64::MAX);
        let all = words(&[(3 * rate, "one")]);
        output.take(&SessionEvent::Final { utterance: 3 * rate, end: 61 * rate, words: all });
        let pieces = output.pieces();
        assert_eq!((pieces[0].start, pieces[0].text.as_slice()), (3 * rate, &b"one"[..]));
        assert!(pieces[0].end <= 61 * rate);
    }

    #[test]
    fn a_subtitle_file_is_whole() {
        let mut output = Output::new(Kind::File(Format::Srt), 0);
        for (start, text) in [(16_000, "one"), (64_000, "two")] {
            let words = words(&[(start, text)]);
            output.take(&SessionEvent::Final { utterance: start, end: start + 16_000, words });
        }
        output.end();
        let file = texts(&mut output).concat();
        assert!(file.starts_with("1\n00:00:01,000 --> "), "{file}");
        assert!(file.contains("\n2\n00:00:04,000 --> ") && file.ends_with("two\n\n"), "{file}");
    }
}
