//! Session settings: the present form of them, and the beta's, which many clients still use.

use std::time::Duration;

use hearken::Model;
use hearken::audio::{Encoding, Format, VadConfig};
use hearken::session::{CommitPolicy, SessionOptions};
use serde_json::{Value, json};

use super::pause::Level;
use crate::openai::languages_of;
use crate::phrases;
use crate::rejection::{Rejection, quote};
use crate::values;

/// Value of `include` that asks for the probabilities of words.
const LOGPROBS: &str = "item.input_audio_transcription.logprobs";
/// OpenAI's models that detect no voice activity, by the beginning of their names. Their clients
/// commit, and leave `turn_detection` out.
const WITHOUT_DETECTION: [&str; 2] = ["gpt-realtime-whisper", "gpt-live-transcribe"];
/// Longest prompt, in bytes.
const MAX_PROMPT: usize = 4 << 10;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setup {
    pub(super) model: Option<String>,
    language: Option<String>,
    languages: Vec<String>,
    prompt: Option<String>,
    keywords: Vec<String>,
    delay: Option<Delay>,
    encoding: Encoding,
    sample_rate: u32,
    /// Turn detection; `None`: the client commits.
    pub(super) turn: Option<Turn>,
    /// True if texts have the probabilities of their words.
    pub(super) logprobs: bool,
    beta: bool,
}

/// Voice activity in OpenAI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    prefix_padding_ms: u32,
    silence_duration_ms: u32,
    /// Eagerness of `semantic_vad`, which sets the pause that ends a turn.
    eagerness: Option<Eagerness>,
}

impl Default for Turn {
    fn default() -> Self {
        Self { prefix_padding_ms: 300, silence_duration_ms: 500, eagerness: None }
    }
}

/// Eagerness to take a pause for the end of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Eagerness {
    Low,
    /// OpenAI's `auto` is the same.
    Medium,
    High,
}

impl Eagerness {
    const NAMES: [(&str, Self); 4] =
        [("low", Self::Low), ("medium", Self::Medium), ("auto", Self::Medium), ("high", Self::High)];

    /// Silence that ends a turn [ms]. OpenAI waits for up to 8, 4 and 2 s where a sentence seems
    /// unfinished; here there is no such estimate.
    fn silence_ms(self) -> u32 {
        match self {
            Self::Low => 1_500,
            Self::Medium => 800,
            Self::High => 400,
        }
    }
}

/// Delay of words until they are certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delay {
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
}

impl Delay {
    const NAMES: [(&str, Self); 5] = [
        ("minimal", Self::Minimal),
        ("low", Self::Low),
        ("medium", Self::Medium),
        ("high", Self::High),
        ("xhigh", Self::XHigh),
    ];

    /// Commit policy, and the minimum of new speech between hypotheses.
    fn commit(self) -> (CommitPolicy, Duration) {
        let step = Duration::from_millis;
        let agreement = |hypotheses, doubtful, early| CommitPolicy::Agreement {
            hypotheses,
            doubtful,
            likely: 90,
            early: step(early),
            margin: Duration::ZERO,
        };
        match self {
            Self::Minimal => (CommitPolicy::ATTENTION, step(200)),
            Self::Low => (agreement(2, 2, 0), step(300)),
            Self::Medium => (CommitPolicy::AGREEMENT, step(300)),
            Self::High => (agreement(3, 5, 400), step(400)),
            Self::XHigh => (agreement(4, 6, 500), step(500)),
        }
    }
}

/// The one of a few values that a text names.
fn one_of<T: Copy>(
    parameter: &'static str,
    name: &str,
    value: &Value,
    names: &[(&str, T)],
) -> Result<T, Rejection> {
    let found =
        value.as_str().and_then(|text| names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let all: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        Rejection::invalid(
            parameter,
            format!("{name} is one of {}, not {}", all.join(", "), quote(&value.to_string())),
        )
    })
}

