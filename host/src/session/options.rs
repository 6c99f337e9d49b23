//! Options of a session.

use std::time::Duration;

use hearken_proto::Task;

use super::CommitPolicy;
use super::carry::Carried;
use crate::audio::{Format, VadConfig};
use crate::{Bias, Model, Share};

/// Minimum probability of an isolated word, for models without a measured value; and the same in an
/// utterance that is over within three seconds. Official models hallucinate "you" and "Music" in
/// noise with less.
const ALONE: f32 = 0.5;
const ALONE_BRIEFLY: f32 = 0.35;
/// Minimum mean probability of an utterance's words. Of 132 utterances of LibriSpeech tiny.en and
/// base found none less likely than 0.40, and of noise none more than 0.39.
const PLAUSIBLE: f32 = 0.4;

/// Options of a session.
///
/// ```
/// use std::time::Duration;
///
/// use hearken::audio::Format;
/// use hearken::session::SessionOptions;
///
/// let options = SessionOptions::new(Format { sample_rate: 48_000, channels: 2 })
///     .language("de".to_owned())
///     .step(Duration::from_millis(500));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionOptions {
    /// Rate and channels of pushed audio.
    pub format: Format,
    /// ISO 639-1 code; `None` detects it in each utterance. An utterance that does not tell is
    /// taken for the language of the one before.
    pub language: Option<String>,
    /// Languages to detect among, as ISO 639-1 codes. Default: empty, for all that the model knows.
    pub languages: Vec<String>,
    /// Translates into English (multilingual models only).
    pub translate: bool,
    /// Names, spellings and style, as text that came before.
    pub prompt: Option<String>,
    /// Words and phrases to expect.
    pub bias: Bias,
    /// Voice activity; `None` leaves it to [`Session::begin`](super::Session::begin) and
    /// [`Session::end`](super::Session::end) (push-to-talk).
    pub voice_activity: Option<VadConfig>,
    /// Commit policy: when a word is committed in a running utterance.
    pub commit: CommitPolicy,
    /// Keeps annotations such as `[Music]`. Default: false, they are not speech.
    pub annotations: bool,
    /// Turns the guards against hallucinations off: unlikely words stay, and voice without
    /// recognized words is not decoded again by itself. For comparisons. Default: false.
    pub verbatim: bool,
    /// Computes the encoder's whole context in each window, though padding could come from a cache
    /// ([`EngineBuilder::padding`](crate::EngineBuilder::padding)). Default: no.
    pub full_context: bool,
    /// Conditions each utterance on the last words of the one before, as Whisper's prompt: names,
    /// spellings and short utterances profit, and mistakes stay, too. `None` does so unless the
    /// model is known to get worse ([`Known::carries`](crate::model::Known::carries)).
    pub carry: Option<bool>,
    /// Least new speech, between partial texts; two thirds of it in the first seconds of an
    /// utterance. The session makes it longer when recognizing takes longer. Default: 300 ms.
    pub step: Duration,
    /// Silence within an utterance after which all its words so far are committed, with
    /// [`SessionEvent::Paused`](super::SessionEvent::Paused), though the utterance goes on: sooner
    /// than the hangover that ends it, and what follows is recognized with these words as context.
    /// At least 100 ms are sensible: stop consonants close for up to that. Default: `None`.
    pub pause: Option<Duration>,
    /// Maximum speech queued for recognition. Audio beyond it is dropped and reported as
    /// [`SessionEvent::Dropped`](super::SessionEvent::Dropped). Default: 2 minutes.
    pub backlog: Duration,
    /// Share of the engine's threads that the session is charged to. Default: the engine's common
    /// share.
    pub share: Option<Share>,
    /// True to keep a [`Journal`](super::Journal), which grows with every decode as long as the
    /// session lives. Default: false.
    pub journal: bool,
}

setters! {
    SessionOptions:
    format: Format,
    languages: Vec<String>,
    translate: bool,
    bias: Bias,
    commit: CommitPolicy,
    annotations: bool,
    verbatim: bool,
    full_context: bool,
    step: Duration,
    backlog: Duration,
    journal: bool;
    language: String,
    prompt: String,
    voice_activity: VadConfig,
    carry: bool,
    pause: Duration,
    share: Share,
}

impl SessionOptions {
    /// The defaults, for audio of this format: language and speech are detected.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            language: None,
            languages: Vec::new(),
            translate: false,
            prompt: None,
            bias: Bias::new(),
            voice_activity: Some(VadConfig::default()),
            commit: CommitPolicy::default(),
            annotations: false,
            verbatim: false,
            full_context: false,
            carry: None,
            step: Duration::from_millis(300),
            pause: None,
            backlog: Duration::from_secs(120),
            share: None,
            journal: false,
        }
    }

    /// Makes the guest's task for an utterance that starts at `start`.
    pub(super) fn task(&self, model: &Model, usual: Option<String>, carried: &Carried, start: u64) -> Task {
        let prompt = self.prompt.as_deref();
        let carries = self.carry.unwrap_or_else(|| model.known().is_none_or(|known| known.carries));
        Task {
            language: self.language.clone(),
            candidates: self.languages.clone(),
            usual,
            translate: self.translate,
            prompt: if carries { carried.prompt(prompt, start) } else { prompt.map(str::to_owned) },
            bias: self.bias.to_proto(),
            commit: self.commit.to_proto(),
            annotations: self.annotations,
            verbatim: self.verbatim,
            full_context: self.full_context,
            timestamps: model.known().is_some_and(|known| known.timestamps),
            voice: Vec::new(),
            pause: false,
            alone: model.known().map_or(ALONE, |known| known.alone),
            plausible: model.known().map_or(PLAUSIBLE, |known| known.plausible),
            alone_briefly: model.known().map_or(ALONE_BRIEFLY, |known| known.alone_briefly),
        }
    }
}
