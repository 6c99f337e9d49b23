//! Recordings as people have them, decoded in the sandbox and compared with what ffmpeg makes of
//! them.

mod channels;
mod cuts;
mod ffmpeg;
mod field;
mod hostile;
mod matrix;
mod trust;

use std::path::Path;
use std::process::Command;

use hearken::audio::{AudioError, Faults, Format, Source, open};

/// Runs ffmpeg in `folder`.
///
/// # Panics
///
/// When it fails: what it has to say is the message.
fn ffmpeg(folder: &Path, arguments: &[&str]) {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("ffmpeg can be run");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A recording as it was decoded: its samples, and the error behind them, if there is one.
struct Heard {
    format: Format,
    samples: Vec<f32>,
    faults: Faults,
    error: Option<AudioError>,
}

impl Heard {
    fn seconds(&self) -> f64 {
        self.frames() as f64 / f64::from(self.format.sample_rate)
    }

    fn frames(&self) -> usize {
        self.samples.len() / usize::from(self.format.channels)
    }

    /// Root mean square of all channels between two times [s].
    fn level(&self, from: f64, to: f64) -> f32 {
        let at = |seconds: f64| {
            let frame = (seconds * f64::from(self.format.sample_rate)) as usize;
            (frame * usize::from(self.format.channels)).min(self.samples.len())
        };
        let part = &self.samples[at(from)..at(to)];
        (part.iter().map(|sample| sample * sample).sum::<f32>() / part.len().max(1) as f32).sqrt()
    }
}

fn hear(path: &Path) -> Result<Heard, AudioError> {
    open(path).map(hear_all)
}

/// Reads a source to its end.
fn hear_all(mut source: Box<dyn Source>) -> Heard {
    let (mut samples, mut block) = (Vec::new(), Vec::new());
    let error = loop {
        match source.read(&mut block) {
            Ok(0) => break None,
            Ok(_) => samples.extend_from_slice(&block),
            Err(error) => break Some(error),
        }
    };
    Heard { format: source.format(), samples, faults: source.faults(), error }
}

/// Samples as ffmpeg decodes them, at this rate.
fn reference(folder: &Path, file: &str, rate: u32) -> Vec<f32> {
    references(folder, &[(file.to_owned(), rate)]).swap_remove(0)
}

/// Samples of several files, by one ffmpeg: starting it takes longer than a short recording.
fn references(folder: &Path, files: &[(String, u32)]) -> Vec<Vec<f32>> {
    let mut arguments: Vec<String> = files.iter().flat_map(|(file, _)| ["-i".into(), file.clone()]).collect();
    for (index, (file, rate)) in files.iter().enumerate() {
        let (track, raw) = (format!("{index}:a:0"), format!("{file}.f32"));
        arguments.extend(["-map", &track, "-ar", &rate.to_string(), "-f", "f32le", &raw].map(str::to_owned));
    }
    ffmpeg(folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let samples = |(file, _): &(String, u32)| {
        let raw = std::fs::read(folder.join(format!("{file}.f32"))).expect("its samples");
        raw.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    files.iter().map(samples).collect()
}

/// Correlation of two signals, at the delay of at most `most` samples at which it is highest, and
/// that delay.
fn correlation(one: &[f32], other: &[f32], most: usize, step: usize) -> (f32, isize) {
    let at = |lag: isize| {
        let (one, other) = if lag >= 0 {
            (one.get(lag as usize..).unwrap_or_default(), other)
        } else {
            (one, other.get(lag.unsigned_abs()..).unwrap_or_default())
        };
        let (mut both, mut first, mut second) = (0f64, 0f64, 0f64);
        for (&one, &other) in one.iter().zip(other) {
            let (one, other) = (f64::from(one), f64::from(other));
            (both, first, second) = (both + one * other, first + one * one, second + other * other);
        }
        (both / (first * second).sqrt().max(f64::MIN_POSITIVE)) as f32
    };
    let exact = at(0);
    if exact > 0.999 {
        return (exact, 0);
    }
    let most = most as isize;
    let lags = (-most..=most).filter(|lag| lag % step as isize == 0);
    lags.map(|lag| (at(lag), lag)).fold((exact, 0), |best, next| if next.0 > best.0 { next } else { best })
}
