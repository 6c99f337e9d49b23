//! Captions on a terminal: committed words in normal type, tentative words dim, redrawn in place.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write};

use console::{Style, Term, measure_text_width, truncate_str};
use hearken::session::SessionEvent;
use hearken::{SAMPLE_RATE, Word, seconds};

/// Narrowest terminal that is drawn on; below, lines are left to the terminal.
const MIN_COLUMNS: usize = 12;

/// Columns of the time before a complete text, and of the indent below it.
const MARGIN: usize = 7;

/// Number of levels that the bar shows.
const LEVELS: usize = 12;

/// Loudness of the lowest and of the highest bar, in dB of full scale.
const QUIET: f32 = -60.0;
const LOUD: f32 = -6.0;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The caption of the utterance that is being spoken, below those that are complete, above how loud
/// it is.
pub(crate) struct Captions {
    term: Term,
    committed: Vec<String>,
    tentative: Vec<String>,
    /// For live audio only.
    status: Option<Status>,
    /// Columns of each line on the screen that the next drawing replaces.
    drawn: Vec<usize>,
    dim: Style,
    time: Style,
    speech: Style,
}

/// State of the status line.
struct Status {
    levels: VecDeque<f32>,
    speaking: bool,
    note: String,
}

impl Captions {
    pub(crate) fn new(term: Term) -> Self {
        // The cursor would jump with each drawing. A terminal that cannot hide it shows it.
        let _ = term.hide_cursor();
        Self {
            term,
            committed: Vec::new(),
            tentative: Vec::new(),
            status: None,
            drawn: Vec::new(),
            dim: Style::new().dim(),
            time: Style::new().cyan(),
            speech: Style::new().green(),
        }
    }

    /// Handles an event of a session, and draws it.
    pub(crate) fn event(&mut self, event: &SessionEvent) -> io::Result<()> {
        match event {
            SessionEvent::Partial { committed, tentative, .. } => {
                self.committed.extend(texts(committed));
                self.tentative = texts(tentative).collect();
                self.draw("")
            }
            SessionEvent::Final { utterance, words, .. } => {
                self.committed.clear();
                self.tentative.clear();
                let complete = self.complete(*utterance, words);
                self.draw(&complete)
            }
            SessionEvent::SpeechStarted { .. } | SessionEvent::SpeechEnded { .. } => {
                let Some(status) = &mut self.status else { return Ok(()) };
                status.speaking = matches!(event, SessionEvent::SpeechStarted { .. });
                self.draw("")
            }
            SessionEvent::Dropped { position, len, reason } => {
                let (from, to) = (seconds(*position), seconds(position + len));
                self.draw(&format!("{from:.1} s to {to:.1} s were not recognized: {reason}\n"))
            }
            SessionEvent::Unrecognized { position, len } => {
                let (from, to) = (seconds(*position), seconds(position + len));
                self.draw(&format!("{from:.1} s to {to:.1} s: voice or noise, and no words in it\n"))
            }
            _ => Ok(()),
        }
    }

    /// Shows how loud it is, in dB of full scale, and `note` beside that.
    pub(crate) fn status(&mut self, decibels: f32, note: &str) -> io::Result<()> {
        let status = self.status.get_or_insert_with(|| Status {
            levels: VecDeque::from(vec![f32::NEG_INFINITY; LEVELS]),
            speaking: false,
            note: String::new(),
        });
        status.levels.pop_front();
        status.levels.push_back(decibels);
        note.clone_into(&mut status.note);
        self.draw("")
    }

    /// Replaces the drawn text by `above`, whole lines that stay, and the current captions.
    fn draw(&mut self, above: &str) -> io::Result<()> {
        let (rows, columns) = self.size();
        let mut lines = self.current(columns);
        let status = self.status.as_ref().map(|status| self.status_line(status, columns));
        // Text that does not fit on the screen could not be replaced: the latest lines are shown.
        let room = rows.saturating_sub(1 + usize::from(status.is_some())).max(1);
        lines.drain(..lines.len().saturating_sub(room));
        lines.extend(status);
        let mut screen = self.erase(columns);
        screen.push_str(above);
        screen.push_str(&lines.join("\n"));
        self.drawn = lines.iter().map(|line| measure_text_width(line)).collect();
        // One write for each drawing, so that it does not flicker.
        self.term.write_all(screen.as_bytes())?;
        self.term.flush()
    }

    fn size(&self) -> (usize, usize) {
        let (rows, columns) = self.term.size();
        (rows.into(), usize::from(columns).max(MIN_COLUMNS))
    }

    /// The utterance that is being spoken, cut into lines that fit, where it will stand when it is
    /// complete.
    fn current(&self, columns: usize) -> Vec<String> {
        let words = self.committed.iter().map(|word| (word, false));
        let words = words.chain(self.tentative.iter().map(|word| (word, true)));
        wrap(
            words,
            columns,
            |word, tentative| {
                if tentative { self.dim.apply_to(word).to_string() } else { word.to_owned() }
            },
        )
    }

