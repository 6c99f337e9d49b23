//! The programs of `examples/voice-app`.

use std::path::{Path, PathBuf};

use hearken_tests::command::{run, run_with_input};
use hearken_tests::speech::{Recording, espeak};
use hearken_tests::wav;

use crate::library::{Library, Linked};

const PHRASES: [&str; 2] = ["seven three nine two zero five", "go left"];

/// Flags of hearken's own sanitizer run of a program.
const SANITIZE: &[&str] = &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/voice-app").join(name)
}

/// The phrases with a second of silence after each, brought to this rate by repeating samples.
fn speech(rate: u32) -> Vec<f32> {
    let mut all = Vec::new();
    for phrase in PHRASES {
        let Recording { samples, format, .. } = espeak("en-us", 140, phrase);
        let frames = samples.len() as u64 * u64::from(rate) / u64::from(format.sample_rate);
        let at = |frame: u64| samples[(frame * u64::from(format.sample_rate) / u64::from(rate)) as usize];
        all.extend((0..frames).map(at));
        all.resize(all.len() + rate as usize, 0.0);
    }
    all
}

/// Recognized texts, line by line, without the times.
fn said(stdout: &str) -> Vec<String> {
    let text = |line: &str| line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
    stdout.lines().map(text).collect()
}

fn captions(linked: Linked, flags: &[&str]) {
    let program =
        Library::installed().compile("cc", &source("captions.c"), linked, &[&["-std=c11"], flags].concat());
    let ended = run_with_input(&mut program.command(), &wav::s16le(&speech(16_000)));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert_eq!(said(&ended.stdout), PHRASES);
}

#[test]
fn captions_in_c_with_the_shared_library() {
    captions(Linked::Shared, &[]);
}

#[test]
fn captions_in_c_with_the_static_library() {
    captions(Linked::Static, &[]);
}

#[test]
fn captions_in_c_under_the_sanitizers() {
    captions(Linked::Shared, SANITIZE);
}

#[test]
fn captions_say_what_is_wrong() {
    let program = Library::installed().compile("cc", &source("captions.c"), Linked::Shared, &["-std=c11"]);
    let ended = run(program.command().args(["--model", "/no/such/model.bin"]));
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("/no/such/model.bin") && ended.stderr.contains("HEARKEN_ERROR_MODEL"),
        "{ended:?}"
    );
    let ended = run(program.command().args(["--language", "de"]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("English"), "{ended:?}");
    assert_eq!(run(program.command().arg("--no-such-option")).code, Some(2));
}

fn listen(flags: &[&str]) {
    let program = Library::installed().compile(
        "c++",
        &source("listen.cpp"),
        Linked::Shared,
        &[&["-std=c++17"], flags].concat(),
    );
    let stereo: Vec<u8> = speech(48_000)
        .iter()
        .flat_map(|sample| [sample.to_le_bytes(), sample.to_le_bytes()])
        .flatten()
        .collect();
    let ended = run_with_input(&mut program.command(), &stereo);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert_eq!(said(&ended.stdout), PHRASES);
}

#[test]
fn a_voice_app_in_cpp() {
    listen(&[]);
}

#[test]
fn a_voice_app_in_cpp_under_the_sanitizers() {
    listen(SANITIZE);
}

#[test]
fn a_voice_app_in_cpp_says_what_is_wrong() {
    let program = Library::installed().compile("c++", &source("listen.cpp"), Linked::Shared, &["-std=c++17"]);
    let ended = run(program.command().arg("/no/such/model.bin"));
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("/no/such/model.bin"), "{ended:?}");
}
