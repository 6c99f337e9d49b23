//! Human speech with its text: the prompts of telephone systems that Debian carries
//! (`asterisk-core-sounds-LANGUAGE-wav`, CC BY-SA 3.0, Russian CC BY 3.0; 8 kHz, one speaker a
//! language).

use std::fs::File;
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use flate2::read::GzDecoder;

use crate::speech::{self, Recording};

/// Silence between joined prompts: a speaker's pause between sentences.
pub const PAUSE_MS: u32 = 700;

/// A recording and its words.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The recording.
    pub recording: Recording,
    /// Reference text.
    pub text: String,
}

/// Length of the texts that count as sentences, in characters: shorter ones are words and names,
/// longer ones menus.
const SENTENCE: RangeInclusive<usize> = 36..=120;

/// The first `count` prompts of a language, by name, that are sentences and have no tones in them.
///
/// # Panics
///
/// When the packages are not installed: `make test` installs them.
pub fn sentences(language: &str, count: usize) -> Vec<Prompt> {
    let mut entries = entries(language);
    entries.retain(|(text, _)| SENTENCE.contains(&text.chars().count()));
    assert!(entries.len() >= count, "{language}: only {} prompts", entries.len());
    entries.truncate(count);
    entries.into_iter().map(read).collect()
}

/// The prompts of these names: paths in the folder of the language, without extension.
///
/// # Panics
///
/// When the packages are not installed, or there is no such prompt.
pub fn named(language: &str, names: &[&str]) -> Vec<Prompt> {
    let all = entries(language);
    let by_name = |name: &&str| {
        let path = folder(language).join(name).with_extension("wav");
        all.iter().find(|entry| entry.1 == path).unwrap_or_else(|| panic!("no prompt {name}")).clone()
    };
    names.iter().map(by_name).map(read).collect()
}

fn folder(language: &str) -> PathBuf {
    PathBuf::from(format!("/usr/share/asterisk/sounds/{language}"))
}

fn read((text, path): (String, PathBuf)) -> Prompt {
    Prompt { recording: speech::read(&path), text }
}

/// Texts and recordings without tones, by name.
fn entries(language: &str) -> Vec<(String, PathBuf)> {
    let list = format!("/usr/share/doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt.gz");
    let missing = format!("{list}: asterisk-core-sounds-{language} and -wav are installed by `make test`");
    let mut texts = String::new();
    GzDecoder::new(File::open(&list).expect(&missing)).read_to_string(&mut texts).expect(&missing);
    let folder = folder(language);
    let mut entries: Vec<(String, PathBuf)> = texts
        .lines()
        .filter(|line| !line.starts_with(';') && !line.contains(['(', '[', '<']))
        .filter_map(|line| line.split_once(": "))
        .map(|(name, text)| (text.trim().to_owned(), folder.join(name.trim()).with_extension("wav")))
        // Texts without a recording, and the other way round, are part of the packages.
        .filter(|(_, path)| path.is_file())
        .collect();
    entries.sort();
    // Some are there twice, under two names.
    entries.dedup_by(|one, other| one.0 == other.0);
    entries.sort_by(|one, other| one.1.cmp(&other.1));
    entries
}

/// The prompts joined to recordings of at least `seconds`, in order, with a pause after each.
pub fn joined(prompts: &[Prompt], seconds: f32) -> Vec<Prompt> {
    let mut all: Vec<Vec<&Prompt>> = Vec::new();
    let mut length = f32::INFINITY;
    for prompt in prompts {
        if length >= seconds {
            length = 0.0;
            all.push(Vec::new());
        }
        length += prompt.recording.samples.len() as f32 / prompt.recording.format.sample_rate as f32
            + PAUSE_MS as f32 / 1e3;
        all.last_mut().expect("it was begun").push(prompt);
    }
    // What is left over goes with the last whole one.
    if let [.., whole, rest] = &mut all[..]
        && length < seconds
    {
        whole.append(rest);
        all.pop();
    }
    let join = |prompts: &Vec<&Prompt>| Prompt {
        recording: speech::join(
            &prompts.iter().map(|prompt| prompt.recording.clone()).collect::<Vec<_>>(),
            PAUSE_MS,
        ),
        text: prompts.iter().map(|prompt| prompt.text.as_str()).collect::<Vec<_>>().join(" "),
    };
    all.iter().map(join).collect()
}
