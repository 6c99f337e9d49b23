//! Options of speech: language, vocabulary, endpointing.

use hearken::audio::VadConfig;
use hearken::language_code;

/// Language, translation, prompt, annotations.
#[derive(clap::Args)]
pub(crate) struct SpeechArgs {
    /// Language, such as `en`, `english` or `en-US`; `auto` detects it; several with commas, such
    /// as `en,es`, are the only ones detected
    #[arg(long, short, default_value = "auto", value_delimiter = ',', value_name = "CODE")]
    language: Vec<String>,
    /// Translate into English (multilingual models)
    #[arg(long)]
    pub(crate) translate: bool,
    /// Initial prompt: text that stands for previous speech, with names, spellings and style to
    /// expect
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// Keep annotations such as `[Music]` or `(laughs)`, which are not speech
    #[arg(long)]
    pub(crate) annotations: bool,
}

impl SpeechArgs {
    /// The language, unless it is to be detected.
    pub(crate) fn language(&self) -> Option<String> {
        match self.language.as_slice() {
            [one] => language_code(one),
            _ => None,
        }
    }

    /// The languages to detect among; empty for all.
    pub(crate) fn languages(&self) -> Vec<String> {
        if self.language.len() < 2 {
            return Vec::new();
        }
        // With detection any language may come.
        self.language
            .iter()
            .map(|language| language_code(language))
            .collect::<Option<_>>()
            .unwrap_or_default()
    }
}

/// Options of endpointing.
#[derive(clap::Args)]
pub(crate) struct EndpointArgs {
    /// Endpointing: silence that ends an utterance, in milliseconds (hangover): more joins phrases
    /// to one utterance, less ends each sooner
    #[arg(long, value_name = "MS", default_value_t = VadConfig::default().hangover_ms,
        value_parser = clap::value_parser!(u32).range(100..=10_000))]
    end_silence: u32,
}

impl EndpointArgs {
    pub(crate) fn voice_activity(&self) -> VadConfig {
        VadConfig { hangover_ms: self.end_silence, ..VadConfig::default() }
    }
}
