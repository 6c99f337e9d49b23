//! Query parameters of a client.

use std::time::Duration;

use hearken::audio::{Encoding, Format, VadConfig};
use hearken::{Bias, language_code};

use super::style::Style;
use crate::openai::field_name;
use crate::phrases;
use crate::rejection::{Rejection, quote};
use crate::values;

/// Most names that are given to listen for.
const MAX_KEYTERMS: usize = 100;

/// Parameters that would change the meaning of the answer, and that are not supported.
const REFUSED: [&str; 14] = [
    "callback",
    "custom_intent",
    "custom_topic",
    "detect_entities",
    "diarize",
    "diarize_model",
    "intents",
    "profanity_filter",
    "redact",
    "search",
    "sentiment",
    "summarize",
    "topics",
    "measurements",
];

/// Requested settings.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) model: Option<String>,
    pub(super) language: Option<String>,
    pub(super) detect_language: bool,
    /// Names to listen for.
    pub(super) prompt: Option<String>,
    pub(super) bias: Bias,
    encoding: Option<Encoding>,
    sample_rate: Option<u32>,
    channels: u16,
    pub(super) interim_results: bool,
    /// Silence that ends an utterance; `None`: utterances end, and `speech_final` is not sent.
    pub(super) endpointing: Option<Duration>,
    pub(super) utterance_end: Option<Duration>,
    pub(super) vad_events: bool,
    /// Spelling of words.
    pub(super) style: Style,
    pub(super) utterances: bool,
    /// Each channel by itself.
    pub(super) multichannel: bool,
}

impl Asked {
    pub(super) fn parse(pairs: &[(String, String)]) -> Result<Self, Rejection> {
        let mut asked = Self {
            model: None,
            language: None,
            detect_language: false,
            prompt: None,
            bias: Bias::new(),
            encoding: None,
            sample_rate: None,
            channels: 1,
            interim_results: false,
            endpointing: Some(Duration::from_millis(u64::from(VadConfig::default().hangover_ms))),
            utterance_end: None,
            vad_events: false,
            style: Style::default(),
            utterances: false,
            multichannel: false,
        };
        let mut keyterms: Vec<(&str, f32)> = Vec::new();
        // Arrays are written as `keyterm`, `keyterm[]` and `keyterm[0]`; a parameter without a
        // value counts as absent.
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        for (name, value) in pairs.map(|(name, value)| (field_name(name), value)) {
            match name {
                "model" => asked.model = Some(value.clone()),
                "language" => asked.language = language_code(value),
                // Languages to detect, of which any may come.
                "detect_language" => asked.detect_language = values::flag(value).unwrap_or(true),
                "keyterm" => keyterms.push((value, 1.0)),
                "keywords" => keyterms.extend(keyword(value)),
                "encoding" => asked.encoding = encoding(value)?,
                "sample_rate" => asked.sample_rate = Some(number("sample_rate", value)?),
                "channels" => {
                    asked.channels = number::<u16>("channels", value)?;
                }
                "interim_results" => asked.interim_results = flag("interim_results", value)?,
                "endpointing" => asked.endpointing = endpointing(value)?,
                "utterance_end_ms" => {
                    let ms = number::<u64>("utterance_end_ms", value)?.clamp(500, 60_000);
                    asked.utterance_end = Some(Duration::from_millis(ms));
                }
                "vad_events" => asked.vad_events = flag("vad_events", value)?,
                "punctuate" => asked.style.punctuate |= flag("punctuate", value)?,
                "smart_format" => asked.style.punctuate |= flag("smart_format", value)?,
                "replace" => asked.style.replace(value)?,
                "utterances" => asked.utterances = flag("utterances", value)?,
                "multichannel" => asked.multichannel = flag("multichannel", value)?,
                _ => refuse(name, value)?,
            }
        }
        check_keyterms(keyterms.iter().map(|(term, _)| *term))?;
        let terms: Vec<String> = keyterms.iter().map(|(term, _)| (*term).to_owned()).collect();
        asked.prompt = phrases::prompt(None, &terms);
        asked.bias = phrases::weighted(keyterms);
        if asked.detect_language {
            asked.language = None;
        }
        Ok(asked)
    }

