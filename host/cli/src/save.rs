//! A transcript that is saved while it comes.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use hearken::Language;
use hearken::formats::{CueLayout, Format, Writer};
use hearken::session::SessionEvent;

use super::{Failure, in_writing};

/// The format that a file's extension selects.
///
/// # Errors
///
/// When it selects none.
pub(crate) fn format_of(path: &Path) -> Result<Format, Failure> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    extension.parse().map_err(|_| {
        Failure::usage(format!(
            "{} does not say its format; name it with .txt, .srt, .vtt, .json or .jsonl",
            path.display()
        ))
    })
}

/// A file that is complete at any time up to the latest final text: live speech cannot be repeated.
pub(crate) struct Saved {
    path: PathBuf,
    writer: Writer<BufWriter<File>>,
}

impl Saved {
    /// Starts a file in the format that its extension selects, and in this layout. One that is not
    /// empty is left alone.
    pub(crate) fn create(path: &Path, layout: CueLayout) -> Result<Self, Failure> {
        let format = format_of(path)?;
        let file = File::options().append(true).create(true).open(path);
        let length = file.as_ref().ok().and_then(|file| file.metadata().ok()).map_or(0, |file| file.len());
        if length > 0 {
            return Err(Failure::new(format!("{} is there already; choose another name", path.display())));
        }
        let file = file.map_err(|error| in_writing(path, &error))?;
        let writer = Writer::with_layout(format, layout, BufWriter::new(file))
            .map_err(|error| in_writing(path, &error))?;
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
