//! Parameters of a node, in the names of RemoteMedia's own Whisper node.

use std::path::PathBuf;
use std::time::Duration;

use remotemedia_plugin_sdk::params::deserialize_params;
use serde::Deserialize;

/// Shortest and longest step between partial texts that is taken [ms].
const STEPS: std::ops::RangeInclusive<u64> = 100..=30_000;

/// Parameters of a node in a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Written {
    model_path: Option<PathBuf>,
    language: Option<String>,
    task: Option<String>,
    prompt: Option<String>,
    streaming_decode_interval_ms: Option<u64>,
}

/// Checked parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// A ggml Whisper model; `None` for the small one inside hearken.
    pub(crate) model: Option<PathBuf>,
    /// ISO 639-1 code; `None` detects it in each utterance.
    pub(crate) language: Option<String>,
    /// Translates into English.
    pub(crate) translate: bool,
    /// Names, spellings and style, as text that came before.
    pub(crate) prompt: Option<String>,
    /// Least new speech between partial texts; `None` for hearken's own.
    pub(crate) step: Option<Duration>,
}

impl Parameters {
    /// Reads the JSON of a manifest. `null` stands for no parameters.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let written: Option<Written> =
            deserialize_params(json).map_err(|error| format!("the parameters are wrong: {error}"))?;
        let Written { model_path, language, task, prompt, streaming_decode_interval_ms } =
            written.unwrap_or_default();
        let translate = match task.as_deref() {
            None | Some("transcribe") => false,
            Some("translate") => true,
            Some(other) => return Err(format!("task is {other:?}; it must be transcribe or translate")),
        };
        let step = streaming_decode_interval_ms;
        if let Some(step) = step.filter(|step| !STEPS.contains(step)) {
            return Err(format!("streaming_decode_interval_ms is {step}; it must be from 100 to 30000"));
        }
        Ok(Self {
            model: model_path,
            language: language.filter(|language| language != "auto"),
            translate,
            prompt,
            step: step.map(Duration::from_millis),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_names_are_read() {
        let expected = Parameters {
            model: Some("m.bin".into()),
            language: Some("en".to_owned()),
            translate: true,
            prompt: None,
            step: Some(Duration::from_millis(500)),
        };
        for json in [
            r#"{"model_path": "m.bin", "language": "en", "task": "translate", "streaming_decode_interval_ms": 500}"#,
            r#"{"modelPath": "m.bin", "language": "en", "task": "translate", "streamingDecodeIntervalMs": 500}"#,
        ] {
            assert_eq!(Parameters::parse(json).expect("parameters"), expected);
        }
        for json in ["{}", "null", r#"{"language": "auto", "device": "cuda"}"#] {
            let parameters = Parameters::parse(json).expect("parameters");
            assert_eq!((parameters.model, parameters.language, parameters.step), (None, None, None));
        }
    }

    #[test]
    fn invalid_parameters_are_named() {
        for (json, told) in [
            ("{", "the parameters are wrong"),
            (r#"{"model_path": 7}"#, "expected path string"),
            (r#"{"task": "sing"}"#, "transcribe or translate"),
            (r#"{"streaming_decode_interval_ms": 0}"#, "from 100 to 30000"),
        ] {
            let message = Parameters::parse(json).expect_err(json);
            assert!(message.contains(told), "{json}: {message}");
        }
    }
}
