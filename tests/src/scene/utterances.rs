//! Sources of utterances: recordings of clean speech, or espeak-ng.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hearken::audio::{self, Source};

use super::{FRAME, labels, loudest, power};
use crate::random::Random;
use crate::speech::{Recording, espeak};

/// A pause that ends an utterance, in frames: 700 ms.
const PAUSE: usize = 70;
/// Margin kept around the speech [frames], faded: breath and room begin softly, as they do outside
/// of recordings.
const MARGIN: usize = 3;
/// Longest and shortest utterance, in frames.
const LENGTH: std::ops::RangeInclusive<usize> = 20..=1_000;

/// A recording is clean if its quietest fifth is so far below its loudest 100 ms, as a ratio of
/// powers: 36 dB. Then its own noise is not labeled as speech, for which 30 dB do.
const CLEAN: f64 = 4e3;

/// Clean speech without a long pause, at 16 kHz.
#[derive(Debug, Clone)]
pub struct Utterance {
    /// Name of the source.
    pub name: String,
    /// The speech, and a little around it.
    pub samples: Vec<f32>,
}

/// A word that was spoken by itself.
#[derive(Debug, Clone)]
pub struct SpokenWord {
    /// As it is written.
    pub text: String,
    /// The utterance by itself.
    pub utterance: Utterance,
}

/// A recording as 16 kHz mono.
///
/// # Panics
///
/// When it cannot be read.
pub fn read(path: &Path) -> Vec<f32> {
    let mut source = audio::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut samples, mut block) = (Vec::new(), Vec::new());
    while source.read(&mut block).unwrap_or_else(|error| panic!("{}: {error}", path.display())) > 0 {
        samples.extend_from_slice(&block);
    }
    Recording { name: String::new(), samples, format: source.format() }.mono()
}

/// At most `count` utterances from the recordings in a folder and the folders in it, one from each,
/// the same ones each time. Recordings that are not clean are left out.
///
/// # Panics
///
/// When the folder or a recording cannot be read.
pub fn folder(folder: &Path, count: usize) -> Vec<Utterance> {
    let mut paths = recordings(folder);
    Random::new(7).shuffle(&mut paths);
    let mut found = Vec::new();
    for path in paths {
        if found.len() == count {
            break;
        }
        let mut pieces = cut(&path.file_stem().unwrap_or_default().to_string_lossy(), &read(&path));
        // One of each recording, not always the first.
        if !pieces.is_empty() {
            found.push(pieces.swap_remove(found.len() % pieces.len()));
        }
    }
    found
}

/// All recordings in a folder and in the folders in it, in the order of their names.
///
/// # Panics
///
/// When a folder cannot be read.
pub fn recordings(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.expect("a readable folder").path()) {
            let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default().to_lowercase();
            if path.is_dir() {
                folders.push(path);
            } else if ["wav", "flac", "ogg", "mp3", "opus", "m4a", "aiff"].contains(&kind.as_str()) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths
}

/// Short sentences and single words by espeak-ng, in several voices.
///
/// # Panics
///
/// When espeak-ng is not installed.
pub fn synthesized(count: usize) -> Vec<Utterance> {
    let texts = [
        "seven",
        "stop",
        "five six",
        "the ship left the harbour before the storm",
        "zero",
        "yes",
        "his father had a small shop on the corner",
        "three four seven nine",
        "eight",
        "left",
        "she thought, for a moment, that nobody had seen it",
        "happy",
        "four",
        "go back",
        "six",
        "what should we say when they ask",
        "two",
        "fish and chips",
        "nine",
        "half past ten",
    ];
    let voices = ["en-us", "en-gb", "en-us+f3", "en-gb+f4", "en-us+m3", "en-gb-scotland", "en-us+f5"];
    (0..count)
        .map(|number| {
            let (text, voice) = (texts[number % texts.len()], voices[number / 3 % voices.len()]);
            let spoken = espeak(voice, 130 + 15 * (number % 4) as u32, text);
            whole(&format!("{voice}: {text}"), &spoken.mono()).expect("espeak-ng speaks")
        })
        .collect()
}

