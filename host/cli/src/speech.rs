//! Options of speech: language, vocabulary, endpointing.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hearken::audio::VadConfig;
use hearken::{Bias, language_code};

use super::Failure;

/// Maximum length of a list of phrases in bytes: one that is longer has too many.
const MAX_LIST: u64 = 1 << 20;

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
    #[command(flatten)]
    bias: BiasArgs,
    /// Keep annotations such as `[Music]` or `(laughs)`, which are not speech
    #[arg(long)]
    pub(crate) annotations: bool,
}

/// Words to expect.
#[derive(clap::Args)]
pub(crate) struct BiasArgs {
    /// Words and phrases to expect, such as names: one a line, and behind a tab its weight (0 to 2,
    /// 1 if there is none)
    #[arg(long, value_name = "FILE")]
    bias: Option<PathBuf>,
}

impl BiasArgs {
    /// # Errors
    ///
    /// When the list cannot be read.
    pub(crate) fn read(&self) -> Result<Bias, Failure> {
        self.bias.as_deref().map_or(Ok(Bias::new()), read_list)
    }
}

/// Reads a list of phrases.
///
/// # Errors
///
/// When it cannot be read, or is none.
pub(crate) fn read_list(path: &Path) -> Result<Bias, Failure> {
    let fail = |error: &dyn Display| Failure::new(format!("cannot use the list {}: {error}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| fail(&error))?;
    file.take(MAX_LIST).read_to_string(&mut text).map_err(|error| fail(&error))?;
    Bias::parse(&text).map_err(|error| fail(&error))
}

impl SpeechArgs {
    /// Words to expect.
    ///
    /// # Errors
    ///
    /// When their list cannot be read.
    pub(crate) fn bias(&self) -> Result<Bias, Failure> {
        self.bias.read()
    }

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
    /// Commit all words so far after this much silence within an utterance, in milliseconds: sooner
    /// than its end, at the price of some errors
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(40..=10_000))]
    commit_silence: Option<u32>,
}

impl EndpointArgs {
    pub(crate) fn voice_activity(&self) -> VadConfig {
        VadConfig::default().hangover_ms(self.end_silence)
    }

    pub(crate) fn pause(&self) -> Option<Duration> {
        self.commit_silence.map(|ms| Duration::from_millis(ms.into()))
    }
}
