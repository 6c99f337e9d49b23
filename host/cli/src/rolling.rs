//! A text file with the newest lines of live captions, for programs that show a file, such as OBS
//! Studio's text source.

use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hearken::session::SessionEvent;

use super::captions::{texts, wrap};
use super::output::folder;
use super::{Failure, in_writing};

/// Lines, and columns of each: those of subtitles.
const LINES: usize = 2;
const COLUMNS: usize = 42;

/// Words of complete utterances that are kept: more than the lines hold.
const WORDS: usize = LINES * COLUMNS;

/// The file. It is replaced with each change, so that a reader sees whole lines, and empty in the
/// end.
pub(crate) struct Rolling {
    path: PathBuf,
    complete: VecDeque<String>,
    committed: Vec<String>,
    tentative: Vec<String>,
    shown: String,
}

impl Rolling {
    /// Starts an empty file. One that is not empty is left alone.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        match fs::metadata(path) {
            Ok(found) if found.len() > 0 || !found.is_file() => {
                return Err(Failure::new(format!(
                    "{} is there already, and not empty; choose another name, or remove it",
                    path.display()
                )));
            }
            _ => {}
        }
        let rolling = Self {
            path: path.to_owned(),
            complete: VecDeque::new(),
            committed: Vec::new(),
            tentative: Vec::new(),
            shown: String::new(),
        };
        rolling.write("").map_err(|error| in_writing(path, &error))?;
        Ok(rolling)
    }

    /// Handles an event of a session.
    pub(crate) fn event(&mut self, event: &SessionEvent) -> Result<(), Failure> {
        match event {
            SessionEvent::Partial { committed, tentative, .. } => {
                self.committed.extend(texts(committed));
                self.tentative = texts(tentative).collect();
            }
            SessionEvent::Final { words, .. } => {
                self.committed.clear();
                self.tentative.clear();
                self.complete.extend(texts(words));
                self.complete.drain(..self.complete.len().saturating_sub(WORDS));
            }
            _ => return Ok(()),
        }
        let text = self.text();
        if text != self.shown {
            self.write(&text).map_err(|error| in_writing(&self.path, &error))?;
            self.shown = text;
        }
        Ok(())
    }

    /// The newest lines.
    fn text(&self) -> String {
        let words = self.complete.iter().chain(&self.committed).chain(&self.tentative);
        let lines = wrap(words.map(|word| (word, ())), COLUMNS + 1, |word, ()| word.to_owned());
        let newest = &lines[lines.len().saturating_sub(LINES)..];
        newest.iter().map(|line| format!("{line}\n")).collect()
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            // As for any new file; the user's mask takes its part.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder(&self.path))?;
        file.write_all(text.as_bytes())?;
        file.persist(&self.path)?;
        Ok(())
    }
}

impl Drop for Rolling {
    /// Nobody speaks any more.
    fn drop(&mut self) {
        let _ = self.write("");
    }
}

#[cfg(test)]
mod tests {
    use hearken::Word;

    use super::*;

    fn words(text: &str) -> Vec<Word> {
        text.split(' ').map(|word| Word { text: word.to_owned(), ..Word::default() }).collect()
    }

    #[test]
    fn it_has_the_newest_lines_and_is_empty_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("captions.txt");
        let mut rolling = Rolling::create(&path).unwrap();
        let read = || fs::read_to_string(&path).unwrap();
        let partial = |committed: &str, tentative: &str| SessionEvent::Partial {
            utterance: 0,
            committed: words(committed),
            tentative: words(tentative),
        };
        rolling.event(&partial("one two", "three")).unwrap();
        assert_eq!(read(), "one two three\n");
        rolling.event(&partial("three", "for")).unwrap();
        assert_eq!(read(), "one two three for\n", "committed words stay, tentative ones are replaced");
        let long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen";
        rolling.event(&SessionEvent::Final { utterance: 0, end: 1, words: words(long) }).unwrap();
        assert_eq!(read(), "nine ten eleven twelve thirteen fourteen\nfifteen\n");
        rolling.event(&partial("sixteen", "seventeen")).unwrap();
        assert!(read().ends_with("fifteen sixteen seventeen\n"), "{}", read());
        assert!(Rolling::create(&path).is_err(), "a file with text is somebody's");
        drop(rolling);
        assert_eq!(read(), "");
        Rolling::create(&path).unwrap();
    }
}
