//! What a command is told of the speech that it will hear.

/// Language, translation and prompt.
#[derive(clap::Args)]
pub(crate) struct SpeechArgs {
    /// Language as an ISO 639-1 code, or `auto`
    #[arg(long, short, default_value = "auto")]
    language: String,
    /// Translate into English (multilingual models)
    #[arg(long)]
    pub(crate) translate: bool,
    /// Names, spellings and style to expect, as if this text had come before
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
}

impl SpeechArgs {
    /// The language, unless it is to be detected.
    pub(crate) fn language(&self) -> Option<String> {
        (self.language != "auto").then(|| self.language.clone())
    }
}
