//! Multipart form of a client.

use std::error::Error as _;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use hearken::{Bias, language_code};
use multer::{Constraints, Field, Multipart, SizeLimit};

use crate::phrases;
use crate::rejection::{Rejection, quote};
use crate::upload::{Room, Upload, paced};
use crate::values;

/// Longest value of a field that is not a file.
const MAX_FIELD: u64 = 16 << 10;
/// Room for boundaries, headers and small fields beside the file.
const OVERHEAD: u64 = 1 << 20;
/// Longest preamble, and longest headers of a part. The parser keeps them, and looks through all of
/// them again with each piece that comes.
const MAX_HEADERS: usize = 16 << 10;
/// Most parts: OpenAI has a dozen, some of them several times.
const MAX_PARTS: usize = 100;

/// Fields that some clients send with a file's name, as they do the recording.
const FIELDS: [&str; 10] = [
    "include",
    "keywords",
    "language",
    "languages",
    "model",
    "prompt",
    "response_format",
    "stream",
    "temperature",
    "timestamp_granularities",
];

/// Requested response format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Text,
    Srt,
    VerboseJson,
    Vtt,
}

/// A request, read to its end.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) file: File,
    pub(super) model: Option<String>,
    pub(super) language: Option<String>,
    /// Languages to detect among; empty for all.
    pub(super) languages: Vec<String>,
    /// The prompt, and the keywords behind it.
    pub(super) prompt: Option<String>,
    /// The keywords.
    pub(super) bias: Bias,
    pub(super) form: Form,
    pub(super) words: bool,
    pub(super) segments: bool,
    pub(super) logprobs: bool,
    pub(super) stream: bool,
}

/// Fields as they come, before they are checked against each other.
#[derive(Default)]
struct Fields {
    file: Option<File>,
    model: Option<String>,
    language: Option<String>,
    languages: Vec<String>,
    prompt: Option<String>,
    keywords: Vec<String>,
    form: Option<String>,
    granularities: Vec<String>,
    logprobs: bool,
    stream: bool,
}

/// The name of a field without the brackets in which arrays are written: `include[]`, `include[0]`.
pub(crate) fn field_name(name: &str) -> &str {
    match name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
        Some((name, index)) if index.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    }
}

/// The language that is meant by one name, and those to detect among that are meant by a list.
pub(crate) fn languages_of(language: Option<&str>, languages: &[String]) -> (Option<String>, Vec<String>) {
    let many = languages.iter().map(|language| language_code(language)).collect::<Option<Vec<_>>>();
    match (language.and_then(language_code), many.unwrap_or_default()) {
        (Some(one), _) => (Some(one), Vec::new()),
        (None, many) if many.len() == 1 => (many.into_iter().next(), Vec::new()),
        (None, many) => (None, many),
    }
}

/// Reads the form; the file goes to disk as it comes, up to the available room.
pub(super) async fn read(headers: &HeaderMap, body: Body, room: &dyn Room) -> Result<Request, Rejection> {
    let limit = room.limit();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(|_| {
        Rejection::malformed("send the request as multipart/form-data, with the recording as its part `file`")
    })?;
    // A stated length is believed when it is too long.
    let stated =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|stated| stated > limit + OVERHEAD) {
        return Err(Rejection::TooLarge(limit));
    }
    let sizes = SizeLimit::new().whole_stream(limit + OVERHEAD);
    let constraints = Constraints::new().size_limit(sizes);
    let unread = Unread::default();
    let mut form = Multipart::with_constraints(unread.watch(paced(body)), boundary, constraints);
    let mut fields = Fields::default();
    let mut parts = 0;
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error, limit))? {
        parts += 1;
        if parts > MAX_PARTS {
            return Err(Rejection::malformed(
                "the form has more than a hundred parts; send those that are documented",
            ));
        }
        unread.clear();
        fields.take(field, room, &unread).await?;
    }
    fields.check()
}

/// Bytes that the parser was given since it last gave something back.
#[derive(Default)]
struct Unread(Arc<AtomicUsize>);

impl Unread {
    /// Passes the pieces on; an error where the parser wants more though it has more than a part's
    /// headers may be.
    fn watch(
        &self,
        pieces: impl Stream<Item = Result<Bytes, Rejection>> + Send + Unpin,
    ) -> impl Stream<Item = Result<Bytes, Rejection>> + Send {
        let unread = Arc::clone(&self.0);
        pieces.map(move |piece| {
            let piece = piece?;
            if unread.fetch_add(piece.len(), Relaxed) > MAX_HEADERS {
                return Err(Rejection::malformed(format!(
                    "the form has more than {MAX_HEADERS} bytes before a part, or in its headers"
                )));
            }
            Ok(piece)
        })
    }

    fn clear(&self) {
        self.0.store(0, Relaxed);
    }
}

