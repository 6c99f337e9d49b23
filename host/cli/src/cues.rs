//! Options of subtitles.

use hearken::formats::{CueLayout, Format};

use super::Failure;

/// Layout of subtitles.
#[derive(clap::Args)]
#[command(next_help_heading = "Subtitles (srt, vtt)")]
pub(crate) struct CueArgs {
    /// Most columns of a line; a Chinese or Japanese character takes two [default: 42]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=CueLayout::MAX_COLUMNS as i64))]
    max_chars: Option<u16>,
    /// Most lines of a cue [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=CueLayout::MAX_LINES as i64))]
    max_lines: Option<u16>,
    /// Most words of a cue: 1 shows one word at a time [default: as many as fit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    words_per_cue: Option<u16>,
    /// Give each word its time, for players that highlight it as it is spoken (vtt)
    #[arg(long)]
    word_times: bool,
}

impl CueArgs {
    /// The layout, for files of these formats.
    ///
    /// # Errors
    ///
    /// When an option is given and none of the formats can have it.
    pub(crate) fn layout(&self, formats: &[Format]) -> Result<CueLayout, Failure> {
        let mut layout = CueLayout::default();
        let has = |wanted: &[Format]| formats.iter().any(|format| wanted.contains(format));
        let options = [
            ("--max-chars", self.max_chars),
            ("--max-lines", self.max_lines),
            ("--words-per-cue", self.words_per_cue),
        ];
        if let Some((option, _)) = options.iter().find(|(_, value)| value.is_some())
            && !has(&[Format::Srt, Format::Vtt])
        {
            return Err(Failure::usage(format!("{option} is for subtitles: choose srt or vtt")));
        }
        if self.word_times && !has(&[Format::Vtt]) {
            return Err(Failure::usage("--word-times is for WebVTT: choose vtt"));
        }
        if let Some(columns) = self.max_chars {
            layout = layout.columns(columns.into());
        }
        if let Some(lines) = self.max_lines {
            layout = layout.lines(lines.into());
        }
        if let Some(words) = self.words_per_cue {
            layout = layout.words(words.into());
        }
        Ok(layout.word_times(self.word_times))
    }
}