    /// Rate, channels and encoding of audio without a header; `None` if it has one.
    pub(super) fn raw(&self) -> Result<Option<(Encoding, Format)>, Rejection> {
        let Some(encoding) = self.encoding else { return Ok(None) };
        let sample_rate = self
            .sample_rate
            .or(matches!(encoding, Encoding::MuLaw | Encoding::ALaw).then_some(8_000))
            .ok_or_else(|| Rejection::invalid("sample_rate", "encoding needs a sample_rate"))?;
        Ok(Some((encoding, Format { sample_rate, channels: self.channels }.validate()?)))
    }

    /// Parameters of voice activity detection.
    pub(super) fn voice_activity(&self) -> VadConfig {
        let default = VadConfig::default();
        let silence = self.endpointing.filter(|_| self.pause().is_none());
        let hangover = silence.map_or(default.hangover_ms, |silence| silence.as_millis() as u32);
        default.hangover_ms(hangover)
    }

    /// Silence within an utterance after which its words so far are final.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.endpointing.filter(|silence| *silence < LEAST_HANGOVER)
    }
}

/// Minimum silence that ends an utterance. After less, as in pauses within a sentence, the words
/// so far are final, and the utterance goes on: its halves are recognized with each other.
const LEAST_HANGOVER: Duration = Duration::from_millis(300);

/// Minimum silence for which words are final [ms]. Clients ask for 10 and 25, less than a stop
/// consonant within a word takes.
const LEAST_ENDPOINTING: u64 = 100;

/// Checks that there are no more names than are given to listen for.
pub(super) fn check_keyterms<'a>(terms: impl Iterator<Item = &'a str>) -> Result<(), Rejection> {
    let (count, bytes) = terms.fold((0, 0), |(count, bytes), term| (count + 1, bytes + term.len()));
    if count > MAX_KEYTERMS || bytes > phrases::MAX_BYTES {
        return Err(Rejection::invalid(
            "keyterm",
            "there are more than 100 keyterms, or 4096 bytes of them; send fewer",
        ));
    }
    Ok(())
}

/// A keyword, and its weight: 1 with Deepgram's usual intensifier of 1, and a tenth more for each
/// further one, since theirs go to 10 and more. One that is to be suppressed is left out.
fn keyword(value: &str) -> Option<(&str, f32)> {
    let Some((word, intensifier)) = value.rsplit_once(':') else { return Some((value, 1.0)) };
    // No number: a word with a colon in it.
    let Ok(intensifier) = intensifier.trim().parse::<f32>() else { return Some((value, 1.0)) };
    let weight = if intensifier > 1.0 { 1.0 + (intensifier - 1.0) / 10.0 } else { intensifier };
    (weight > 0.0).then_some((word, weight))
}

/// The encoding of samples; `None` for those that come in a container.
pub(super) fn encoding(name: &str) -> Result<Option<Encoding>, Rejection> {
    match name {
        "linear16" => Ok(Some(Encoding::S16Le)),
        "linear32" => Ok(Some(Encoding::F32Le)),
        "mulaw" => Ok(Some(Encoding::MuLaw)),
        "alaw" => Ok(Some(Encoding::ALaw)),
        "opus" | "ogg-opus" | "webm" | "flac" | "mp3" | "aac" | "containerized" => Ok(None),
        _ => Err(Rejection::unsupported(
            "encoding",
            format!(
                "{} is not supported; send linear16, linear32, mulaw, alaw, or a container (opus, webm, flac, mp3, aac)",
                quote(name)
            ),
        )),
    }
}

fn endpointing(value: &str) -> Result<Option<Duration>, Rejection> {
    // Before the numbers: 0 and 1 are some here, and no booleans.
    match value.to_ascii_lowercase().as_str() {
        "false" => Ok(None),
        "true" => Ok(Some(Duration::from_millis(u64::from(VadConfig::default().hangover_ms)))),
        ms => Ok(Some(Duration::from_millis(
            number::<u64>("endpointing", ms)?.clamp(LEAST_ENDPOINTING, 60_000),
        ))),
    }
}

pub(super) fn number<T: TryFrom<u64>>(name: &'static str, value: &str) -> Result<T, Rejection> {
    let number = values::whole(value).and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| Rejection::invalid(name, format!("{name} is a number, not {}", quote(value))))
}

fn flag(name: &'static str, value: &str) -> Result<bool, Rejection> {
    values::flag(value)
        .ok_or_else(|| Rejection::invalid(name, format!("{name} is true or false, not {}", quote(value))))
}

