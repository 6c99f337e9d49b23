//! The look of the demonstrations: in color and redrawn on a terminal, plain in a pipe.

use std::fs;
use std::io;
use std::time::Duration;

use console::{StyledObject, Term, measure_text_width, style};
use hearken_measure::normalize::Normalizer;
use hearken_measure::{Errors, correct_words};

use crate::recordings::Recording;

/// Widest text, in columns: lines longer than this are hard to read.
const WIDTH: usize = 100;

/// A word as it is printed.
type Styled = StyledObject<String>;

/// Prints the name of the demonstration and of its recording.
pub(crate) fn heading(what: &str, recording: &Recording) {
    let about = format!("{}, {:.1} s", recording.name, recording.seconds());
    println!("\n{}  {}", style(what).bold().green(), style(about).dim());
}

/// Prints figures behind a text.
pub(crate) fn figures(figures: &[String]) {
    println!("  {}", style(figures.join(" · ")).bold());
}

/// Speed, as a multiple of real time.
pub(crate) fn speed(recording: &Recording, elapsed: Duration) -> String {
    format!("{:.0} × real time", recording.seconds() / elapsed.as_secs_f64())
}

/// Forgets how much memory preparing the model took, which happens once on a machine (Linux).
pub(crate) fn forget_peak() {
    // Where this cannot be, the figure is that of the whole process, and says too much.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that this process has had, the model and its sandboxes included.
pub(crate) fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.map_or_else(
        || "memory unknown".to_owned(),
        |kib: u64| format!("{} MiB of memory at most", kib >> 10),
    )
}

/// Recognized text beside the reference.
pub(crate) struct Words {
    heard: Vec<String>,
    /// True for each word that is wrong.
    wrong: Vec<bool>,
    errors: Errors,
}

impl Words {
    /// Compares texts as Whisper's authors do: case, punctuation and spelling of numbers do not
    /// count.
    pub(crate) fn compare(said: &str, heard: &str) -> Self {
        let heard: Vec<String> = heard.split_whitespace().map(str::to_owned).collect();
        let said = Normalizer::English.words(&[said]).into_iter().map(|word| word.text).collect::<Vec<_>>();
        let normal = Normalizer::English.words(&heard);
        let texts: Vec<String> = normal.iter().map(|word| word.text.clone()).collect();
        let right: Vec<usize> = correct_words(&said, &texts).into_iter().map(|(_, index)| index).collect();
        let mut wrong = vec![false; heard.len()];
        for (index, word) in normal.iter().enumerate() {
            wrong[word.last] |= !right.contains(&index);
        }
        Self { errors: Errors::between(said, texts), heard, wrong }
    }

    pub(crate) fn error_rate(&self) -> String {
        let rate = self.errors.rate().unwrap_or_default() * 100.0;
        format!("word error rate {rate:.1} % ({} of {} words)", self.errors.edits(), self.errors.reference)
    }

    /// The words, wrong ones in red.
    pub(crate) fn styled(&self) -> Vec<Styled> {
        let word = |(word, wrong): (&String, &bool)| {
            let word = style(word.clone());
            if *wrong { word.red() } else { word }
        };
        self.heard.iter().zip(&self.wrong).map(word).collect()
    }

    pub(crate) fn print(&self) {
        wrap(&self.styled()).iter().for_each(|line| println!("{line}"));
    }
}

/// A text that is drawn anew whenever it changes.
pub(crate) struct Paragraph {
    term: Term,
    lines: usize,
}

impl Default for Paragraph {
    fn default() -> Self {
        Self { term: Term::stdout(), lines: 0 }
    }
}

impl Paragraph {
    /// Draws it on a terminal; in a pipe nothing is printed yet.
    pub(crate) fn replace(&mut self, words: &[Styled]) -> io::Result<()> {
        if self.term.is_term() {
            self.term.clear_last_lines(self.lines)?;
            let lines = wrap(words);
            self.lines = lines.len();
            for line in lines {
                self.term.write_line(&line)?;
            }
        }
        Ok(())
    }

    /// Draws the final state, on any output.
    pub(crate) fn finish(mut self, words: &Words) -> io::Result<()> {
        self.replace(&[])?;
        words.print();
        Ok(())
    }
}

/// Lines of words, no wider than the terminal.
fn wrap(words: &[Styled]) -> Vec<String> {
    let width = WIDTH.min(Term::stdout().size().1.into());
    let mut lines: Vec<String> = Vec::new();
    let mut room = 0;
    for word in words {
        let word = word.to_string();
        let needed = measure_text_width(&word) + 1;
        match lines.last_mut().filter(|_| needed <= room) {
            Some(line) => {
                line.push(' ');
                line.push_str(&word);
                room -= needed;
            }
            None => {
                room = width.saturating_sub(needed + 2);
                lines.push(format!("  {word}"));
            }
        }
    }
    lines
}
