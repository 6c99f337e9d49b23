//! Captions on a terminal: what is certain in normal type, what may still change dim, redrawn in place.

use std::fmt::Write as _;
use std::io::{self, Write};

use console::{Style, Term, measure_text_width, truncate_str};
use hearken::{SAMPLE_RATE, Word};

/// Narrowest terminal that is drawn on; below, lines are left to the terminal.
const MIN_COLUMNS: usize = 12;

/// The caption of the utterance that is being spoken, below those that are complete.
pub(crate) struct Captions {
    term: Term,
    committed: String,
    tentative: String,
    /// Lines on the screen that the next drawing replaces.
    drawn: usize,
    dim: Style,
    time: Style,
}

impl Captions {
    pub(crate) fn new(term: Term) -> Self {
        Self {
            term,
            committed: String::new(),
            tentative: String::new(),
            drawn: 0,
            dim: Style::new().dim(),
            time: Style::new().cyan(),
        }
    }

    /// Shows what is thought so far.
    pub(crate) fn partial(&mut self, committed: &[Word], tentative: &[Word]) -> io::Result<()> {
        append(&mut self.committed, committed);
        self.tentative.clear();
        append(&mut self.tentative, tentative);
        let (rows, columns) = self.term.size();
        let (rows, columns) = (usize::from(rows), usize::from(columns).max(MIN_COLUMNS));
        let mut lines = self.wrapped(columns);
        // What does not fit on the screen could not be replaced: the latest is what is read.
        let surplus = lines.len().saturating_sub(rows.saturating_sub(1).max(1));
        lines.drain(..surplus);
        let mut screen = self.erase();
        screen.push_str(&lines.join("\n"));
        self.drawn = lines.len();
        self.write(&screen)
    }

    /// Leaves the complete text behind, with the time when it began.
    pub(crate) fn complete(&mut self, start: u64, words: &[Word]) -> io::Result<()> {
        let mut screen = self.erase();
        self.committed.clear();
        self.tentative.clear();
        self.drawn = 0;
        if !words.is_empty() {
            let mut text = String::new();
            append(&mut text, words);
            let seconds = start / u64::from(SAMPLE_RATE);
            let time = format!("{:02}:{:02}", seconds / 60, seconds % 60);
            // Writing to a string cannot fail.
            let _ = writeln!(screen, "{}  {text}", self.time.apply_to(time));
        }
        self.write(&screen)
    }

    /// Committed and tentative text, cut into lines that fit.
    fn wrapped(&self, columns: usize) -> Vec<String> {
        let mut lines = vec![String::new()];
        let words = self.committed.split(' ').map(|word| (word, false));
        let words = words.chain(self.tentative.split(' ').map(|word| (word, true)));
        let mut width = 0;
        for (word, is_tentative) in words.filter(|(word, _)| !word.is_empty()) {
            // One column stays free: in the last one some terminals wrap early.
            let word = truncate_str(word, columns - 1, "…");
            let needed = measure_text_width(&word);
            if width > 0 && width + 1 + needed >= columns {
                lines.push(String::new());
                width = 0;
            }
            if let Some(line) = lines.last_mut() {
                if width > 0 {
                    line.push(' ');
                    width += 1;
                }
                let _ = if is_tentative {
                    write!(line, "{}", self.dim.apply_to(&word))
                } else {
                    write!(line, "{word}")
                };
                width += needed;
            }
        }
        lines
    }

    /// Moves to where the drawn lines begin, and clears from there.
    fn erase(&self) -> String {
        match self.drawn {
            0 => String::new(),
            1 => "\r\x1b[J".to_owned(),
            lines => format!("\r\x1b[{}A\x1b[J", lines - 1),
        }
    }

    /// One write for each drawing, so that it does not flicker.
    fn write(&mut self, screen: &str) -> io::Result<()> {
        self.term.write_all(screen.as_bytes())?;
        self.term.flush()
    }
}

/// Appends words, separated by spaces.
fn append(text: &mut String, words: &[Word]) {
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&word.text);
    }
}
