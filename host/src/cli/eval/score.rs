//! One recording, offline and streaming, against its reference.

use std::path::Path;
use std::time::Instant;

use hearken::audio::{self, Format, Resampler, Samples};
use hearken::measure::normalise::Normaliser;
use hearken::measure::{Computation, Errors, Flicker, Timeline, seconds, simulate, speech_span};
use hearken::session::SessionOptions;
use hearken::{Error, Model, SAMPLE_RATE, TranscribeOptions};

use super::references::Reference;

/// The ways in which each recording is transcribed, in the order of the report's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Offline,
    Streaming(Computation),
}

pub(super) const WAYS: [Way; 3] =
    [Way::Offline, Way::Streaming(Computation::Unaware), Way::Streaming(Computation::Aware)];

/// What is counted and timed; of one recording, or of all. Times are in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) words: Errors,
    pub(super) characters: Errors,
    pub(super) first_partial: Vec<f64>,
    pub(super) final_latency_true: Vec<f64>,
    pub(super) final_latency_detected: Vec<f64>,
    pub(super) word_latency: Vec<f64>,
    pub(super) flicker: Flicker,
    pub(super) computing: f64,
    pub(super) audio: f64,
}

/// A recording's figures.
#[derive(Debug)]
pub(super) struct Scored {
    pub(super) reference: Reference,
    /// The reference as it is compared.
    pub(super) normal: String,
    /// What was heard, as it is compared, and the figures, for each of [`WAYS`].
    pub(super) ways: [(String, Tally); 3],
    /// Speech that was not recognised, and why.
    pub(super) lost: Vec<String>,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.words += other.words;
        self.characters += other.characters;
        for (all, more) in [
            (&mut self.first_partial, &other.first_partial),
            (&mut self.final_latency_true, &other.final_latency_true),
            (&mut self.final_latency_detected, &other.final_latency_detected),
            (&mut self.word_latency, &other.word_latency),
        ] {
            all.extend(more);
        }
        self.flicker += other.flicker;
        self.computing += other.computing;
        self.audio += other.audio;
    }

    pub(super) fn real_time_factor(&self) -> Option<f64> {
        (self.audio > 0.0).then(|| self.computing / self.audio)
    }
}

/// A recording in memory.
struct Recording {
    samples: Vec<f32>,
    format: Format,
    seconds: f64,
    /// First sample of the speech, and the one after its last, at 16 kHz.
    speech: Option<(u64, u64)>,
}

impl Recording {
    fn read(path: &Path, reference: &Reference) -> Result<Self, Error> {
        let mut source = audio::open(path)?;
        let format = source.format();
        let (mut samples, mut block) = (Vec::new(), Vec::new());
        while source.read(&mut block)? > 0 {
            samples.extend_from_slice(&block);
        }
        let mut resampler = Resampler::new(format)?;
        let mut mono = Vec::new();
        resampler.push(&samples, &mut mono);
        resampler.finish(&mut mono);
        let speech = speech_span(&mono).map(|span| {
            let end = reference.speech_end.map(|end| (end * f64::from(SAMPLE_RATE)) as u64);
            (span.start, end.unwrap_or(span.end))
        });
        let seconds = mono.len() as f64 / f64::from(SAMPLE_RATE);
        Ok(Self { samples, format, seconds, speech })
    }
}

/// Transcribes a recording in all ways.
pub(super) fn score(model: &Model, path: &Path, reference: Reference) -> Result<Scored, Error> {
    let recording = Recording::read(path, &reference)?;
    let normaliser = Normaliser::for_language(&reference.language);
    let mut lost = Vec::new();
    let normal = joined(normaliser, &reference.text);
    let mut ways: [(String, Tally); 3] = Default::default();
    for (way, result) in WAYS.into_iter().zip(&mut ways) {
        let (text, mut tally) = match way {
            Way::Offline => offline(model, &recording, &reference, &mut lost)?,
            Way::Streaming(computation) => streaming(model, &recording, &reference, computation, &mut lost)?,
        };
        let heard = joined(normaliser, &text);
        tally.words = Errors::between(normal.split_whitespace(), heard.split_whitespace());
        tally.characters = Errors::of_characters(&normal, &heard);
        tally.audio = recording.seconds;
        *result = (heard, tally);
    }
    Ok(Scored { reference, normal, ways, lost })
}

/// Normalised words with a space between them.
fn joined(normaliser: Normaliser, text: &str) -> String {
    let words = normaliser.words(&[text]);
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

fn offline(
    model: &Model,
    recording: &Recording,
    reference: &Reference,
    lost: &mut Vec<String>,
) -> Result<(String, Tally), Error> {
    let options =
        TranscribeOptions { language: Some(reference.language.clone()), ..TranscribeOptions::new() };
    let mut source = Samples::new(recording.samples.clone(), recording.format)?;
    let started = Instant::now();
    let transcript = model.transcribe(&mut source, &options, |_| {})?;
    let computing = started.elapsed();
    lost.extend(transcript.lost.iter().map(|lost| lost.reason.clone()));
    Ok((transcript.text(), Tally { computing: computing.as_secs_f64(), ..Tally::default() }))
}

fn streaming(
    model: &Model,
    recording: &Recording,
    reference: &Reference,
    computation: Computation,
    lost: &mut Vec<String>,
) -> Result<(String, Tally), Error> {
    let options = SessionOptions {
        language: Some(reference.language.clone()),
        ..SessionOptions::new(recording.format)
    };
    let simulation = simulate(model, &options, &recording.samples, computation)?;
    let timeline = Timeline::of(&simulation.events);
    if timeline.dropped > 0 {
        lost.push(format!("{:.1} s were dropped while streaming", seconds(0, timeline.dropped)));
    }
    let since = |start: Option<u64>, at: Option<u64>| start.zip(at).map(|(start, at)| seconds(start, at));
    let spoken = timeline.finals.iter().filter(|text| text.words > 0);
    let tally = Tally {
        first_partial: since(recording.speech.map(|speech| speech.0), timeline.first_text)
            .into_iter()
            .collect(),
        final_latency_true: since(recording.speech.map(|speech| speech.1), timeline.last_text())
            .into_iter()
            .collect(),
        final_latency_detected: spoken.map(|text| seconds(text.end, text.at)).collect(),
        word_latency: timeline.word_latencies(&reference.text, Normaliser::for_language(&reference.language)),
        flicker: timeline.flicker,
        computing: simulation.computing.as_secs_f64(),
        ..Tally::default()
    };
    Ok((timeline.text(), tally))
}
