//! Scores of a recording, offline and streaming, against its reference.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use hearken::audio::{Samples, VadConfig};
use hearken::session::{CommitPolicy, SessionEvent, SessionOptions};
use hearken::{Bias, Error, Model, TranscribeOptions, Word};
use hearken_measure::normalize::Normalizer;
use hearken_measure::{
    Computation, Errors, Flicker, Stamped, TermCounts, Terms, Timeline, seconds, simulate,
};

use super::recording::{Recording, Setting, joined};
use super::references::Reference;

/// Streaming configuration to evaluate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Configuration {
    pub(super) policy: CommitPolicy,
    pub(super) step: Duration,
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} ms", self.policy, self.step.as_millis())
    }
}

/// Normalization of texts before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Comparison {
    /// After Whisper's normalizer for the language: numbers in digits, spellings and contractions
    /// made equal
    Whisper,
    /// Word for word, but for case and punctuation
    Words,
}

impl Comparison {
    fn normalizer(self, language: &str) -> Normalizer {
        match (self, Normalizer::for_language(language)) {
            (Self::Words, Normalizer::English) => Normalizer::Basic,
            (_, normalizer) => normalizer,
        }
    }
}

/// Counts and times of one recording, or of all. Times are in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) words: Errors,
    pub(super) characters: Errors,
    /// Listed phrases.
    pub(super) terms: TermCounts,
    pub(super) first_partial: Vec<f64>,
    pub(super) final_latency_true: Vec<f64>,
    pub(super) final_latency_detected: Vec<f64>,
    pub(super) word_latency: Vec<f64>,
    /// Until a word was shown for good.
    pub(super) shown_latency: Vec<f64>,
    /// Stretches of voice without words.
    pub(super) unrecognized: Vec<f64>,
    pub(super) flicker: Flicker,
    pub(super) computing: f64,
    pub(super) encodes: u64,
    /// Each text that came while streaming.
    pub(super) texts: Vec<Text>,
    pub(super) audio: f64,
    /// From the first sample of speech to the last.
    pub(super) speech: f64,
}

/// A text that came while streaming.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text {
    /// Time of arrival [s].
    pub(super) at: f64,
    /// Start of its utterance, in seconds.
    pub(super) utterance: f64,
    pub(super) is_final: bool,
    /// Words that are new in a partial text; all words of a final one.
    pub(super) committed: Vec<Word>,
    pub(super) tentative: Vec<Word>,
}

impl Text {
    fn of(stamped: &Stamped) -> Option<Self> {
        let at = seconds(0, stamped.at);
        match &stamped.event {
            SessionEvent::Partial { utterance, committed, tentative } => Some(Self {
                at,
                utterance: seconds(0, *utterance),
                is_final: false,
                committed: committed.clone(),
                tentative: tentative.clone(),
            }),
            SessionEvent::Final { utterance, words, .. } => Some(Self {
                at,
                utterance: seconds(0, *utterance),
                is_final: true,
                committed: words.clone(),
                tentative: Vec::new(),
            }),
            _ => None,
        }
    }
}

/// Normalized text of a recording, and the figures.
pub(super) type Outcome = (String, Tally);

/// A recording's figures.
#[derive(Debug)]
pub(super) struct Scored {
    pub(super) reference: Reference,
    /// The reference as it is compared.
    pub(super) normal: String,
    pub(super) offline: Outcome,
    /// Outcomes of each configuration, computation-unaware and aware.
    pub(super) streaming: Vec<[Outcome; 2]>,
    /// Speech that was not recognized, and why.
    pub(super) lost: Vec<String>,
}

/// The order of [`Scored::streaming`]'s outcomes.
pub(super) const CLOCKS: [Computation; 2] = [Computation::Unaware, Computation::Aware];

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.words += other.words;
        self.characters += other.characters;
        self.terms += other.terms;
        for (all, more) in [
            (&mut self.first_partial, &other.first_partial),
            (&mut self.final_latency_true, &other.final_latency_true),
            (&mut self.final_latency_detected, &other.final_latency_detected),
            (&mut self.word_latency, &other.word_latency),
            (&mut self.shown_latency, &other.shown_latency),
            (&mut self.unrecognized, &other.unrecognized),
        ] {
            all.extend(more);
        }
        self.flicker += other.flicker;
        self.computing += other.computing;
        self.encodes += other.encodes;
        self.audio += other.audio;
        self.speech += other.speech;
    }

    pub(super) fn real_time_factor(&self) -> Option<f64> {
        (self.audio > 0.0).then(|| self.computing / self.audio)
    }

    /// Encoder passes for each second of speech; `None` where they are not counted.
    pub(super) fn encoder_rate(&self) -> Option<f64> {
        (self.encodes > 0 && self.speech > 0.0).then(|| self.encodes as f64 / self.speech)
    }
}

/// A way to transcribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Way {
    /// The recording at once.
    Offline,
    /// As it is spoken, while the clock stands for computing.
    Streaming,
    /// In real time, while the clock goes on (computation-aware).
    Aware,
}