/// The name of a value among those that may be written.
fn name_of<T: PartialEq>(value: T, names: &[(&'static str, T)]) -> Option<&'static str> {
    names.iter().find(|(_, other)| *other == value).map(|(name, _)| *name)
}

/// Returns true if clients of this model commit turns unless they say otherwise.
fn commits(model: Option<&str>) -> bool {
    model.is_some_and(|model| WITHOUT_DETECTION.iter().any(|name| model.starts_with(name)))
}

impl Setup {
    pub(super) fn new(model: Option<String>, beta: bool) -> Self {
        let turn = (!commits(model.as_deref())).then(Turn::default);
        Self {
            model,
            language: None,
            languages: Vec::new(),
            prompt: None,
            keywords: Vec::new(),
            delay: None,
            encoding: Encoding::S16Le,
            sample_rate: 24_000,
            turn,
            logprobs: false,
            beta,
        }
    }

    pub(super) fn created_event(&self) -> &'static str {
        if self.beta { "transcription_session.created" } else { "session.created" }
    }

    pub(super) fn updated_event(&self) -> &'static str {
        if self.beta { "transcription_session.updated" } else { "session.updated" }
    }

    /// The settings after an update: members that the update does not name stay.
    pub(super) fn updated(&self, session: &Value) -> Result<Self, Rejection> {
        let mut setup = self.clone();
        if let Some(kind) = session.get("type").filter(|kind| *kind != "transcription") {
            return Err(Rejection::unsupported(
                "session.type",
                format!("{} sessions are not served; use type transcription", quote(&kind.to_string())),
            ));
        }
        if let Some(input) = session.pointer("/audio/input") {
            if let Some(format) = input.get("format") {
                setup.set_format(format)?;
            }
            setup.set_transcription(input.get("transcription"))?;
            setup.set_turn(input.get("turn_detection"))?;
        }
        // The beta's form of the same.
        if let Some(name) = session.get("input_audio_format") {
            let kind = match name.as_str() {
                Some("pcm16") => json!({ "type": "audio/pcm" }),
                Some("g711_ulaw") => json!({ "type": "audio/pcmu" }),
                Some("g711_alaw") => json!({ "type": "audio/pcma" }),
                _ => json!({ "type": name }),
            };
            setup.set_format(&kind)?;
        }
        setup.set_transcription(session.get("input_audio_transcription"))?;
        setup.set_turn(session.get("turn_detection"))?;
        match session.get("include") {
            None => {}
            Some(Value::Null) => setup.logprobs = false,
            Some(include) => {
                setup.logprobs =
                    texts("session.include", "include", include)?.iter().any(|name| name == LOGPROBS);
            }
        }
        Ok(setup)
    }

    fn set_format(&mut self, format: &Value) -> Result<(), Rejection> {
        let wrong = |message: String| Err(Rejection::invalid("session.audio.input.format", message));
        let rate = match format.get("rate") {
            None | Some(Value::Null) => None,
            Some(rate) => match values::whole_json(rate).and_then(|rate| u32::try_from(rate).ok()) {
                Some(rate) => Some(rate),
                None => return wrong("rate is a number of samples a second".to_owned()),
            },
        };
        let (encoding, default) = match format.get("type").and_then(Value::as_str) {
            Some("audio/pcm") => (Encoding::S16Le, 24_000),
            Some("audio/pcmu") => (Encoding::MuLaw, 8_000),
            Some("audio/pcma") => (Encoding::ALaw, 8_000),
            _ => return wrong("the format's type is audio/pcm, audio/pcmu or audio/pcma".to_owned()),
        };
        let sample_rate = rate.unwrap_or(default);
        if let Err(error) = (Format { sample_rate, channels: 1 }).validate() {
            return wrong(error.to_string());
        }
        (self.encoding, self.sample_rate) = (encoding, sample_rate);
        Ok(())
    }

    fn set_transcription(&mut self, transcription: Option<&Value>) -> Result<(), Rejection> {
        let Some(transcription) = transcription.filter(|value| !value.is_null()) else { return Ok(()) };
        let text = |name: &'static str| match transcription.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => {
                Err(Rejection::invalid("session.audio.input.transcription", format!("{name} is a text")))
            }
        };
        const PARAMETER: &str = "session.audio.input.transcription";
        let list = |name: &'static str| match transcription.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => texts(PARAMETER, name, value).map(Some),
        };
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let model = filled(text("model")?);
        if model != self.model && commits(model.as_deref()) {
            self.turn = None;
        }
        self.model = model.or(self.model.take());
        self.language = filled(text("language")?).or(self.language.take());
        self.languages = list("languages")?.unwrap_or(std::mem::take(&mut self.languages));
        self.prompt = filled(text("prompt")?).or(self.prompt.take());
        self.keywords = list("keywords")?.unwrap_or(std::mem::take(&mut self.keywords));
        phrases::check("keywords", &self.keywords)?;
        if let Some(delay) = transcription.get("delay").filter(|delay| !delay.is_null()) {
            self.delay = Some(one_of(PARAMETER, "delay", delay, &Delay::NAMES)?);
        }
        if self.prompt.as_ref().is_some_and(|prompt| prompt.len() > MAX_PROMPT) {
            return Err(Rejection::invalid(
                "session.audio.input.transcription",
                format!("the prompt is longer than {MAX_PROMPT} bytes; shorten it"),
            ));
        }
        Ok(())
    }

    fn set_turn(&mut self, turn: Option<&Value>) -> Result<(), Rejection> {
        let Some(turn) = turn else { return Ok(()) };
        if turn.is_null() {
            self.turn = None;
            return Ok(());
        }
        const PARAMETER: &str = "session.audio.input.turn_detection";
        let eagerness = match turn.get("type").and_then(Value::as_str) {
            Some("semantic_vad") => Some(match turn.get("eagerness") {
                None | Some(Value::Null) => Eagerness::Medium,
                Some(eagerness) => one_of(PARAMETER, "eagerness", eagerness, &Eagerness::NAMES)?,
            }),
            Some("server_vad") | None => None,
            Some(other) => {
                return Err(Rejection::invalid(
                    PARAMETER,
                    format!("the type is server_vad or semantic_vad, not {}", quote(other)),
                ));
            }
        };
        let silence_ms = eagerness.map(Eagerness::silence_ms);
        let default = Turn::default();
        let ms = |name: &str, default: u32, range: std::ops::RangeInclusive<u64>| match turn.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => values::whole_json(value)
                .filter(|ms| range.contains(ms))
                .map(|ms| ms as u32)
                .ok_or_else(|| {
                    let (first, last) = (range.start(), range.end());
                    Rejection::invalid(
                        PARAMETER,
                        format!("{name} is {first} to {last}, not {}", quote(&value.to_string())),
                    )
                }),
        };
        self.turn = Some(Turn {
            prefix_padding_ms: ms("prefix_padding_ms", default.prefix_padding_ms, 0..=10_000)?,
            silence_duration_ms: match silence_ms {
                Some(silence) => silence,
                None => ms("silence_duration_ms", default.silence_duration_ms, 100..=60_000)?,
            },
            eagerness,
        });
        Ok(())
    }

    /// Checks that the model supports the settings.
    pub(super) fn check(&self, model: &Model) -> Result<(), Rejection> {
        let (language, languages) = languages_of(self.language.as_deref(), &self.languages);
        model.can(language.as_deref(), false)?;
        for language in &languages {
            model.can(Some(language), false)?;
        }
        Ok(())
    }

    /// Returns true if sessions of both listen in the same way.
    pub(super) fn listens_like(&self, other: &Self) -> bool {
        let described = |setup: &Self| Self { logprobs: false, beta: false, ..setup.clone() };
        described(self) == described(other)
    }

    /// Returns true if both take the same audio.
    pub(super) fn takes_what(&self, other: &Self) -> bool {
        (self.encoding, self.sample_rate) == (other.encoding, other.sample_rate)
    }

    /// The language that the client states.
    pub(super) fn language(&self) -> Option<String> {
        languages_of(self.language.as_deref(), &self.languages).0
    }

    /// Returns a meter for the level of its audio.
    pub(super) fn level(&self) -> Level {
        Level::new(self.encoding, self.sample_rate)
    }

    /// Returns the options of the session.
    pub(super) fn options(&self) -> Result<(Encoding, SessionOptions), Rejection> {
        let format = Format { sample_rate: self.sample_rate, channels: 1 }.validate()?;
        let (language, languages) = languages_of(self.language.as_deref(), &self.languages);
        let default = SessionOptions::new(format);
        let (commit, step) = self.delay.map_or((default.commit, default.step), Delay::commit);
        let options = default
            .language(language)
            .languages(languages)
            .prompt(phrases::prompt(self.prompt.clone(), &self.keywords))
            .bias(phrases::bias(&self.keywords))
            .commit(commit)
            .step(step)
            // Also where the client commits: speech that is recognized before the commit has to end
            // somewhere.
            .voice_activity(self.turn.map_or_else(VadConfig::default, |turn| {
                VadConfig::default().pre_roll_ms(turn.prefix_padding_ms).hangover_ms(turn.silence_duration_ms)
            }));
        Ok((self.encoding, options))
    }

    /// Describes the session to its client.
    pub(super) fn describe(&self, id: &str) -> Value {
        let id = format!("sess_{id}");
        let mut transcription =
            json!({ "model": self.model, "language": self.language, "prompt": self.prompt });
        // Members that not every client knows are sent only where they were set.
        if !self.languages.is_empty() {
            transcription["languages"] = json!(self.languages);
        }
        if !self.keywords.is_empty() {
            transcription["keywords"] = json!(self.keywords);
        }
        if let Some(delay) = self.delay {
            transcription["delay"] = json!(name_of(delay, &Delay::NAMES));
        }
        let turn = self.turn.map(|turn| match turn.eagerness {
            Some(eagerness) => {
                json!({ "type": "semantic_vad", "eagerness": name_of(eagerness, &Eagerness::NAMES) })
            }
            None => json!({
                "type": "server_vad",
                "prefix_padding_ms": turn.prefix_padding_ms,
                "silence_duration_ms": turn.silence_duration_ms,
            }),
        });
        let include: &[&str] = if self.logprobs { &[LOGPROBS] } else { &[] };
        if self.beta {
            let format = match self.encoding {
                Encoding::MuLaw => "g711_ulaw",
                Encoding::ALaw => "g711_alaw",
                _ => "pcm16",
            };
            return json!({
                "id": id,
                "object": "realtime.transcription_session",
                "input_audio_format": format,
                "input_audio_transcription": transcription,
                "turn_detection": turn,
                "include": include,
            });
        }
        let format = match self.encoding {
            Encoding::MuLaw => json!({ "type": "audio/pcmu" }),
            Encoding::ALaw => json!({ "type": "audio/pcma" }),
            _ => json!({ "type": "audio/pcm", "rate": self.sample_rate }),
        };
        json!({
            "id": id,
            "object": "realtime.transcription_session",
            "type": "transcription",
            "audio": { "input": { "format": format, "transcription": transcription, "turn_detection": turn } },
            "include": include,
        })
    }
}

