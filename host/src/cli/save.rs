//! A transcript that is saved while it comes.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use hearken::Language;
use hearken::formats::{Format, Writer};
use hearken::session::SessionEvent;

use super::{Failure, in_writing};

/// A file that is complete at any time up to the latest final text: live speech cannot be repeated.
pub(crate) struct Saved {
    path: PathBuf,
    writer: Writer<BufWriter<File>>,
}

impl Saved {
    /// Starts a file, whose extension selects the format. One that is not empty is left alone.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let format: Format = extension.parse().map_err(|_| {
            Failure::usage(format!("{} ends in none of .txt, .srt, .vtt, .json, .jsonl", path.display()))
        })?;
        let file = File::options().append(true).create(true).open(path);
        let length = file.as_ref().ok().and_then(|file| file.metadata().ok()).map_or(0, |file| file.len());
        if length > 0 {
            return Err(Failure::new(format!("{} is there already; choose another name", path.display())));
        }
        let file = file.map_err(|error| in_writing(path, &error))?;
        let writer = Writer::begin(format, BufWriter::new(file)).map_err(|error| in_writing(path, &error))?;
        Ok(Self { path: path.to_owned(), writer })
    }

    /// Adds an event of the session.
    pub(crate) fn event(&mut self, event: &SessionEvent) -> Result<(), Failure> {
        self.writer.event(event).map_err(|error| in_writing(&self.path, &error))
    }

    /// Ends the file.
    pub(crate) fn end(self, language: Option<&Language>, duration: u64) -> Result<(), Failure> {
        let Self { path, writer } = self;
        let ended = writer.end(language, duration).and_then(|file| file.get_ref().sync_all());
        ended.map_err(|error| in_writing(&path, &error))
    }
}
