//! Word error rates of files and of streams, as `hearken eval` measures them on LibriSpeech, stay
//! within limits.

use std::fs;
use std::path::PathBuf;

use hearken_tests::command::{fine, hearken};
use hearken_tests::official::official;
use hearken_tests::speech;
use serde_json::Value;
use tempfile::TempDir;

use crate::limits::{FILES, Files, Rates, STREAM_ERRORS, hold};

/// Maximum amount of audio [s].
const SECONDS: f32 = 100.0;

/// The list is sorted by speaker: lines so far apart are of one speaker after the other. A prime,
/// so that no line comes twice.
const STRIDE: usize = 61;

/// Some of LibriSpeech, spread over its speakers, and the root of its paths, where
/// `HEARKEN_RECORDINGS` names a list that has it.
fn librispeech() -> Option<(TempDir, PathBuf)> {
    let Some(listed) = std::env::var_os("HEARKEN_RECORDINGS") else {
        println!("skipped: HEARKEN_RECORDINGS names no list of recordings");
        return None;
    };
    let listed = PathBuf::from(listed);
    let text = fs::read_to_string(&listed).unwrap_or_else(|error| panic!("{}: {error}", listed.display()));
    let all: Vec<&str> = text.lines().filter(|line| line.starts_with("librispeech/")).collect();
    let root = listed.parent().expect("a list lies in a folder").to_owned();
    let (mut lines, mut seconds) = (String::new(), 0.0);
    for line in (0..all.len()).map(|index| all[index * STRIDE % all.len()]) {
        let path = line.split('\t').next().expect("a path");
        let recording = speech::read(&root.join(path));
        seconds += recording.samples.len() as f32 / recording.format.sample_rate as f32;
        if seconds > SECONDS {
            break;
        }
        lines += &format!("{line}\n");
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("refs.tsv"), lines).expect("a list");
    Some((folder, root))
}

fn hold_librispeech(files: &Files) {
    let (Some(model), Some((folder, root))) = (official(files.model), librispeech()) else { return };
    let mut eval = hearken(&["eval", "--json", "--ways", "offline,streaming"]);
    eval.arg(folder.path().join("refs.tsv")).arg("--root").arg(root).arg("--model").arg(model);
    let figures: Value = serde_json::from_str(&fine(&mut eval)).expect("JSON");
    let (file, stream) = (&figures["offline"]["wer"], &figures["streaming"][0]["computation_unaware"]["wer"]);
    let limits = ((files.librispeech, Rates::read(file)), (STREAM_ERRORS, Rates::read(stream)));
    hold("LibriSpeech", files.model, limits.0, limits.1);
}

#[test]
fn tiny_en_hears_librispeech() {
    hold_librispeech(&FILES[0]);
}

#[test]
fn base_hears_librispeech() {
    hold_librispeech(&FILES[1]);
}
