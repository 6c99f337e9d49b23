//! Transcripts of a recording's channels in one file.

use std::io::{self, Write};

use super::layout::CueLayout;
use super::subtitles::{self, Syntax};
use super::{Format, cues, json};
use crate::text::sanitize_trimmed;
use crate::{Segment, Transcript};

/// The name of a channel for people, who count from 1.
fn label(channel: usize) -> String {
    format!("Channel {}", channel + 1)
}

/// The segments of all channels in order of time, with their channels.
fn segments(channels: &[Transcript]) -> Vec<(usize, &Segment)> {
    let mut all = Vec::new();
    for (channel, transcript) in channels.iter().enumerate() {
        all.extend(transcript.segments.iter().map(|segment| (channel, segment)));
    }
    all.sort_by_key(|(channel, segment)| (segment.start, *channel));
    all
}

impl Format {
    /// Writes the transcripts of a recording's channels, of the first channel first. Subtitles have
    /// this layout.
    ///
    /// Text has a line for each segment, in order of time, which begins with `Channel 1:`. In
    /// subtitles each channel has cues of its own, which may overlap those of others; SubRip's text
    /// begins with the channel, WebVTT has it as a voice. JSON has an object with `channels`, each
    /// as [`Json`](Self::Json) with its number in `channel`, from 0; the segments and ends of JSON
    /// lines have that number.
    ///
    /// # Errors
    ///
    /// Errors of `out`.
    pub fn write_channels(
        self,
        channels: &[Transcript],
        layout: CueLayout,
        out: &mut impl Write,
    ) -> io::Result<()> {
        match self {
            Self::Text => {
                for (channel, segment) in segments(channels) {
                    let text = sanitize_trimmed(&segment.text);
                    if !text.is_empty() {
                        writeln!(out, "{}: {text}", label(channel))?;
                    }
                }
            }
            Self::Srt => write_cues(Syntax::Srt, channels, layout, out)?,
            Self::Vtt => write_cues(Syntax::Vtt, channels, layout, out)?,
            Self::Json => {
                out.write_all(b"{\"channels\":[")?;
                for (channel, transcript) in channels.iter().enumerate() {
                    let comma = if channel > 0 { "," } else { "" };
                    write!(out, "{comma}\n{{\"channel\":{channel},\"transcript\":")?;
                    self.write(transcript, out)?;
                    out.write_all(b"}")?;
                }
                out.write_all(b"\n]}\n")?;
            }
            Self::JsonLines => {
                for (channel, segment) in segments(channels) {
                    json::channel_line(channel, segment, out)?;
                }
                for (channel, transcript) in channels.iter().enumerate() {
                    json::channel_end(channel, transcript, out)?;
                }
            }
        }
        out.flush()
    }
}

fn write_cues(
    syntax: Syntax,
    channels: &[Transcript],
    layout: CueLayout,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut all = Vec::new();
    for (channel, transcript) in channels.iter().enumerate() {
        all.extend(cues::of_segments(&transcript.segments, layout).into_iter().map(|cue| (channel, cue)));
    }
    all.sort_by_key(|(channel, cue)| (cue.start, *channel));
    let cues = all.iter().map(|(channel, cue)| (label(*channel), cue));
    subtitles::write_labeled(syntax, cues, layout.word_times, out)
}
