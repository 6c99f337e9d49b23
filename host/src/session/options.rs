//! How a session listens.

use std::time::Duration;

use hearken_proto::Task;

use super::CommitPolicy;
use super::carry::Carried;
use crate::audio::{Format, VadConfig};
use crate::{Model, Share};

/// How a session listens.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Rate and channels of what is pushed.
    pub format: Format,
    /// ISO 639-1 code; `None` detects it from the first speech and keeps it.
    pub language: Option<String>,
    /// Translates into English (multilingual models only).
    pub translate: bool,
    /// Names, spellings and style, as text that came before.
    pub prompt: Option<String>,
    /// Voice activity; `None` leaves it to [`Session::begin`](super::Session::begin) and [`Session::end`](super::Session::end) (push-to-talk).
    pub voice_activity: Option<VadConfig>,
    /// When a word is certain while the utterance goes on.
    pub commit: CommitPolicy,
    /// Lets the encoder see little more than the audio that there is, which is cheaper, and ruins models that were not made
    /// for it. `None` does so where that is known of the model ([`Known::short_context`](crate::model::Known::short_context)).
    pub short_context: Option<bool>,
    /// Tells each utterance the last words of the one before, as text that came before: names and spellings stay as they were, and so
    /// do mistakes. `None` does so where it is known of the model that it helps ([`Known::carries`](crate::model::Known::carries)).
    pub carry: Option<bool>,
    /// Least new speech, between partial texts. The session makes it longer when recognising takes longer. Default:
    /// 500 ms.
    pub step: Duration,
    /// Speech that may wait to be recognised. What comes on top is dropped, and said to be. Default: 2 minutes.
    pub backlog: Duration,
    /// Whose part of the engine's threads this is. Default: one that all have together who name none.
    pub share: Option<Share>,
    /// Whether the session keeps a [`Journal`](super::Journal), which grows with every decode as long as it lives. Default: no.
    pub journal: bool,
}

impl SessionOptions {
    /// The defaults, for audio of this format: language and speech are detected.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            language: None,
            translate: false,
            prompt: None,
            voice_activity: Some(VadConfig::default()),
            commit: CommitPolicy::default(),
            short_context: None,
            carry: None,
            step: Duration::from_millis(500),
            backlog: Duration::from_secs(120),
            share: None,
            journal: false,
        }
    }

    /// What the guest is told of them, for an utterance that starts at `start`.
    pub(super) fn task(
        &self,
        model: &Model,
        language: Option<String>,
        carried: &Carried,
        start: u64,
    ) -> Task {
        let prompt = self.prompt.as_deref();
        let carries = self.carry.unwrap_or_else(|| model.known().is_some_and(|known| known.carries));
        Task {
            language,
            translate: self.translate,
            prompt: if carries { carried.prompt(prompt, start) } else { prompt.map(str::to_owned) },
            commit: self.commit.to_proto(),
            short_context: self
                .short_context
                .unwrap_or_else(|| model.known().is_some_and(|known| known.short_context)),
            alone: model.known().map_or(0.0, |known| known.alone),
        }
    }
}
