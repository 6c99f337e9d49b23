//! Transcripts in OpenAI's forms.

use std::io::Write;

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use hearken::formats::{Format, seconds};
use hearken::service::language_name;
use hearken::text::sanitize_trimmed;
use hearken::{Segment, Transcript, Word};
use serde::Serialize;

use super::form::{Form, Request};
use crate::recording::warnings;

/// A language, in the list of detected ones.
#[derive(Debug, Serialize)]
pub(crate) struct Heard {
    code: String,
}

impl Heard {
    /// The list: of one language, or none.
    pub(crate) fn of(code: Option<&str>) -> Vec<Self> {
        code.map(|code| Self { code: code.to_owned() }).into_iter().collect()
    }
}

/// Probability of a piece of the text. OpenAI's pieces are tokens, ours are words with the space
/// before them.
#[derive(Debug, Serialize)]
pub(crate) struct LogProb {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

/// Minimum logarithm in answers: the impossible has none.
const LEAST_LOGPROB: f32 = -100.0;

impl LogProb {
    /// Tokens of words; a space comes before the first of them too if `behind` others.
    pub(crate) fn of<'a>(words: impl IntoIterator<Item = &'a Word>, behind: bool) -> Vec<Self> {
        let piece = |(index, word): (usize, &Word)| {
            let text = sanitize_trimmed(&word.text);
            let token = if index == 0 && !behind { text } else { format!(" {text}") };
            let logprob = word.probability.ln().max(LEAST_LOGPROB);
            Self { bytes: token.clone().into_bytes(), token, logprob }
        };
        words.into_iter().enumerate().map(piece).collect()
    }
}

/// All words of a transcript.
pub(super) fn words(transcript: &Transcript) -> impl Iterator<Item = &Word> {
    transcript.segments.iter().flat_map(|segment| &segment.words)
}

#[derive(Serialize)]
struct Plain {
    text: String,
    languages: Vec<Heard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<LogProb>>,
    usage: Usage,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Verbose {
    task: &'static str,
    language: String,
    duration: f64,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<VerboseWord>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<VerboseSegment>>,
    usage: Usage,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct VerboseWord {
    word: String,
    start: f64,
    end: f64,
}

#[derive(Serialize)]
struct VerboseSegment {
    id: usize,
    /// Start, in hundredths of a second.
    seek: u64,
    start: f64,
    end: f64,
    text: String,
    tokens: Vec<u32>,
    /// Temperature at which decoding starts; fallbacks are not reported.
    temperature: f32,
    avg_logprob: f32,
    compression_ratio: f64,
    no_speech_prob: f32,
}

/// Usage, as billed elsewhere: seconds of audio, begun ones included.
#[derive(Serialize)]
pub(super) struct Usage {
    #[serde(rename = "type")]
    kind: &'static str,
    seconds: u64,
}

impl Usage {
    pub(super) fn of(transcript: &Transcript) -> Self {
        Self { kind: "duration", seconds: transcript.duration.div_ceil(u64::from(hearken::SAMPLE_RATE)) }
    }
}

/// The answer to a request that did not ask for a stream.
pub(super) fn answer(transcript: &Transcript, request: &Request, translated: bool) -> Response {
    let text = sanitize_trimmed(&transcript.text());
    match request.form {
        Form::Json => {
            let plain = Plain {
                text,
                languages: languages(transcript),
                logprobs: request.logprobs.then(|| LogProb::of(words(transcript), false)),
                usage: Usage::of(transcript),
                warnings: warnings(transcript),
            };
            Json(plain).into_response()
        }
        Form::VerboseJson => Json(verbose(transcript, text, request, translated)).into_response(),
        Form::Text => plain("text/plain; charset=utf-8", text + "\n"),
        Form::Srt => plain("application/x-subrip; charset=utf-8", subtitles(transcript, Format::Srt)),
        Form::Vtt => plain("text/vtt; charset=utf-8", subtitles(transcript, Format::Vtt)),
    }
}

/// Detected languages.
pub(super) fn languages(transcript: &Transcript) -> Vec<Heard> {
    Heard::of(transcript.language.as_ref().map(|language| language.code.as_str()))
}

fn plain(kind: &'static str, body: String) -> Response {
    // A model's text must not become a page, whatever a browser takes it for.
    ([(header::CONTENT_TYPE, kind), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], body).into_response()
}

fn subtitles(transcript: &Transcript, format: Format) -> String {
    let mut out = Vec::new();
    // Writing into memory does not fail, and the output is UTF-8.
    let _ = format.write(transcript, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn verbose(transcript: &Transcript, text: String, request: &Request, translated: bool) -> Verbose {
    let code = transcript.language.as_ref().map_or("en", |language| language.code.as_str());
    let words = request.words.then(|| {
        let word = |word: &Word| VerboseWord {
            word: sanitize_trimmed(&word.text),
            start: seconds(word.start),
            end: seconds(word.end),
        };
        self::words(transcript).map(word).collect()
    });
    let segments = request.segments.then(|| transcript.segments.iter().enumerate().map(segment).collect());
    Verbose {
        task: if translated { "translate" } else { "transcribe" },
        language: language_name(code).unwrap_or(code).to_owned(),
        duration: seconds(transcript.duration),
        text,
        words,
        segments,
        usage: Usage::of(transcript),
        warnings: warnings(transcript),
    }
}

fn segment((id, segment): (usize, &Segment)) -> VerboseSegment {
    let text = sanitize_trimmed(&segment.text);
    VerboseSegment {
        id,
        seek: segment.start * 100 / u64::from(hearken::SAMPLE_RATE),
        start: seconds(segment.start),
        end: seconds(segment.end),
        compression_ratio: compression_ratio(&text),
        text,
        tokens: segment.tokens.clone(),
        temperature: 0.0,
        // Clients want numbers: what is not known is what tells them nothing.
        avg_logprob: segment.avg_logprob.unwrap_or_default(),
        no_speech_prob: segment.no_speech.unwrap_or_default(),
    }
}

/// Length of the text over its length compressed by zlib, as Whisper has it: above 2.4 it repeats
/// itself.
fn compression_ratio(text: &str) -> f64 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    compressed.map_or(0.0, |compressed| text.len() as f64 / compressed.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_with_their_probabilities_are_the_text() {
        let word =
            |text: &str, probability: f32| Word { text: text.to_owned(), probability, ..Word::default() };
        let words = [word("Go", 1.0), word("left.", 0.25), word("Größe", 0.0)];
        let pieces = LogProb::of(&words, false);
        assert_eq!(pieces.iter().map(|piece| piece.token.as_str()).collect::<String>(), "Go left. Größe");
        assert_eq!(pieces[2].bytes, " Größe".as_bytes());
        assert!(pieces[0].logprob == 0.0 && (pieces[1].logprob - 0.25_f32.ln()).abs() < 1e-3, "{pieces:?}");
        assert_eq!(pieces[2].logprob, LEAST_LOGPROB, "JSON has no infinity");
        assert_eq!(LogProb::of(&words[..1], true)[0].token, " Go");
    }

    #[test]
    fn text_that_repeats_itself_shows_in_its_ratio() {
        assert!(compression_ratio(&"one two ".repeat(50)) > 10.0);
        let plain = compression_ratio("seven three nine two zero five");
        assert!((0.5..1.2).contains(&plain), "{plain}");
        assert_eq!(compression_ratio(""), 0.0);
    }
}
