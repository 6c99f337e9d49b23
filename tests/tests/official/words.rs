//! Word error rates of files and of streams, as `hearken eval` measures them, stay within limits.

use std::fs;
use std::path::{Path, PathBuf};

use hearken_tests::command::{fine, hearken};
use hearken_tests::official::official;
use hearken_tests::prompts;
use hearken_tests::speech;
use hearken_tests::wav;
use serde_json::Value;
use tempfile::TempDir;

use crate::limits::{FILES, Files, STREAM_ERRORS, STREAM_MISSING, STREAM_PROMPT_ERRORS};

/// Number of English prompts that are measured, joined to recordings of a minimum length.
const PROMPTS: usize = 60;
const PROMPT_SECONDS: f32 = 30.0;

/// Maximum amount of audio from the recordings that `HEARKEN_RECORDINGS` lists [s].
const LISTED_SECONDS: f32 = 150.0;

/// The list is sorted by speaker: lines so far apart are of one speaker after the other. A prime,
/// so that no line comes twice.
const STRIDE: usize = 61;

/// A list of recordings, as `hearken eval` takes it.
struct List {
    folder: TempDir,
    /// Root of its paths.
    root: PathBuf,
}

impl List {
    fn new(lines: &str, root: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("refs.tsv"), lines).expect("a list");
        let root = root.unwrap_or(folder.path()).to_owned();
        Self { folder, root }
    }

    /// Debian's prompts, joined.
    fn prompts() -> Self {
        let joined = prompts::joined(&prompts::sentences("en", PROMPTS), PROMPT_SECONDS);
        let line =
            |(number, prompt): (usize, &prompts::Prompt)| format!("{number}.wav\ten\t{}\n", prompt.text);
        let list = Self::new(&joined.iter().enumerate().map(line).collect::<String>(), None);
        for (number, prompt) in joined.iter().enumerate() {
            let file = list.folder.path().join(format!("{number}.wav"));
            let (samples, rate) = (&prompt.recording.samples, prompt.recording.format.sample_rate);
            fs::write(file, wav::pcm16(samples, rate, 1)).expect("a recording");
        }
        list
    }

    /// Some of LibriSpeech, spread over its speakers, where `HEARKEN_RECORDINGS` names a list that
    /// has it.
    fn librispeech() -> Option<Self> {
        let Some(listed) = std::env::var_os("HEARKEN_RECORDINGS") else {
            println!("skipped: HEARKEN_RECORDINGS names no list of recordings");
            return None;
        };
        let listed = PathBuf::from(listed);
        let text =
            fs::read_to_string(&listed).unwrap_or_else(|error| panic!("{}: {error}", listed.display()));
        let all: Vec<&str> = text.lines().filter(|line| line.starts_with("librispeech/")).collect();
        let root = listed.parent().expect("a list lies in a folder").to_owned();
        let (mut lines, mut seconds) = (String::new(), 0.0);
        for line in (0..all.len()).map(|index| all[index * STRIDE % all.len()]) {
            let path = line.split('\t').next().expect("a path");
            let recording = speech::read(&root.join(path));
            seconds += recording.samples.len() as f32 / recording.format.sample_rate as f32;
            if seconds > LISTED_SECONDS {
                break;
            }
            lines += &format!("{line}\n");
        }
        Some(Self::new(&lines, Some(&root)))
    }

    /// Result of `hearken eval`, or nothing if the model is not here.
    fn measure(&self, model: &str) -> Option<Value> {
        let model = official(model)?;
        let mut eval = hearken(&["eval", "--json", "--ways", "offline,streaming"]);
        eval.arg(self.folder.path().join("refs.tsv")).arg("--root").arg(&self.root).arg("--model").arg(model);
        Some(serde_json::from_str(&fine(&mut eval)).expect("JSON"))
    }
}

/// Wrong and missing words, in per cent of the words of the reference.
fn rates(wer: &Value) -> (f64, f64) {
    let count = |name: &str| wer[name].as_f64().expect("a count");
    (100.0 * wer["rate"].as_f64().expect("a rate"), 100.0 * count("deletions") / count("words"))
}

/// Holds the figures of a list to the limits, for files and for streams.
fn hold(what: &str, files: &Files, (limit, stream_limit): (f64, f64), figures: &Value) {
    let (file, stream) = (&figures["offline"]["wer"], &figures["streaming"][0]["computation_unaware"]["wer"]);
    let ((wrong, missing), (wrong_live, missing_live)) = (rates(file), rates(stream));
    println!(
        "{}, {what}, {} words: {wrong:.1} % wrong in files ({missing:.1} % missing), {wrong_live:.1} % in streams \
         ({missing_live:.1} % missing)",
        files.model, file["words"]
    );
    assert!(
        wrong <= limit,
        "{}, {what}: {wrong:.1} % of the words of files are wrong, more than {limit} %",
        files.model
    );
    assert!(
        wrong_live <= wrong + stream_limit && missing_live <= missing + STREAM_MISSING,
        "{}, {what}: of a stream {wrong_live:.1} % are wrong and {missing_live:.1} % missing, of files {wrong:.1} % and {missing:.1} %",
        files.model
    );
}

fn hold_prompts(files: &Files) {
    if let Some(figures) = List::prompts().measure(files.model) {
        hold("Debian's prompts", files, (files.prompts, STREAM_PROMPT_ERRORS), &figures);
    }
}

fn hold_librispeech(files: &Files) {
    if let Some(figures) = List::librispeech().and_then(|list| list.measure(files.model)) {
        hold("LibriSpeech", files, (files.librispeech, STREAM_ERRORS), &figures);
    }
}

#[test]
fn tiny_en_hears_prompts() {
    hold_prompts(&FILES[0]);
}

#[test]
fn base_hears_prompts() {
    hold_prompts(&FILES[1]);
}

#[test]
fn tiny_en_hears_librispeech() {
    hold_librispeech(&FILES[0]);
}

#[test]
fn base_hears_librispeech() {
    hold_librispeech(&FILES[1]);
}
