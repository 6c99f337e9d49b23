//! Transcribes digits and commands that espeak-ng speaks, and a person's voice, and shows how right it was.
//!
//! Run by `make demo`. What espeak-ng said stays in `target/demo/clip.wav`, to be listened to.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use hearken::audio::{self, Format, Samples};
use hearken::measure::Errors;
use hearken::{Engine, Model, ModelSource, TranscribeOptions};

/// What espeak-ng says, with a pause after each.
const PHRASES: [&str; 6] = [
    "seven three nine two zero five",
    "volume up",
    "one two three four five",
    "go left",
    "nine one one",
    "stop",
];

/// A voice that Debian's alsa-utils brings, to tell loudspeakers apart. The embedded model was not trained on it.
const CHANNELS: &str = "/usr/share/sounds/alsa";

/// What is said in the files of that voice, which are named so.
const CHANNEL_NAMES: [&str; 8] = [
    "front left",
    "front center",
    "front right",
    "side left",
    "side right",
    "rear left",
    "rear center",
    "rear right",
];

/// Pause after each phrase, in milliseconds: long enough to end an utterance.
const PAUSE_MS: u32 = 900;

/// Speech whose words are known.
struct Clip {
    name: String,
    said: String,
    samples: Vec<f32>,
    sample_rate: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new("target/demo");
    std::fs::create_dir_all(folder)?;
    let spoken = speak(folder)?;
    std::fs::write(folder.join("clip.wav"), wav(&spoken.samples, spoken.sample_rate))?;

    let engine = Engine::builder()
        .on_prepare(|step| {
            if let hearken::Preparation::Started { name } = step {
                println!("preparing {name} in the sandbox, once …");
            }
        })
        .build()?;
    let model = engine.load(&ModelSource::Embedded)?;
    show(&model, spoken)?;
    if Path::new(CHANNELS).is_dir() {
        show(&model, channel_names()?)?;
    } else {
        println!("  A person's voice would be here if Debian's alsa-utils were installed.");
    }
    Ok(())
}

/// Transcribes a clip, and prints what was said, what was heard, and when.
fn show(model: &Model, clip: Clip) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let mut source = Samples::new(clip.samples, Format { sample_rate: clip.sample_rate, channels: 1 })?;
    let transcript = model.transcribe(&mut source, &TranscribeOptions::new(), |_| {})?;
    let seconds = transcript.duration as f64 / f64::from(hearken::SAMPLE_RATE);
    let speed = seconds / started.elapsed().as_secs_f64();

    let heard = transcript.text();
    let errors = Errors::between(clip.said.split_whitespace(), heard.split_whitespace());
    println!();
    println!("  clip        {} ({seconds:.1} s)", clip.name);
    println!("  said        {}", clip.said);
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

/// A recording, with a pause behind it, after what there is already. Gives its sample rate.
fn append(samples: &mut Vec<f32>, path: &Path) -> Result<u32, Box<dyn Error>> {
    let mut source = audio::open(path)?;
    let Format { sample_rate, channels } = source.format();
    if channels != 1 {
        return Err(format!("{} has {channels} channels instead of one", path.display()).into());
    }
    let mut block = Vec::new();
    while source.read(&mut block)? > 0 {
        samples.extend_from_slice(&block);
    }
    samples.resize(samples.len() + (sample_rate * PAUSE_MS / 1000) as usize, 0.0);
    Ok(sample_rate)
}

/// What espeak-ng says.
fn speak(folder: &Path) -> Result<Clip, Box<dyn Error>> {
    let part = folder.join("phrase.wav");
    let (mut samples, mut sample_rate) = (Vec::new(), 0);
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
        sample_rate = append(&mut samples, &part)?;
    }
    std::fs::remove_file(part)?;
    let name = folder.join("clip.wav").display().to_string();
    Ok(Clip { name: format!("{name}, espeak-ng"), said: PHRASES.join(" "), samples, sample_rate })
}

/// The person's voice, one channel after the other.
fn channel_names() -> Result<Clip, Box<dyn Error>> {
    let (mut samples, mut sample_rate) = (Vec::new(), 0);
    for name in CHANNEL_NAMES {
        let file: Vec<String> = name.split(' ').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        sample_rate = append(&mut samples, &Path::new(CHANNELS).join(file.join("_") + ".wav"))?;
    }
    Ok(Clip { name: format!("{CHANNELS}, a person"), said: CHANNEL_NAMES.join(" "), samples, sample_rate })
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
