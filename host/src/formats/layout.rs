//! Layout of subtitle cues.

/// Columns of a line. 42 is the limit of broadcasters and streaming services.
const COLUMNS: usize = 42;
/// Lines of a cue.
const LINES: usize = 2;

/// Layout of subtitle cues: two lines of 42 columns, unless it is set otherwise.
///
/// A wide character (Chinese, Japanese, Korean) takes two columns.
///
/// ```
/// use hearken::formats::{CueLayout, Format, Writer};
/// // Three words at a time, each of which a player can highlight as it is spoken.
/// let layout = CueLayout::default().words(3).word_times(true);
/// let mut out = Vec::new();
/// Writer::with_layout(Format::Vtt, layout, &mut out)?.end(None, 0)?;
/// assert_eq!(out, b"WEBVTT\n\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CueLayout {
    pub(super) columns: usize,
    pub(super) lines: usize,
    pub(super) words: usize,
    pub(super) word_times: bool,
}

impl CueLayout {
    /// Largest number of columns of a line.
    pub const MAX_COLUMNS: usize = 200;
    /// Largest number of lines of a cue.
    pub const MAX_LINES: usize = 4;

    /// Sets the columns of a line, 2 to [`MAX_COLUMNS`](Self::MAX_COLUMNS); others are taken as the
    /// nearest of these.
    #[must_use]
    pub fn columns(mut self, columns: usize) -> Self {
        self.columns = columns.clamp(2, Self::MAX_COLUMNS);
        self
    }

    /// Sets the lines of a cue, 1 to [`MAX_LINES`](Self::MAX_LINES); others are taken as the
    /// nearest of these.
    #[must_use]
    pub fn lines(mut self, lines: usize) -> Self {
        self.lines = lines.clamp(1, Self::MAX_LINES);
        self
    }

    /// Sets the maximum number of words of a cue, at least 1; without it the lines are the limit.
    #[must_use]
    pub fn words(mut self, words: usize) -> Self {
        self.words = words.max(1);
        self
    }

    /// Gives each word of WebVTT its time, so that players highlight it as it is spoken. SubRip has
    /// no such times.
    #[must_use]
    pub fn word_times(mut self, word_times: bool) -> Self {
        self.word_times = word_times;
        self
    }
}

impl Default for CueLayout {
    fn default() -> Self {
        Self { columns: COLUMNS, lines: LINES, words: usize::MAX, word_times: false }
    }
}