/// A list of texts.
fn texts(parameter: &'static str, name: &str, value: &Value) -> Result<Vec<String>, Rejection> {
    let all: Option<Vec<String>> =
        value.as_array().and_then(|list| list.iter().map(|text| text.as_str().map(str::to_owned)).collect());
    all.ok_or_else(|| Rejection::invalid(parameter, format!("{name} is a list of texts")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let now = json!({ "type": "transcription", "audio": { "input": {
            "format": { "type": "audio/pcmu" },
            "transcription": { "model": "digits", "language": "en" },
            "turn_detection": { "type": "server_vad", "silence_duration_ms": 700, "threshold": 0.5 },
            "noise_reduction": null,
        } } });
        let beta = json!({
            "input_audio_format": "g711_ulaw",
            "input_audio_transcription": { "model": "digits", "language": "en" },
            "turn_detection": { "type": "server_vad", "silence_duration_ms": 700 },
        });
        for (session, is_beta) in [(now, false), (beta, true)] {
            let setup = Setup::new(None, is_beta).updated(&session).unwrap();
            let (encoding, options) = setup.options().unwrap();
            assert_eq!((encoding, options.format.sample_rate), (Encoding::MuLaw, 8_000));
            assert_eq!(options.voice_activity.unwrap().hangover_ms, 700);
            assert_eq!((setup.model.as_deref(), options.language.as_deref()), (Some("digits"), Some("en")));
            // What an update does not name stays; null is a name.
            let manual = json!({ "audio": { "input": { "turn_detection": null } } });
            let setup = setup.updated(&manual).unwrap();
            assert!(setup.turn.is_none() && setup.model.is_some());
        }
    }

    #[test]
    fn fields_of_newer_clients_are_understood() {
        let session = json!({
            "type": "transcription",
            "audio": { "input": {
                "format": { "type": "audio/pcm", "rate": 24000.0 },
                "transcription": {
                    "model": "gpt-live-transcribe", "language": "", "languages": ["EN", "es-MX"],
                    "keywords": ["hearken", "wasmtime"], "prompt": "Speech.", "delay": "high",
                },
                "turn_detection": { "type": "semantic_vad", "eagerness": "low" },
            } },
            "include": [LOGPROBS],
        });
        let setup = Setup::new(None, false).updated(&session).unwrap();
        let (_, options) = setup.options().unwrap();
        assert_eq!((options.language, options.languages), (None, vec!["en".to_owned(), "es".to_owned()]));
        assert_eq!(options.prompt.as_deref(), Some("Speech. hearken, wasmtime"));
        assert_eq!(options.voice_activity.unwrap().hangover_ms, 1_500);
        assert!(matches!(options.commit, CommitPolicy::Agreement { hypotheses: 3, .. }));
        assert!(setup.logprobs);
        let described = setup.describe("x");
        let input = &described["audio"]["input"];
        assert_eq!(input["turn_detection"], json!({ "type": "semantic_vad", "eagerness": "low" }));
        assert_eq!(input["transcription"]["keywords"], json!(["hearken", "wasmtime"]));
        assert_eq!(input["transcription"]["delay"], "high");
        assert_eq!(described["include"], json!([LOGPROBS]));
        // The client may send this description back.
        let again = Setup::new(None, false).updated(&described).unwrap();
        assert_eq!(again, setup);
        let english =
            setup.updated(&json!({ "input_audio_transcription": { "language": "English" } })).unwrap();
        assert_eq!(english.options().unwrap().1.language.as_deref(), Some("en"));
    }

    #[test]
    fn clients_of_models_without_voice_activity_detection_commit() {
        let input = |input: Value| json!({ "audio": { "input": input } });
        let named = |model: &str| input(json!({ "transcription": { "model": model } }));
        let setup = Setup::new(None, false).updated(&named("gpt-live-transcribe-2026-09-01")).unwrap();
        assert_eq!((setup.turn, Setup::new(Some("gpt-realtime-whisper".into()), false).turn), (None, None));
        // One that states its detection has it, and keeps it.
        let stated = setup.updated(&input(json!({ "turn_detection": { "type": "server_vad" } }))).unwrap();
        assert!(stated.updated(&named("gpt-live-transcribe-2026-09-01")).unwrap().turn.is_some());
        assert!(Setup::new(None, false).updated(&named("gpt-transcribe")).unwrap().turn.is_some());
    }

    #[test]
    fn impossible_settings_are_refused() {
        let input = |input: Value| json!({ "audio": { "input": input } });
        for session in [
            json!({ "type": "realtime" }),
            input(json!({ "format": { "type": "audio/mp3" } })),
            input(json!({ "format": { "type": "audio/pcm", "rate": 7 } })),
            input(json!({ "format": { "type": "audio/pcm", "rate": "fast" } })),
            input(json!({ "transcription": { "language": 7 } })),
            input(json!({ "transcription": { "prompt": "x".repeat(5000) } })),
            input(json!({ "turn_detection": { "silence_duration_ms": 0 } })),
            json!({ "input_audio_format": "mp3" }),
            input(json!({ "transcription": { "delay": "never" } })),
            input(json!({ "transcription": { "keywords": "hearken" } })),
            input(json!({ "transcription": { "keywords": ["x".repeat(5000)] } })),
            input(json!({ "turn_detection": { "type": "semantic_vad", "eagerness": "very" } })),
            input(json!({ "turn_detection": { "type": "magic_vad" } })),
            json!({ "include": "logprobs" }),
        ] {
            assert!(Setup::new(None, false).updated(&session).is_err(), "{session}");
        }
    }
}
