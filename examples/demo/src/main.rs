//! Makes a clip of spoken digits and commands with espeak-ng, transcribes it, and shows how right it was.
//!
//! Run by `make demo`. The clip stays in `target/demo/clip.wav`, to be listened to.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use hearken::audio::{self, Format, Samples};
use hearken::measure::Errors;
use hearken::{Engine, ModelSource, TranscribeOptions};

/// What is said, with a pause after each.
const PHRASES: [&str; 6] = [
    "seven three nine two zero five",
    "volume up",
    "one two three four five",
    "go left",
    "nine one one",
    "stop",
];

/// Pause after each phrase, in milliseconds: long enough to end an utterance.
const PAUSE_MS: u32 = 900;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new("target/demo");
    std::fs::create_dir_all(folder)?;
    let (samples, sample_rate) = speak(folder)?;
    let clip = folder.join("clip.wav");
    std::fs::write(&clip, wav(&samples, sample_rate))?;

    let engine = Engine::builder()
        .on_prepare(|step| {
            if let hearken::Preparation::Started { name } = step {
                println!("preparing {name} in the sandbox, once …");
            }
        })
        .build()?;
    let model = engine.load(&ModelSource::Embedded)?;
    let started = Instant::now();
    let mut source = Samples::new(samples, Format { sample_rate, channels: 1 })?;
    let transcript = model.transcribe(&mut source, &TranscribeOptions::new(), |_| {})?;
    let seconds = transcript.duration as f64 / f64::from(hearken::SAMPLE_RATE);
    let speed = seconds / started.elapsed().as_secs_f64();

    let (reference, heard) = (PHRASES.join(" "), transcript.text());
    let errors = Errors::between(reference.split_whitespace(), heard.split_whitespace());
    println!();
    println!("  clip        {} ({seconds:.1} s, espeak-ng)", clip.display());
    println!("  said        {reference}");
    println!("  transcript  {heard}");
    println!(
        "  word error rate {:.1} % ({} of {} words), {speed:.0} × real time",
        errors.rate().unwrap_or_default() * 100.0,
        errors.edits(),
        errors.reference
    );
    println!();
    for segment in &transcript.segments {
        let at = |sample: u64| sample as f64 / f64::from(hearken::SAMPLE_RATE);
        println!("  {:>5.2} – {:>5.2} s  {}", at(segment.start), at(segment.end), segment.text);
    }
    println!();
    Ok(())
}

/// Speaks the phrases, and joins them with pauses.
fn speak(folder: &Path) -> Result<(Vec<f32>, u32), Box<dyn Error>> {
    let part = folder.join("phrase.wav");
    let (mut samples, mut block, mut rate) = (Vec::new(), Vec::new(), 0);
    for phrase in PHRASES {
        let status = Command::new("espeak-ng")
            .args(["-v", "en-us", "-s", "140", "-w"])
            .arg(&part)
            .arg(phrase)
            .status()
            .map_err(|error| format!("cannot run espeak-ng ({error}); `make setup` installs it"))?;
        if !status.success() {
            return Err("espeak-ng failed".into());
        }
        let mut source = audio::open(&part)?;
        rate = source.format().sample_rate;
        while source.read(&mut block)? > 0 {
            samples.extend_from_slice(&block);
        }
        samples.resize(samples.len() + (rate * PAUSE_MS / 1000) as usize, 0.0);
    }
    std::fs::remove_file(part)?;
    Ok((samples, rate))
}

/// A mono 16-bit WAV file.
fn wav(samples: &[f32], rate: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let bytes = samples.len() as u32 * 2;
    for (tag, value) in [("RIFF", bytes + 36), ("WAVEfmt ", 16)] {
        file.extend_from_slice(tag.as_bytes());
        file.extend_from_slice(&value.to_le_bytes());
    }
    for value in [1u16, 1] {
        file.extend_from_slice(&value.to_le_bytes());
    }
    file.extend_from_slice(&rate.to_le_bytes());
    file.extend_from_slice(&(rate * 2).to_le_bytes());
    for value in [2u16, 16] {
        file.extend_from_slice(&value.to_le_bytes());
    }
    file.extend_from_slice(b"data");
    file.extend_from_slice(&bytes.to_le_bytes());
    for sample in samples {
        file.extend_from_slice(&((sample * 32767.0) as i16).to_le_bytes());
    }
    file
}
