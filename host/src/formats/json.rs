//! Transcripts as JSON.

use std::io::{self, Write};
use std::ops::Range;

use serde::Serialize;

use super::seconds;
use crate::text::sanitize_trimmed;
use crate::{Language, Segment, Transcript, Word};

#[derive(Serialize)]
struct JsonWord {
    word: String,
    start: f64,
    end: f64,
    probability: f32,
}

#[derive(Serialize)]
struct JsonSegment<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    start: f64,
    end: f64,
    text: &'a str,
    words: Vec<JsonWord>,
    tokens: &'a [u32],
    avg_logprob: Option<f32>,
    no_speech_prob: Option<f32>,
}

impl<'a> JsonSegment<'a> {
    fn of(segment: &'a Segment, text: &'a str, kind: Option<&'static str>, id: Option<u64>) -> Self {
        Self {
            kind,
            channel: None,
            id,
            start: seconds(segment.start),
            end: seconds(segment.end),
            text,
            words: words(&segment.words),
            tokens: &segment.tokens,
            avg_logprob: segment.avg_logprob,
            no_speech_prob: segment.no_speech,
        }
    }
}

#[derive(Serialize)]
struct JsonPartial {
    #[serde(rename = "type")]
    kind: &'static str,
    utterance: f64,
    committed: Vec<JsonWord>,
    tentative: Vec<JsonWord>,
}

/// A list of segments under way, and the members written after it.
#[derive(Debug)]
pub(super) struct Json {
    text: String,
    count: u64,
}

impl Json {
    pub(super) fn begin(out: &mut impl Write) -> io::Result<Self> {
        out.write_all(b"{\"segments\":[")?;
        Ok(Self { text: String::new(), count: 0 })
    }

    pub(super) fn segment(&mut self, segment: &Segment, out: &mut impl Write) -> io::Result<()> {
        let text = sanitize_trimmed(&segment.text);
        if self.count > 0 {
            out.write_all(b",")?;
        }
        out.write_all(b"\n")?;
        write(segment, &text, None, Some(self.count), out)?;
        if !self.text.is_empty() && !text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(&text);
        self.count += 1;
        Ok(())
    }

    pub(super) fn end(
        self,
        language: Option<&Language>,
        duration: u64,
        unrecognized: &[Range<u64>],
        out: &mut impl Write,
    ) -> io::Result<()> {
        out.write_all(b"\n],\"text\":")?;
        serde_json::to_writer(&mut *out, &self.text)?;
        out.write_all(b",")?;
        summary(language, duration, unrecognized, out)?;
        out.write_all(b"}\n")
    }
}

/// A segment as a line of its own.
pub(super) fn line(segment: &Segment, out: &mut impl Write) -> io::Result<()> {
    write(segment, &sanitize_trimmed(&segment.text), Some("segment"), None, out)?;
    out.write_all(b"\n")
}

/// A segment of a channel, counted from 0, as a line of its own.
pub(super) fn channel_line(channel: usize, segment: &Segment, out: &mut impl Write) -> io::Result<()> {
    let text = sanitize_trimmed(&segment.text);
    let json =
        JsonSegment { channel: Some(channel), ..JsonSegment::of(segment, &text, Some("segment"), None) };
    serde_json::to_writer(&mut *out, &json)?;
    out.write_all(b"\n")
}

/// The end of a channel, counted from 0, as a line of its own.
pub(super) fn channel_end(channel: usize, transcript: &Transcript, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{{\"channel\":{channel},\"type\":\"end\",")?;
    summary(transcript.language.as_ref(), transcript.duration, &transcript.unrecognized, out)?;
    out.write_all(b"}\n")
}

/// Writes the hypothesis for a running utterance as a line of its own.
pub(super) fn partial_line(
    utterance: u64,
    committed: &[Word],
    tentative: &[Word],
    out: &mut impl Write,
) -> io::Result<()> {
    let json = JsonPartial {
        kind: "partial",
        utterance: seconds(utterance),
        committed: words(committed),
        tentative: words(tentative),
    };
    serde_json::to_writer(&mut *out, &json)?;
    out.write_all(b"\n")
}

/// Voice in which no words were recognized, as a line of its own.
pub(super) fn unrecognized_line(samples: &Range<u64>, out: &mut impl Write) -> io::Result<()> {
    let json = serde_json::json!({
        "type": "unrecognized",
        "start": seconds(samples.start),
        "end": seconds(samples.end),
    });
    writeln!(out, "{json}")
}

/// The line that tells that the file is whole.
pub(super) fn last_line(
    language: Option<&Language>,
    duration: u64,
    unrecognized: &[Range<u64>],
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(b"{\"type\":\"end\",")?;
    summary(language, duration, unrecognized, out)?;
    out.write_all(b"}\n")
}

fn write(
    segment: &Segment,
    text: &str,
    kind: Option<&'static str>,
    id: Option<u64>,
    out: &mut impl Write,
) -> io::Result<()> {
    let json = JsonSegment::of(segment, text, kind, id);
    Ok(serde_json::to_writer(out, &json)?)
}

fn words(words: &[Word]) -> Vec<JsonWord> {
    let json = |word: &Word| JsonWord {
        word: sanitize_trimmed(&word.text),
        start: seconds(word.start),
        end: seconds(word.end),
        probability: word.probability,
    };
    words.iter().map(json).collect()
}

/// The members about the whole recording, without braces.
fn summary(
    language: Option<&Language>,
    duration: u64,
    unrecognized: &[Range<u64>],
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(b"\"language\":")?;
    serde_json::to_writer(&mut *out, &language.map(|language| sanitize_trimmed(&language.code)))?;
    out.write_all(b",\"language_probability\":")?;
    serde_json::to_writer(&mut *out, &language.and_then(|language| language.probability))?;
    out.write_all(b",\"duration\":")?;
    serde_json::to_writer(&mut *out, &seconds(duration))?;
    let stretches: Vec<_> = unrecognized
        .iter()
        .map(|samples| serde_json::json!({ "start": seconds(samples.start), "end": seconds(samples.end) }))
        .collect();
    out.write_all(b",\"unrecognized\":")?;
    Ok(serde_json::to_writer(out, &stretches)?)
}
