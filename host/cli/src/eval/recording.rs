//! A recording in memory, as it is measured: by itself, or joined with others, or in noise.

use std::iter;
use std::ops::RangeInclusive;
use std::path::Path;

use hearken::audio::{self, Format, Resampler};
use hearken::{Error, SAMPLE_RATE};
use hearken_measure::speech_span;

use super::references::Reference;

/// Steps of the golden ratio spread pauses evenly over their range, in an order that looks random
/// and is always the same.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// Changes that are made to recordings before they are measured.
#[derive(Debug)]
pub(super) struct Setting {
    /// Seconds of silence between joined recordings.
    pub(super) pauses: RangeInclusive<f64>,
    pub(super) noise: Option<Noise>,
}

/// Noise that is added, as often as it takes.
#[derive(Debug)]
pub(super) struct Noise {
    samples: Vec<f32>,
    /// Signal-to-noise ratio, in decibels.
    snr_db: f64,
}

impl Noise {
    /// # Errors
    ///
    /// When the recording cannot be read.
    pub(super) fn read(path: &Path, snr_db: f64) -> Result<Self, Error> {
        let (samples, format) = read(path)?;
        Ok(Self { samples: mono(&samples, format)?, snr_db })
    }
}

/// A recording that is measured.
pub(super) struct Recording {
    pub(super) samples: Vec<f32>,
    pub(super) format: Format,
    pub(super) seconds: f64,
    /// First sample of the speech, and the one after its last, at 16 kHz.
    pub(super) speech: Option<(u64, u64)>,
}

impl Recording {
    /// Reads the recordings of `parts`, from `root`; several are joined. Processed audio is 16 kHz
    /// mono.
    ///
    /// # Errors
    ///
    /// When one cannot be read.
    pub(super) fn read(root: &Path, parts: &[Reference], setting: &Setting) -> Result<Self, Error> {
        let (samples, format) = read(&root.join(&parts[0].path))?;
        let (mut all, mut speech_end) = (mono(&samples, format)?, parts[0].speech_end);
        if parts.len() == 1 && setting.noise.is_none() {
            return Ok(Self { speech: speech(&all, speech_end), seconds: length_of(&all), samples, format });
        }
        for (number, part) in parts.iter().enumerate().skip(1) {
            let (least, most) = (setting.pauses.start(), setting.pauses.end());
            let pause = least + (most - least) * (number as f64 * GOLDEN).fract();
            all.resize(all.len() + (pause * f64::from(SAMPLE_RATE)) as usize, 0.0);
            let start = length_of(&all);
            let (samples, format) = read(&root.join(&part.path))?;
            all.append(&mut mono(&samples, format)?);
            speech_end = part.speech_end.map(|end| start + end);
        }
        let speech = speech(&all, speech_end);
        if let (Some(noise), Some((start, end))) = (&setting.noise, speech) {
            add(noise, &mut all, start as usize..end as usize);
        }
        Ok(Self { speech, seconds: length_of(&all), samples: all, format: Format::MODEL })
    }
}

/// First sample of the speech, and the one after its last: as is stated, else by the level.
fn speech(mono: &[f32], speech_end: Option<f64>) -> Option<(u64, u64)> {
    let end = speech_end.map(|end| (end * f64::from(SAMPLE_RATE)) as u64);
    speech_span(mono).map(|span| (span.start, end.unwrap_or(span.end)))
}

fn length_of(mono: &[f32]) -> f64 {
    hearken::seconds(mono.len() as u64)
}

/// Adds noise, `noise.snr_db` dB below the mean power of the speech.
fn add(noise: &Noise, samples: &mut [f32], speech: std::ops::Range<usize>) {
    let power = |samples: &[f32]| {
        samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / samples.len().max(1) as f64
    };
    let wanted = power(samples.get(speech).unwrap_or_default()) / 10f64.powf(noise.snr_db / 10.0);
    let there = power(&noise.samples);
    if there == 0.0 {
        return;
    }
    let gain = (wanted / there).sqrt() as f32;
    for (sample, noise) in samples.iter_mut().zip(noise.samples.iter().cycle()) {
        *sample = (*sample + gain * noise).clamp(-1.0, 1.0);
    }
}

