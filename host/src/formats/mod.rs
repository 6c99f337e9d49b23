//! Transcripts as text, subtitles and JSON.
//!
//! [`Format::write`] writes a whole [`Transcript`]; a [`Writer`] takes segments as they come, so
//! that a recording of hours needs the memory of a sentence.
//!
//! ```
//! use hearken::formats::Format;
//! let format: Format = "srt".parse()?;
//! let mut subtitles = Vec::new();
//! format.write(&hearken::Transcript::default(), &mut subtitles)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod channels;
mod cues;
mod json;
mod layout;
mod lines;
mod subtitles;
mod tokens;

use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::str::FromStr;

pub use self::cues::{Cue, cues};
pub use self::layout::CueLayout;
use self::subtitles::{Subtitles, Syntax};
use crate::session::SessionEvent;
use crate::text::sanitize_trimmed;
use crate::{Language, Segment, Transcript};

/// Output format of a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Plain text, a line for each segment.
    Text,
    /// SubRip subtitles.
    Srt,
    /// WebVTT subtitles.
    Vtt,
    /// One JSON object, with the names of OpenAI's `verbose_json` where it has them. Times are
    /// seconds, rounded down to 3 decimals.
    ///
    /// `segments` (`id`, `start`, `end`, `text`, `words`, `tokens`, `avg_logprob`,
    /// `no_speech_prob`), `text`, `language` (or null), `language_probability` (or null),
    /// `duration`. A word is `word`, `start`, `end`, `probability`. Numbers that JSON cannot say
    /// (not a number, infinite) are null.
    Json,
    /// JSON, one object a line: [`Json`](Self::Json)'s segments with `"type":"segment"`, then one
    /// with `"type":"end"`, `language`, `language_probability` and `duration`, so that a truncated
    /// file shows.
    ///
    /// For live audio ([`Writer::event`]) also `"type":"partial"`: `utterance` (its start),
    /// `committed` (words that were committed with this line) and `tentative` (words behind them;
    /// they replace those of the line before). The segment that completes the utterance has all its
    /// words.
    JsonLines,
}

/// A format's name is none of ours.
#[derive(Debug, thiserror::Error)]
#[error("unknown format `{0}`; use txt, srt, vtt, json or jsonl")]
#[non_exhaustive]
pub struct UnknownFormat(String);

impl Format {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Text, Self::Srt, Self::Vtt, Self::Json, Self::JsonLines];

    /// Usual file extension without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
            Self::JsonLines => "jsonl",
        }
    }

    /// Writes a whole transcript.
    ///
    /// # Errors
    ///
    /// Errors of `out`.
    pub fn write(self, transcript: &Transcript, out: &mut impl Write) -> io::Result<()> {
        let mut writer = Writer::begin(self, out)?;
        for segment in &transcript.segments {
            writer.segment(segment)?;
        }
        transcript.unrecognized.iter().for_each(|samples| writer.unrecognized(samples));
        writer.end(transcript.language.as_ref(), transcript.duration)?;
        Ok(())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL.into_iter().find(|format| format.extension().eq_ignore_ascii_case(name));
        found.ok_or_else(|| UnknownFormat(sanitize_trimmed(name)))
    }
}

/// Writes segments as they come, in order of time. It holds a cue or two; [`Format::Json`] also the
/// text, which comes last there.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    body: Body,
    unrecognized: Vec<Range<u64>>,
}

#[derive(Debug)]
enum Body {
    Text,
    Subtitles(Subtitles),
    Json(json::Json),
    JsonLines,
}

impl<W: Write> Writer<W> {
    /// Starts a file. Writes are small: give it a buffered `out`.
    ///
    /// # Errors
    ///
    /// Errors of `out`.
    pub fn begin(format: Format, out: W) -> io::Result<Self> {
        Self::with_layout(format, CueLayout::default(), out)
    }

    /// Starts a file whose cues, if it has some, have this layout.
    ///
    /// # Errors
    ///
    /// Errors of `out`.
    pub fn with_layout(format: Format, layout: CueLayout, mut out: W) -> io::Result<Self> {
        let mut subtitles = |syntax| Subtitles::begin(syntax, layout, &mut out).map(Body::Subtitles);
        let body = match format {
            Format::Text => Body::Text,
            Format::Srt => subtitles(Syntax::Srt)?,
            Format::Vtt => subtitles(Syntax::Vtt)?,
            Format::Json => Body::Json(json::Json::begin(&mut out)?),
            Format::JsonLines => Body::JsonLines,
        };
        Ok(Self { out, body, unrecognized: Vec::new() })
    }

    /// Adds a segment. Subtitles of it may be written only with the next one, whose start limits
    /// them.
    ///
    /// # Errors
    ///
    /// Errors of `out`.
    pub fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        match &mut self.body {
            Body::Text => match sanitize_trimmed(&segment.text) {
                text if text.is_empty() => Ok(()),
                text => writeln!(self.out, "{text}"),
            },
            Body::Subtitles(subtitles) => subtitles.segment(segment, &mut self.out),
            Body::Json(json) => json.segment(segment, &mut self.out),
            Body::JsonLines => json::line(segment, &mut self.out),
        }
    }

    /// Adds an event of a session: a complete utterance as a segment, and in [`Format::JsonLines`]
    /// also the hypothesis for a running one. The output is flushed.
    ///
    /// # Errors
    ///
    /// Errors of `out`.
    pub fn event(&mut self, event: &SessionEvent) -> io::Result<()> {
        match (event, &self.body) {
            (SessionEvent::Partial { utterance, committed, tentative }, Body::JsonLines) => {
                json::partial_line(*utterance, committed, tentative, &mut self.out)?;
            }
            (SessionEvent::Unrecognized { position, len }, Body::JsonLines) => {
                json::unrecognized_line(&(*position..position + len), &mut self.out)?;
            }
            (SessionEvent::Unrecognized { position, len }, _) => {
                self.unrecognized(&(*position..position + len));
                return Ok(());
            }
            _ => match event.segment() {
                Some(segment) => self.segment(&segment)?,
                None => return Ok(()),
            },
        }
        self.out.flush()
    }

    /// Notes voice in which no words were recognized, as samples: [`Format::Json`] and
    /// [`Format::JsonLines`] list it at the end.
    pub fn unrecognized(&mut self, samples: &Range<u64>) {
        self.unrecognized.push(samples.clone());
    }

    /// Ends the file and gives `out` back, flushed. `duration` is the input's length in samples at
    /// 16 kHz.
    ///
    /// # Errors
    ///
    /// Errors of `out`.
    pub fn end(mut self, language: Option<&Language>, duration: u64) -> io::Result<W> {
        match self.body {
            Body::Text => {}
            Body::Subtitles(subtitles) => subtitles.end(&mut self.out)?,
            Body::Json(json) => json.end(language, duration, &self.unrecognized, &mut self.out)?,
            Body::JsonLines => json::last_line(language, duration, &self.unrecognized, &mut self.out)?,
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Samples at 16 kHz in whole milliseconds, rounded down so that order is kept.
fn milliseconds(samples: u64) -> u64 {
    samples / (u64::from(crate::SAMPLE_RATE) / 1000)
}

/// Seconds with three decimals: the nearest double to a whole number of milliseconds prints as
/// such.
pub fn seconds(samples: u64) -> f64 {
    milliseconds(samples) as f64 / 1000.0
}

#[cfg(test)]
mod tests;