/// Each of these words, spoken by itself by an espeak-ng voice.
///
/// # Panics
///
/// When espeak-ng is not installed.
pub fn words_of<'a>(voice: &str, words: impl IntoIterator<Item = &'a str>) -> Vec<SpokenWord> {
    words
        .into_iter()
        .map(|text| {
            let samples = espeak(voice, 140, text).mono();
            let utterance = whole(text, &samples).expect("espeak-ng speaks");
            SpokenWord { text: text.to_owned(), utterance }
        })
        .collect()
}

/// The digits of each speaker of the Free Spoken Digit Dataset (`digit_speaker_take.wav`).
///
/// # Panics
///
/// When the folder is not of that kind.
pub fn digits_of(folder: &Path) -> Vec<Vec<SpokenWord>> {
    let names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let mut speakers: BTreeMap<String, Vec<SpokenWord>> = BTreeMap::new();
    for path in recordings(folder) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut parts = stem.split('_');
        let digit = parts.next().and_then(|digit| digit.parse::<usize>().ok());
        let (Some(text), Some(speaker)) = (digit.and_then(|digit| names.get(digit)), parts.next()) else {
            panic!("{} is not named as digit_speaker_take.wav", path.display());
        };
        if let Some(utterance) = whole(&stem, &read(&path)) {
            let word = SpokenWord { text: (*text).to_owned(), utterance };
            speakers.entry(speaker.to_owned()).or_default().push(word);
        }
    }
    assert!(!speakers.is_empty(), "{} holds no recordings", folder.display());
    speakers.into_values().collect()
}

/// Everything from the first speech to the last.
pub fn whole(name: &str, samples: &[f32]) -> Option<Utterance> {
    let labels = labels(samples);
    let (first, last) =
        (labels.iter().position(|speech| *speech)?, labels.iter().rposition(|speech| *speech)?);
    Some(piece(name, samples, first..last + 1))
}

/// Power of a recording's own noise: that of its quietest fifth. What is shorter than a second has
/// no pause to tell it from.
fn noise_floor(samples: &[f32]) -> f64 {
    let mut frames: Vec<f64> = samples.chunks(FRAME).map(power).collect();
    frames.sort_by(f64::total_cmp);
    if frames.len() < 100 { 0.0 } else { frames[frames.len() / 5] }
}

/// The stretches of speech between long pauses that are clean.
fn cut(name: &str, samples: &[f32]) -> Vec<Utterance> {
    let noise = noise_floor(samples);
    let labels = labels(samples);
    let speech: Vec<usize> = (0..labels.len()).filter(|frame| labels[*frame]).collect();
    let stretches = speech.chunk_by(|one, other| other - one <= PAUSE);
    stretches
        .filter_map(|frames| {
            let frames = *frames.first()?..frames.last()? + 1;
            let loudest = loudest(&samples[frames.start * FRAME..(frames.end * FRAME).min(samples.len())]);
            (LENGTH.contains(&frames.len()) && loudest >= CLEAN * noise).then(|| piece(name, samples, frames))
        })
        .collect()
}

/// Cuts these frames, and a faded margin.
fn piece(name: &str, samples: &[f32], frames: std::ops::Range<usize>) -> Utterance {
    let start = frames.start.saturating_sub(MARGIN) * FRAME;
    let end = ((frames.end + MARGIN) * FRAME).min(samples.len());
    let mut piece = samples[start..end].to_vec();
    let (before, after) = (frames.start * FRAME - start, end.saturating_sub(frames.end * FRAME));
    for (n, sample) in piece[..before].iter_mut().enumerate() {
        *sample *= n as f32 / before as f32;
    }
    for (n, sample) in piece.iter_mut().rev().take(after).enumerate() {
        *sample *= n as f32 / after as f32;
    }
    piece.resize(piece.len().next_multiple_of(FRAME), 0.0);
    Utterance { name: name.to_owned(), samples: piece }
}
