//! The recordings that are played: all in memory, in the form in which they are sent.

use std::path::Path;

use hearken::audio::{self, Resampler};
use hearken::{Error, SAMPLE_RATE};
use hearken_measure::normalize::Normalizer;
use hearken_measure::{seconds, speech_span};

use super::super::eval::references::Reference;

/// Bytes of a second of 16-bit mono at 16 kHz.
pub(super) const BYTES_PER_SECOND: usize = 2 * SAMPLE_RATE as usize;

/// A recording.
pub(super) struct Clip {
    pub(super) language: String,
    /// 16-bit little-endian mono at 16 kHz.
    pub(super) pcm: Vec<u8>,
    /// Begin and end of the speech [s].
    pub(super) speech: (f64, f64),
    /// True if the list states its end; otherwise it is estimated from the level.
    pub(super) end_is_known: bool,
    /// The words of the text, as they are compared.
    pub(super) words: Vec<String>,
}

impl Clip {
    pub(super) fn read(root: &Path, reference: &Reference) -> Result<Self, Error> {
        let mut source = audio::open(&root.join(&reference.path))?;
        let mut resampler = Resampler::new(source.format())?;
        let (mut mono, mut block) = (Vec::new(), Vec::new());
        while source.read(&mut block)? > 0 {
            resampler.push(&block, &mut mono);
        }
        resampler.finish(&mut mono);
        let span = speech_span(&mono).unwrap_or(0..mono.len() as u64);
        let end = reference.speech_end.unwrap_or_else(|| seconds(0, span.end));
        Ok(Self {
            language: reference.language.clone(),
            pcm: mono.iter().flat_map(|&sample| integer(sample).to_le_bytes()).collect(),
            speech: (seconds(0, span.start), end),
            end_is_known: reference.speech_end.is_some(),
            words: normal(&reference.language, &reference.text),
        })
    }

    /// Length [s].
    pub(super) fn seconds(&self) -> f64 {
        self.pcm.len() as f64 / BYTES_PER_SECOND as f64
    }
}

/// The words of a text, as they are compared.
pub(super) fn normal(language: &str, text: &str) -> Vec<String> {
    Normalizer::for_language(language).words(&[text]).into_iter().map(|word| word.text).collect()
}

fn integer(sample: f32) -> i16 {
    // The cast saturates.
    (sample * 32_768.0).round() as i16
}
