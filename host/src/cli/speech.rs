//! What a command is told of the speech that it will hear.

use hearken::language_code;

/// Language, translation, prompt, annotations.
#[derive(clap::Args)]
pub(crate) struct SpeechArgs {
    /// Language, such as `en`, `english` or `en-US`; `auto` detects it; several with commas, such as `en,es`, are the only ones detected
    #[arg(long, short, default_value = "auto", value_delimiter = ',', value_name = "CODE")]
    language: Vec<String>,
    /// Translate into English (multilingual models)
    #[arg(long)]
    pub(crate) translate: bool,
    /// Names, spellings and style to expect, as if this text had come before
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// Keep annotations such as `[Music]`, `(laughs)`, which are no words
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
        // One that is to be detected may be any.
        self.language
            .iter()
            .map(|language| language_code(language))
            .collect::<Option<_>>()
            .unwrap_or_default()
    }
}