/// Scores recordings.
pub(super) struct Scorer<'a> {
    pub(super) model: &'a Model,
    pub(super) configurations: &'a [Configuration],
    pub(super) comparison: Comparison,
    pub(super) full_context: bool,
    pub(super) ways: &'a [Way],
    pub(super) carry: Option<bool>,
    pub(super) verbatim: bool,
    pub(super) prompt: Option<&'a str>,
    pub(super) bias: &'a Bias,
    /// Phrases that are counted.
    pub(super) terms: &'a Bias,
    pub(super) voice_activity: VadConfig,
    pub(super) pause: Option<Duration>,
    pub(super) setting: &'a Setting,
}

impl Scorer<'_> {
    /// Transcribes a recording, or several as one, in all ways.
    pub(super) fn score(&self, root: &Path, parts: &[Reference]) -> Result<Scored, Error> {
        let recording = Recording::read(root, parts, self.setting)?;
        let reference = joined(parts);
        let normalizer = self.comparison.normalizer(&reference.language);
        let mut lost = Vec::new();
        let normal = normalized(normalizer, &reference.text);
        let terms = Terms::new(normalizer, self.terms.phrases());
        let outcome = |(text, mut tally): (String, Tally)| {
            let heard = normalized(normalizer, &text);
            let (said, words) = (split(&normal), split(&heard));
            tally.words = Errors::between(&said, &words);
            tally.terms = terms.count(&said, &words);
            tally.characters = Errors::of_characters(&normal, &heard);
            tally.audio = recording.seconds;
            tally.speech = recording.speech.map_or(0.0, |(start, end)| seconds(start, end).max(0.0));
            (heard, tally)
        };
        let mut offline = Outcome::default();
        if self.ways.contains(&Way::Offline) {
            offline = outcome(self.offline(&recording, &reference, &mut lost)?);
        }
        let mut streaming = Vec::new();
        for configuration in self.configurations {
            let mut clocks: [Outcome; 2] = Default::default();
            for (clock, result) in CLOCKS.into_iter().zip(&mut clocks) {
                let way = if clock == Computation::Aware { Way::Aware } else { Way::Streaming };
                if !self.ways.contains(&way) {
                    continue;
                }
                *result =
                    outcome(self.streaming(&recording, &reference, *configuration, clock, &mut lost)?);
            }
            streaming.push(clocks);
        }
        Ok(Scored { reference, normal, offline, streaming, lost })
    }

    /// The whole recording at once, without voice activity.
    fn offline(
        &self,
        recording: &Recording,
        reference: &Reference,
        lost: &mut Vec<String>,
    ) -> Result<(String, Tally), Error> {
        let options = TranscribeOptions::new()
            .language(reference.language.clone())
            .voice_activity(None)
            .verbatim(self.verbatim)
            .prompt(self.prompt.map(str::to_owned))
            .bias(self.bias.clone());
        let mut source = Samples::new(recording.samples.clone(), recording.format)?;
        let started = Instant::now();
        let transcript = self.model.transcribe(&mut source, &options, |_| {})?;
        let computing = started.elapsed();
        lost.extend(transcript.lost.iter().map(|lost| lost.reason.to_string()));
        let unrecognized = transcript.unrecognized.iter().map(|stretch| seconds(stretch.start, stretch.end));
        let unrecognized = unrecognized.collect();
        Ok((
            transcript.text(),
            Tally { computing: computing.as_secs_f64(), unrecognized, ..Tally::default() },
        ))
    }

    fn streaming(
        &self,
        recording: &Recording,
        reference: &Reference,
        configuration: Configuration,
        computation: Computation,
        lost: &mut Vec<String>,
    ) -> Result<(String, Tally), Error> {
        let options = SessionOptions::new(recording.format)
            .language(reference.language.clone())
            .commit(configuration.policy)
            .step(configuration.step)
            .full_context(self.full_context)
            .carry(self.carry)
            .verbatim(self.verbatim)
            .prompt(self.prompt.map(str::to_owned))
            .bias(self.bias.clone())
            .voice_activity(self.voice_activity)
            .pause(self.pause);
        let simulation = simulate(self.model, &options, &recording.samples, computation)?;
        let timeline = Timeline::of(&simulation.events);
        if timeline.dropped > 0 {
            lost.push(format!("{:.1} s were dropped while streaming", seconds(0, timeline.dropped)));
        }
        let since = |start: Option<u64>, at: Option<u64>| start.zip(at).map(|(start, at)| seconds(start, at));
        let spoken = timeline.finals.iter().filter(|text| text.words > 0);
        let normalizer = self.comparison.normalizer(&reference.language);
        let tally = Tally {
            first_partial: since(recording.speech.map(|speech| speech.0), timeline.first_text)
                .into_iter()
                .collect(),
            final_latency_true: since(recording.speech.map(|speech| speech.1), timeline.last_text())
                .into_iter()
                .collect(),
            final_latency_detected: spoken.map(|text| seconds(text.end, text.at)).collect(),
            word_latency: timeline.word_latencies(&reference.text, normalizer),
            shown_latency: timeline.shown_latencies(&reference.text, normalizer),
            unrecognized: timeline.unrecognized.iter().map(|samples| seconds(0, *samples)).collect(),
            flicker: timeline.flicker,
            computing: simulation.computing.as_secs_f64(),
            encodes: simulation.encodes,
            texts: simulation.events.iter().filter_map(Text::of).collect(),
            ..Tally::default()
        };
        Ok((timeline.text(), tally))
    }
}

fn split(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Normalized words with a space between them.
fn normalized(normalizer: Normalizer, text: &str) -> String {
    let words = normalizer.words(&[text]);
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}