/// Rejects parameters that cannot be ignored.
fn refuse(name: &str, value: &str) -> Result<(), Rejection> {
    match REFUSED.iter().find(|refused| **refused == name) {
        Some(name) if values::flag(value) != Some(false) => {
            Err(Rejection::unsupported(name, format!("{name} is not supported here; leave it out")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &[(&str, &str)]) -> Result<Asked, Rejection> {
        let pairs: Vec<_> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Asked::parse(&pairs)
    }

    #[test]
    fn query_parameters_are_understood() {
        let asked = parse(&[
            ("encoding", "linear16"),
            ("sample_rate", "16000"),
            ("language", "en-US"),
            ("keyterm", "hearken"),
            ("keywords", "wasm:2"),
            ("endpointing", "300"),
            ("utterance_end_ms", "1000"),
            ("smart_format", "true"),
            ("diarize", "false"),
            ("tag", "anything"),
        ])
        .unwrap();
        assert_eq!(
            asked.raw().unwrap(),
            Some((Encoding::S16Le, Format { sample_rate: 16_000, channels: 1 }))
        );
        assert_eq!((asked.language.as_deref(), asked.prompt.as_deref()), (Some("en"), Some("hearken, wasm")));
        assert_eq!(asked.bias.phrases().collect::<Vec<_>>(), ["hearken", "wasm"]);
        assert_eq!(keyword("wasm:2"), Some(("wasm", 1.1)));
        assert_eq!(keyword("wasm:0.5"), Some(("wasm", 0.5)));
        assert_eq!(keyword("std::vec"), Some(("std::vec", 1.0)));
        assert_eq!((keyword("wasm:-3"), keyword("wasm:NaN")), (None, None));
        assert_eq!(asked.voice_activity().hangover_ms, 300);
        assert!(asked.style.punctuate && !asked.interim_results);
        assert_eq!(parse(&[("language", "multi")]).unwrap().language, None);
        assert_eq!(parse(&[("language", "German")]).unwrap().language.as_deref(), Some("de"));
        assert_eq!(parse(&[]).unwrap().raw().unwrap(), None);
    }

    #[test]
    fn every_clients_spelling_is_read() {
        let asked = parse(&[
            ("encoding", "linear16"),
            ("sample_rate", "16000.0"),
            ("punctuate", "True"),
            ("interim_results", "TRUE"),
            ("vad_events", "1"),
            ("diarize", "False"),
            ("keyterm[]", "hearken"),
            ("keyterm[1]", "wasm"),
            ("endpointing", "True"),
            ("channels", ""),
        ])
        .unwrap();
        assert_eq!(
            asked.raw().unwrap(),
            Some((Encoding::S16Le, Format { sample_rate: 16_000, channels: 1 }))
        );
        assert!(
            asked.style.punctuate && asked.interim_results && asked.vad_events && asked.endpointing.is_some()
        );
        assert_eq!(asked.prompt.as_deref(), Some("hearken, wasm"));
        assert!(parse(&[("endpointing", "False")]).unwrap().endpointing.is_none());
        for (asked, pause, hangover) in
            [("25", Some(100), 600), ("250", Some(250), 600), ("300", None, 300), ("1000", None, 1000)]
        {
            let asked = parse(&[("endpointing", asked)]).unwrap();
            assert_eq!(asked.pause(), pause.map(Duration::from_millis));
            assert_eq!(asked.voice_activity().hangover_ms, hangover);
        }
    }

    #[test]
    fn impossible_options_are_refused_by_name() {
        for (query, parameter) in [
            (&[("encoding", "speex")][..], "encoding"),
            (&[("sample_rate", "fast")], "sample_rate"),
            (&[("channels", "-1")], "channels"),
            (&[("interim_results", "maybe")], "interim_results"),
            (&[("diarize", "true")], "diarize"),
            (&[("profanity_filter", "True")], "profanity_filter"),
            (&[("search", "hearken")], "search"),
            (&[("replace", ":x")], "replace"),
            (&[("callback", "https://example.com")], "callback"),
        ] {
            assert_eq!(parse(query).unwrap_err().parameter(), Some(parameter), "{query:?}");
        }
        assert!(parse(&[("encoding", "linear16")]).unwrap().raw().is_err(), "no rate");
        assert!(parse(&[("encoding", "linear16"), ("sample_rate", "7")]).unwrap().raw().is_err());
    }
}
