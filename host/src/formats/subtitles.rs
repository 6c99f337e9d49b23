//! SubRip and WebVTT.

use std::io::{self, Write};

use super::cues::{Cue, Cutter};
use super::layout::CueLayout;
use crate::Segment;

/// Subtitle syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Srt,
    Vtt,
}

/// A subtitle file under way.
#[derive(Debug)]
pub(super) struct Subtitles {
    syntax: Syntax,
    /// Words have times.
    word_times: bool,
    cutter: Cutter,
    /// Cues written.
    count: u64,
}

impl Subtitles {
    pub(super) fn begin(syntax: Syntax, layout: CueLayout, out: &mut impl Write) -> io::Result<Self> {
        write_header(syntax, out)?;
        Ok(Self { syntax, word_times: layout.word_times, cutter: Cutter::new(layout), count: 0 })
    }

    pub(super) fn segment(&mut self, segment: &Segment, out: &mut impl Write) -> io::Result<()> {
        let (syntax, word_times, count) = (self.syntax, self.word_times, &mut self.count);
        self.cutter.segment(segment, |cue| {
            *count += 1;
            write_cue(syntax, *count, &cue, None, word_times, out)
        })
    }

    pub(super) fn end(self, out: &mut impl Write) -> io::Result<()> {
        match self.cutter.end() {
            Some(cue) => write_cue(self.syntax, self.count + 1, &cue, None, self.word_times, out),
            None => Ok(()),
        }
    }
}

/// Writes a file of cues, each of which has the name of a speaker.
pub(super) fn write_labeled<'a>(
    syntax: Syntax,
    cues: impl Iterator<Item = (String, &'a Cue)>,
    word_times: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    write_header(syntax, out)?;
    for (number, (label, cue)) in (1..).zip(cues) {
        write_cue(syntax, number, cue, Some(&label), word_times, out)?;
    }
    Ok(())
}

fn write_header(syntax: Syntax, out: &mut impl Write) -> io::Result<()> {
    match syntax {
        Syntax::Srt => Ok(()),
        Syntax::Vtt => out.write_all(b"WEBVTT\n\n"),
    }
}

fn write_cue(
    syntax: Syntax,
    number: u64,
    cue: &Cue,
    label: Option<&str>,
    word_times: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    if syntax == Syntax::Srt {
        writeln!(out, "{number}")?;
    }
    writeln!(out, "{} --> {}", time(syntax, cue.start), time(syntax, cue.end))?;
    match (syntax, label) {
        (_, None) => {}
        (Syntax::Srt, Some(label)) => write!(out, "{label}: ")?,
        (Syntax::Vtt, Some(label)) => write!(out, "<v {label}>")?,
    }
    for (line, times) in cue.lines.iter().zip(&cue.times) {
        match syntax {
            Syntax::Srt => writeln!(out, "{}", escape_srt(line))?,
            Syntax::Vtt => {
                let mut written = 0;
                for &(at, begins) in times.iter().filter(|_| word_times) {
                    let text = line.get(written..at).unwrap_or_default();
                    write!(out, "{}<{}>", escape_vtt(text), time(syntax, begins))?;
                    written = at;
                }
                writeln!(out, "{}", escape_vtt(line.get(written..).unwrap_or_default()))?;
            }
        }
    }
    writeln!(out)
}

fn time(syntax: Syntax, ms: u64) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let point = if syntax == Syntax::Srt { ',' } else { '.' };
    format!("{hours:02}:{minutes:02}:{seconds:02}{point}{ms:03}")
}

/// WebVTT has character references. Without `>` there is no `-->` either.
fn escape_vtt(line: &str) -> String {
    line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// SubRip has no escapes, but players read HTML-like tags, `{\…}` overrides, and `-->`; characters
/// that look alike take the place of those that would start one.
fn escape_srt(line: &str) -> String {
    let line = line.replace("-->", "--›").replace("{\\", "(\\");
    let mut escaped = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let tag =
            c == '<' && chars.peek().is_some_and(|next| next.is_ascii_alphabetic() || "/!?".contains(*next));
        escaped.push(if tag { '‹' } else { c });
    }
    escaped
}