fn read(path: &Path) -> Result<(Vec<f32>, Format), Error> {
    let mut source = audio::open(path)?;
    let format = source.format();
    let (mut samples, mut block) = (Vec::new(), Vec::new());
    while source.read(&mut block)? > 0 {
        samples.extend_from_slice(&block);
    }
    Ok((samples, format))
}

fn mono(samples: &[f32], format: Format) -> Result<Vec<f32>, Error> {
    let mut resampler = Resampler::new(format)?;
    let mut mono = Vec::new();
    resampler.push(samples, &mut mono);
    resampler.finish(&mut mono);
    Ok(mono)
}

/// Groups of references that make a recording: one each, or, joined in their order, as many as have
/// `seconds` together. A group is of one language. `length` answers how long a recording is; one
/// that cannot be read has none.
pub(super) fn grouped(
    references: Vec<Reference>,
    seconds: Option<f64>,
    length: impl Fn(&Reference) -> f64,
) -> Vec<Vec<Reference>> {
    let Some(seconds) = seconds else { return references.into_iter().map(|one| vec![one]).collect() };
    let mut groups: Vec<Vec<Reference>> = Vec::new();
    let mut held = f64::INFINITY;
    for reference in references {
        let same = groups.last().is_some_and(|group| group[0].language == reference.language);
        if held >= seconds || !same {
            groups.push(Vec::new());
            held = 0.0;
        }
        held += length(&reference);
        groups.last_mut().expect("there is one").push(reference);
    }
    groups
}

/// Joins references.
pub(super) fn joined(parts: &[Reference]) -> Reference {
    let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
    let path = match parts {
        [one] => one.path.clone(),
        [first, .., last] => format!("{} … {}", first.path, last.path),
        [] => String::new(),
    };
    Reference {
        path,
        language: parts.first().map(|part| part.language.clone()).unwrap_or_default(),
        text: texts.join(" "),
        speech_end: None,
    }
}

/// Length of a recording in seconds, by its header, else by reading it; 0 if it cannot be read.
pub(super) fn length(path: &Path) -> f64 {
    let Ok(mut source) = audio::open(path) else { return 0.0 };
    let frames = source.frames().unwrap_or_else(|| {
        let mut block = Vec::new();
        iter::from_fn(|| source.read(&mut block).ok().filter(|frames| *frames > 0))
            .map(|frames| frames as u64)
            .sum()
    });
    frames as f64 / f64::from(source.format().sample_rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(path: &str, language: &str) -> Reference {
        Reference {
            path: path.to_owned(),
            language: language.to_owned(),
            text: format!("said in {path}"),
            speech_end: None,
        }
    }

    #[test]
    fn recordings_are_joined_until_they_are_long_enough_and_by_language() {
        let all = [("a", "en"), ("b", "en"), ("c", "en"), ("d", "fr"), ("e", "fr")];
        let all: Vec<Reference> = all.iter().map(|(path, language)| reference(path, language)).collect();
        let paths = |seconds| -> Vec<String> {
            grouped(all.clone(), seconds, |_| 4.0).iter().map(|group| joined(group).path).collect()
        };
        assert_eq!(paths(None), ["a", "b", "c", "d", "e"]);
        assert_eq!(paths(Some(6.0)), ["a … b", "c", "d … e"]);
        assert_eq!(joined(&all[..2]).text, "said in a said in b");
    }

    #[test]
    fn noise_is_as_far_below_the_speech_as_is_asked() {
        let noise = Noise { samples: vec![0.5, -0.5, 0.5], snr_db: 20.0 };
        let mut samples = vec![0.0; 100];
        samples[40..60].fill(0.2);
        add(&noise, &mut samples, 40..60);
        assert!((samples[0] - 0.02).abs() < 1e-6 && (samples[1] + 0.02).abs() < 1e-6, "{:?}", &samples[..2]);
        assert!((samples[40] - 0.18).abs() < 1e-6 || (samples[40] - 0.22).abs() < 1e-6);
    }
}