impl Fields {
    async fn take(
        &mut self,
        mut field: Field<'_>,
        room: &dyn Room,
        unread: &Unread,
    ) -> Result<(), Rejection> {
        let limit = room.limit();
        let name = field_name(field.name().unwrap_or_default()).to_owned();
        if name == "file" {
            if self.file.is_some() {
                return Err(Rejection::invalid("file", "there are two parts `file`; send one recording"));
            }
            let mut upload = Upload::new(room).await?;
            while let Some(piece) = field.chunk().await.map_err(|error| broken(&error, limit))? {
                unread.clear();
                upload.write(&piece).await?;
            }
            unread.clear();
            self.file = Some(upload.finish().await?);
            return Ok(());
        }
        if field.file_name().is_some() && !FIELDS.contains(&name.as_str()) {
            return Err(Rejection::invalid(
                "file",
                format!("the recording came as the part {}; send it as the part `file`", quote(&name)),
            ));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = field.chunk().await.map_err(|error| broken(&error, limit))? {
            if bytes.len() as u64 + piece.len() as u64 > MAX_FIELD {
                return Err(Rejection::malformed(format!(
                    "the field {} is longer than {MAX_FIELD} bytes",
                    quote(&name)
                )));
            }
            unread.clear();
            bytes.extend_from_slice(&piece);
        }
        unread.clear();
        let text = String::from_utf8(bytes)
            .map_err(|_| Rejection::malformed(format!("the field {} is not UTF-8", quote(&name))))?;
        // Forms send fields that were left empty.
        if text.trim().is_empty() {
            return Ok(());
        }
        let word = text.trim();
        match name.as_str() {
            "model" => self.model = Some(word.to_owned()),
            "language" => self.language = Some(text),
            "languages" => self.languages.push(text),
            "prompt" => self.prompt = Some(text),
            "keywords" => {
                self.keywords.push(word.to_owned());
                phrases::check("keywords", &self.keywords)?;
            }
            "response_format" => self.form = Some(word.to_ascii_lowercase()),
            "timestamp_granularities" => self.granularities.push(word.to_ascii_lowercase()),
            "include" => self.logprobs |= word == "logprobs",
            "stream" => {
                self.stream = values::flag(word).ok_or_else(|| {
                    Rejection::invalid("stream", format!("stream is true or false, not {}", quote(word)))
                })?;
            }
            "temperature" => check_temperature(word)?,
            // Others are for models of other vendors: docs/server.md lists them.
            _ => {}
        }
        Ok(())
    }

    fn check(self) -> Result<Request, Rejection> {
        let form = match self.form.as_deref().unwrap_or("json") {
            "json" => Form::Json,
            "text" => Form::Text,
            "srt" => Form::Srt,
            "verbose_json" => Form::VerboseJson,
            "vtt" => Form::Vtt,
            other => {
                return Err(Rejection::invalid(
                    "response_format",
                    format!("response_format is json, text, srt, verbose_json or vtt, not {}", quote(other)),
                ));
            }
        };
        if let Some(other) =
            self.granularities.iter().find(|name| !["word", "segment"].contains(&name.as_str()))
        {
            return Err(Rejection::invalid(
                "timestamp_granularities",
                format!("{} is no granularity; use word or segment", quote(other)),
            ));
        }
        if !self.granularities.is_empty() && form != Form::VerboseJson {
            return Err(Rejection::invalid(
                "timestamp_granularities",
                "timestamp_granularities need response_format=verbose_json",
            ));
        }
        if self.stream && !matches!(form, Form::Json | Form::Text) {
            return Err(Rejection::invalid(
                "stream",
                "stream=true sends text as it comes; use response_format=json",
            ));
        }
        let (language, languages) = languages_of(self.language.as_deref(), &self.languages);
        let asked = |name: &str| self.granularities.iter().any(|granularity| granularity == name);
        Ok(Request {
            words: asked("word"),
            segments: self.granularities.is_empty() || asked("segment"),
            file: self
                .file
                .ok_or_else(|| Rejection::invalid("file", "the form has no part `file`; send a recording"))?,
            model: self.model,
            language,
            languages,
            prompt: phrases::prompt(self.prompt, &self.keywords),
            bias: phrases::bias(&self.keywords),
            logprobs: self.logprobs,
            form,
            stream: self.stream,
        })
    }
}

/// The decoder chooses its temperature itself, as OpenAI's does at 0; other values are accepted and
/// not used.
fn check_temperature(text: &str) -> Result<(), Rejection> {
    match text.parse::<f32>() {
        Ok(temperature) if (0.0..=1.0).contains(&temperature) => Ok(()),
        _ => Err(Rejection::invalid(
            "temperature",
            format!("temperature is a number from 0 to 1, not {}", quote(text)),
        )),
    }
}

/// Why a form cannot be read.
fn broken(error: &multer::Error, limit: u64) -> Rejection {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            return Rejection::TooLarge(limit);
        }
        multer::Error::IncompleteStream
        | multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteHeaders => return Rejection::Incomplete,
        _ => {}
    }
    match error.source().and_then(|source| source.downcast_ref::<Rejection>()) {
        Some(Rejection::TooSlow) => Rejection::TooSlow,
        Some(Rejection::Invalid { message, .. }) => Rejection::malformed(message.clone()),
        Some(_) => Rejection::Incomplete,
        None => Rejection::malformed(format!("the form cannot be read: {}", quote(&error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_written_in_three_ways() {
        for name in ["include", "include[]", "include[0]", "include[12]"] {
            assert_eq!(field_name(name), "include");
        }
        for name in ["include[x]", "include]", "[", ""] {
            assert_eq!(field_name(name), name);
        }
    }

    #[test]
    fn one_language_is_it_and_several_are_detected_among() {
        let of = |one: Option<&str>, many: &[&str]| {
            languages_of(one, &many.iter().map(|&language| language.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(of(Some("EN"), &["de"]), (Some("en".into()), vec![]));
        assert_eq!(of(Some("auto"), &["German"]), (Some("de".into()), vec![]));
        assert_eq!(of(None, &["en-US", "es"]), (None, vec!["en".into(), "es".into()]));
        assert_eq!(of(None, &["en", "auto"]), (None, vec![]));
        assert_eq!(of(None, &[]), (None, vec![]));
    }
}
