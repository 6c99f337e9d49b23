//! Speech whose words are known.

use std::error::Error;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use hearken::audio::{self, Format, Samples};

/// Prompts of a telephone system, spoken by a person (Debian's asterisk-core-sounds-en-wav, CC
/// BY-SA 3.0), and their texts.
const PROMPTS: &str = "/usr/share/asterisk/sounds/en";
const TEXTS: &str = "/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz";

/// Prompts that are whole sentences, one for each demonstration. Their difficulty is not names and
/// figures but 8 kHz, half of the sample rate that Whisper was trained on.
const SENTENCES: [&str; 3] = ["demo-congrats", "demo-abouttotry", "demo-echotest"];

/// Phrases for espeak-ng where there are no such prompts, with a pause after each.
const PHRASES: [&str; 6] = [
    "seven three nine two zero five",
    "volume up",
    "one two three four five",
    "go left",
    "nine one one",
    "stop",
];

/// Recordings of a person who names loudspeakers (Debian's alsa-utils). The model inside hearken
/// was not trained on this voice.
const CHANNELS: &str = "/usr/share/sounds/alsa";
const CHANNEL_NAMES: [&str; 8] = [
    "Front_Left",
    "Front_Center",
    "Front_Right",
    "Side_Left",
    "Side_Right",
    "Rear_Left",
    "Rear_Center",
    "Rear_Right",
];

/// Silence after each phrase, in seconds: long enough to end an utterance.
const PAUSE: f32 = 0.9;

/// A recording in memory.
#[derive(Clone)]
pub(crate) struct Recording {
    /// File name without the path.
    pub(crate) name: String,
    /// Reference text.
    pub(crate) said: String,
    /// Mono samples.
    pub(crate) samples: Vec<f32>,
    pub(crate) sample_rate: u32,
}

impl Recording {
    pub(crate) fn format(&self) -> Format {
        Format { sample_rate: self.sample_rate, channels: 1 }
    }

    /// As the library takes recordings.
    pub(crate) fn source(&self) -> Result<Samples, hearken::Error> {
        Ok(Samples::new(self.samples.clone(), self.format())?)
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate)
    }
}

/// Whole sentences, spoken by a person over the telephone.
pub(crate) fn people() -> Result<[Recording; 3], Box<dyn Error>> {
    let missing = |path: &str| format!("{path} is missing (Debian's asterisk-core-sounds-en and -wav)");
    let mut texts = String::new();
    GzDecoder::new(File::open(TEXTS).map_err(|_| missing(TEXTS))?).read_to_string(&mut texts)?;
    let [first, second, third] = SENTENCES.map(|name| {
        let said = texts.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let path = format!("{PROMPTS}/{name}.wav");
        let (samples, sample_rate) = read(Path::new(&path)).map_err(|_| missing(&path))?;
        let said = said.ok_or_else(|| format!("{TEXTS} does not say what {name} says"))?.to_owned();
        Ok::<_, Box<dyn Error>>(Recording {
            name: format!("{name}.wav, a person, 8 kHz"),
            said,
            samples,
            sample_rate,
        })
    });
    Ok([first?, second?, third?])
}

/// Speech that the model inside hearken knows: a synthesizer, and a person.
pub(crate) fn digits_and_commands() -> Result<[Recording; 3], Box<dyn Error>> {
    let phrases = espeak()?;
    let channels = channel_names().unwrap_or_else(|_| phrases.clone());
    Ok([phrases.clone(), channels, phrases])
}

fn espeak() -> Result<Recording, Box<dyn Error>> {
    fs::create_dir_all("target/demo")?;
    let part = PathBuf::from("target/demo/phrase.wav");
    let (mut samples, mut rate) = (Vec::new(), 0);
    for phrase in PHRASES {
        let mut espeak = Command::new("espeak-ng");
        let status = espeak.args(["-v", "en-us", "-s", "140", "-w"]).arg(&part).arg(phrase).status();
        let status =
            status.map_err(|error| format!("cannot run espeak-ng ({error}); `make setup` installs it"))?;
        if !status.success() {
            return Err("espeak-ng failed".into());
        }
        rate = append(&mut samples, &part)?;
    }
    fs::remove_file(part)?;
    Ok(Recording { name: "espeak-ng".to_owned(), said: PHRASES.join(" "), samples, sample_rate: rate })
}

fn channel_names() -> Result<Recording, Box<dyn Error>> {
    let (mut samples, mut rate) = (Vec::new(), 0);
    for name in CHANNEL_NAMES {
        rate = append(&mut samples, &Path::new(CHANNELS).join(name).with_extension("wav"))?;
    }
    let said = CHANNEL_NAMES.join(" ").replace('_', " ").to_lowercase();
    Ok(Recording { name: format!("{CHANNELS}, a person"), said, samples, sample_rate: rate })
}

/// Appends a recording and a pause behind it. Returns its sample rate.
fn append(samples: &mut Vec<f32>, path: &Path) -> Result<u32, hearken::Error> {
    let (more, rate) = read(path)?;
    samples.extend(more);
    samples.resize(samples.len() + (rate as f32 * PAUSE) as usize, 0.0);
    Ok(rate)
}

/// The samples of a file with one channel, and their rate.
fn read(path: &Path) -> Result<(Vec<f32>, u32), hearken::Error> {
    let mut source = audio::open(path)?;
    let (mut samples, mut block) = (Vec::new(), Vec::new());
    while source.read(&mut block)? > 0 {
        samples.extend_from_slice(&block);
    }
    Ok((samples, source.format().sample_rate))
}