    /// A complete utterance as it stays, with the time when it began.
    fn complete(&self, start: u64, words: &[Word]) -> String {
        let (_, columns) = self.size();
        let mut text = String::new();
        let words: Vec<String> = texts(words).collect();
        let lines = wrap(words.iter().map(|word| (word, ())), columns - MARGIN, |word, ()| word.to_owned());
        let seconds = start / u64::from(SAMPLE_RATE);
        let time = format!("{:02}:{:02}", seconds / 60, seconds % 60);
        for (n, line) in lines.iter().enumerate() {
            let margin = if n == 0 { format!("{:<MARGIN$}", time) } else { " ".repeat(MARGIN) };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}{line}", self.time.apply_to(margin));
        }
        text
    }

    fn status_line(&self, status: &Status, columns: usize) -> String {
        let bars: String = status.levels.iter().map(|level| bar(*level)).collect();
        let (sign, style) = if status.speaking { ("●", &self.speech) } else { ("○", &self.dim) };
        // Room for the `^C` that a terminal prints by itself.
        let note = truncate_str(&status.note, columns.saturating_sub(LEVELS + 4 + 3), "…");
        format!("{} {}  {}", style.apply_to(sign), style.apply_to(bars), self.dim.apply_to(note))
    }

    /// Moves to where the drawn lines begin, and clears from there.
    fn erase(&self, columns: usize) -> String {
        // A terminal that became narrower since has broken long lines.
        let rows: usize = self.drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        match rows {
            0 => String::new(),
            1 => "\r\x1b[J".to_owned(),
            rows => format!("\r\x1b[{}A\x1b[J", rows - 1),
        }
    }
}

impl Drop for Captions {
    /// Leaves the terminal as it was, below the permanent lines.
    fn drop(&mut self) {
        let (_, columns) = self.size();
        let erase = self.erase(columns);
        let _ = self.term.write_all(erase.as_bytes());
        let _ = self.term.flush();
        let _ = self.term.show_cursor();
    }
}

/// Puts words on lines of less than `columns`: in the last column some terminals wrap early. A word
/// that is longer than a line, as whole sentences are in languages without spaces, is broken where
/// it must be.
pub(super) fn wrap<'a, K: Copy>(
    words: impl Iterator<Item = (&'a String, K)>,
    columns: usize,
    style: impl Fn(&str, K) -> String,
) -> Vec<String> {
    let room = columns.saturating_sub(1).max(2);
    let (mut lines, mut used): (Vec<String>, usize) = (Vec::new(), 0);
    for (word, kind) in words {
        for (n, piece) in pieces(word, room).enumerate() {
            let width = measure_text_width(piece);
            let space = usize::from(used > 0 && n == 0);
            match lines.last_mut() {
                Some(line) if used + space + width <= room => {
                    line.push_str(&" ".repeat(space));
                    line.push_str(&style(piece, kind));
                    used += space + width;
                }
                _ => {
                    lines.push(style(piece, kind));
                    used = width;
                }
            }
        }
    }
    lines
}

/// Splits a word into pieces of at most `room` columns.
fn pieces(word: &str, room: usize) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let mut width = 0;
        let end = rest.char_indices().find_map(|(at, c)| {
            width += measure_text_width(c.encode_utf8(&mut [0; 4]));
            (width > room && at > 0).then_some(at)
        });
        let (piece, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

pub(super) fn texts(words: &[Word]) -> impl Iterator<Item = String> {
    words.iter().map(|word| word.text.clone())
}

fn bar(decibels: f32) -> char {
    let height = ((decibels - QUIET) / (LOUD - QUIET)).clamp(0.0, 1.0);
    BARS[(height * (BARS.len() - 1) as f32).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, columns: usize) -> Vec<String> {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        wrap(words.iter().map(|word| (word, ())), columns, |word, ()| word.to_owned())
    }

    #[test]
    fn lines_are_narrower_than_the_terminal() {
        assert_eq!(wrapped("one two three", 20), ["one two three"]);
        assert_eq!(wrapped("one two three", 14), ["one two three"]);
        assert_eq!(wrapped("one two three", 13), ["one two", "three"]);
        assert_eq!(wrapped("unbelievably", 9), ["unbeliev", "ably"]);
        // Wide characters take two columns.
        assert_eq!(wrapped("日本語の字幕", 8), ["日本語", "の字幕"]);
        assert_eq!(wrapped("日本語の字幕", 3), ["日", "本", "語", "の", "字", "幕"]);
    }

    #[test]
    fn bars_span_what_speech_spans() {
        assert_eq!(bar(f32::NEG_INFINITY), '▁');
        assert_eq!(bar(f32::NAN), '▁');
        assert_eq!(bar(-33.0), '▅');
        assert_eq!(bar(0.0), '█');
    }
}
