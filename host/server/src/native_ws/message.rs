//! The messages of hearken's own protocol. Times are seconds with three decimals from the start of
//! the stream's audio.

use std::time::Duration;

use hearken::audio::{Format, VadConfig};
use hearken::formats::seconds;
use hearken::session::{SessionEvent, SessionOptions};
use hearken::text::sanitize_trimmed;
use serde::{Deserialize, Serialize};

use crate::phrases;
use crate::rejection::{Rejection, quote};
use crate::stream::Carrier;

/// Longest prompt, in bytes: more than any model's context holds.
pub(crate) const MAX_PROMPT: usize = 4 << 10;

/// Text message of a client.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum FromClient {
    /// The first message of a new stream.
    Start(Start),
    /// The first message of another connection to a stream.
    Resume {
        stream: String,
        /// Number of the last message that came.
        received: u64,
    },
    /// The utterance that runs ends here.
    Flush,
    /// No more audio comes.
    Finish,
    /// Everything up to this number came.
    #[serde(rename = "ack")]
    Acknowledge { seq: u64 },
}

/// Options of a stream.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    pub(super) model: Option<String>,
    language: Option<String>,
    #[serde(default)]
    translate: bool,
    prompt: Option<String>,
    /// Words and phrases to expect.
    #[serde(default)]
    keywords: Vec<String>,
    encoding: String,
    sample_rate: Option<u32>,
    #[serde(default = "one")]
    channels: u16,
    /// Each channel by itself.
    #[serde(default)]
    pub(super) separate_channels: bool,
    step_ms: Option<u64>,
    silence_ms: Option<u32>,
    /// Name under which others can watch the stream.
    pub(super) name: Option<String>,
}

fn one() -> u16 {
    1
}

impl FromClient {
    pub(super) fn parse(text: &str) -> Result<Self, Rejection> {
        serde_json::from_str(text).map_err(|error| {
            Rejection::malformed(format!(
                "{} is no message of this protocol: {}",
                quote(text),
                quote(&error.to_string())
            ))
        })
    }
}

impl Start {
    /// Returns the options of the session.
    pub(super) fn options(self) -> Result<(Carrier, SessionOptions), Rejection> {
        let (carrier, format) = if self.encoding == "container" {
            (Carrier::Container, Format::MODEL)
        } else {
            let encoding = self.encoding.parse().map_err(|error: hearken::audio::UnknownEncoding| {
                Rejection::invalid("encoding", format!("{error}, or container"))
            })?;
            let sample_rate = self
                .sample_rate
                .ok_or_else(|| Rejection::invalid("sample_rate", "this encoding needs a sample_rate"))?;
            let format = Format { sample_rate, channels: self.channels }.validate()?;
            (Carrier::Raw(encoding), format)
        };
        if self.prompt.as_ref().is_some_and(|prompt| prompt.len() > MAX_PROMPT) {
            return Err(Rejection::invalid(
                "prompt",
                format!("the prompt is longer than {MAX_PROMPT} bytes; shorten it"),
            ));
        }
        phrases::check("keywords", &self.keywords)?;
        let step = self.step_ms.unwrap_or(500);
        if !(100..=10_000).contains(&step) {
            return Err(Rejection::invalid("step_ms", "step_ms is 100 to 10000"));
        }
        let silence = self.silence_ms.unwrap_or(VadConfig::default().hangover_ms);
        if !(100..=10_000).contains(&silence) {
            return Err(Rejection::invalid("silence_ms", "silence_ms is 100 to 10000"));
        }
        let options = SessionOptions::new(format)
            .language(self.language.as_deref().and_then(hearken::language_code))
            .translate(self.translate)
            .prompt(phrases::prompt(self.prompt, &self.keywords))
            .bias(phrases::bias(&self.keywords))
            .voice_activity(VadConfig::default().hangover_ms(silence))
            .step(Duration::from_millis(step));
        Ok((carrier, options))
    }
}

/// A numbered message to the client.
#[derive(Debug, Serialize)]
pub(super) struct Said {
    pub(super) seq: u64,
    /// Frames of the client's audio that the server has taken in.
    pub(super) frames: u64,
    /// The event's channel, counted from 0, where channels are transcribed apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel: Option<usize>,
    #[serde(flatten)]
    pub(super) event: Event,
}

/// Message to a client.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Event {
    Started { stream: String, model: String, resume_seconds: u64 },
    SpeechStarted { at: f64 },
    SpeechEnded { at: f64 },
    Language { language: String, probability: Option<f32> },
    Partial { utterance: f64, committed: Vec<Word>, tentative: Vec<Word> },
    Final { utterance: f64, end: f64, text: String, words: Vec<Word> },
    Dropped { at: f64, duration: f64, reason: String },
    Unrecognized { at: f64, duration: f64 },
    Finished { duration: f64 },
    Error { code: &'static str, message: String, retry_after: Option<u64> },
}

#[derive(Debug, Serialize)]
pub(crate) struct Word {
    word: String,
    start: f64,
    end: f64,
    probability: f32,
}

/// Answer to a client that resumed, before the messages that it missed.
#[derive(Debug, Serialize)]
pub(super) struct Resumed {
    #[serde(rename = "type")]
    kind: &'static str,
    after: u64,
    frames: u64,
}

impl Resumed {
    pub(super) fn new(after: u64, frames: u64) -> Self {
        Self { kind: "resumed", after, frames }
    }
}

impl Event {
    /// The message for an event of the session.
    pub(crate) fn of(event: &SessionEvent) -> Option<Self> {
        Some(match event {
            SessionEvent::SpeechStarted { position } => Self::SpeechStarted { at: seconds(*position) },
            SessionEvent::SpeechEnded { position } => Self::SpeechEnded { at: seconds(*position) },
            SessionEvent::Language(language) => Self::Language {
                language: sanitize_trimmed(&language.code),
                probability: language.probability,
            },
            SessionEvent::Partial { utterance, committed, tentative } => Self::Partial {
                utterance: seconds(*utterance),
                committed: words(committed),
                tentative: words(tentative),
            },
            SessionEvent::Final { utterance, end, words: heard } => Self::Final {
                utterance: seconds(*utterance),
                end: seconds(*end),
                text: event.segment().map(|segment| segment.text).unwrap_or_default(),
                words: words(heard),
            },
            SessionEvent::Dropped { position, len, reason } => Self::Dropped {
                at: seconds(*position),
                duration: seconds(*len),
                reason: sanitize_trimmed(&reason.to_string()),
            },
            SessionEvent::Unrecognized { position, len } => {
                Self::Unrecognized { at: seconds(*position), duration: seconds(*len) }
            }
            SessionEvent::Finished { duration } => Self::Finished { duration: seconds(*duration) },
            _ => return None,
        })
    }

    pub(crate) fn error(rejection: &Rejection) -> Self {
        let retry_after = rejection.retry_after().map(|after| after.as_secs_f64().ceil() as u64);
        Self::Error { code: rejection.code(), message: rejection.to_string(), retry_after }
    }
}

fn words(words: &[hearken::Word]) -> Vec<Word> {
    let word = |word: &hearken::Word| Word {
        word: sanitize_trimmed(&word.text),
        start: seconds(word.start),
        end: seconds(word.end),
        probability: word.probability,
    };
    words.iter().map(word).collect()
}
