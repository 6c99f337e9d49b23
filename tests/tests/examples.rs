//! Output of the examples.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hearken::audio::Resampler;
use hearken_tests::command::{fine, program, settle};
use hearken_tests::official::official;
use hearken_tests::speech::espeak;
use hearken_tests::wav;

/// Runs an example in a folder of its own.
fn show(name: &str, environment: &[(&str, &Path)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program(name));
    settle(command.current_dir(folder.path()));
    fine(command.envs(environment.iter().copied()))
}

/// Wrong words and all words of each demonstration.
fn word_errors(shown: &str) -> Vec<(u32, u32)> {
    let rates = shown.lines().filter_map(|line| line.trim().strip_prefix("word error rate "));
    rates
        .map(|rate| {
            let counts = rate.split(['(', ')']).nth(1).expect("counts");
            let (wrong, all) = counts.trim_end_matches(" words").split_once(" of ").expect("both");
            (wrong.parse().expect("a number"), all.parse().expect("a number"))
        })
        .collect()
}

/// Clips that the embedded model was not trained on: digits and commands by espeak-ng, and a person
/// who names loudspeakers. Numbers count as one word.
#[test]
fn the_demo_without_an_official_model_hears_digits_and_commands() {
    let shown = show("hearken-demo", &[]);
    let names = if Path::new("/usr/share/sounds/alsa").is_dir() { 16 } else { 8 };
    let errors = word_errors(&shown);
    assert_eq!(errors.iter().map(|(_, all)| *all).collect::<Vec<_>>(), [8, names, 8], "{shown}");
    let wrong: u32 = errors.iter().map(|(wrong, _)| wrong).sum();
    assert!(wrong <= 1, "{wrong} words are wrong:\n{shown}");
    assert!(shown.contains("the small model inside hearken"), "{shown}");
}

#[test]
fn the_demo_with_tiny_en_hears_people() {
    let Some(model) = official("tiny.en") else { return };
    let store = model.parent().expect("a model lies in a folder");
    let shown = show("hearken-demo", &[("HEARKEN_MODELS_DIR", store)]);
    let errors = word_errors(&shown);
    assert_eq!(errors.len(), 3, "{shown}");
    for (wrong, all) in errors {
        assert!(all >= 30 && wrong * 5 <= all, "{wrong} of {all} words are wrong:\n{shown}");
    }
    assert!(!shown.contains('\x1b'), "a pipe is no terminal:\n{shown:?}");
}

#[test]
fn both_tenants_get_their_captions() {
    let shown = show("hearken-multi-tenant", &[]);
    for line in ["    acme  seven three nine two zero five", " initech  one two three four five six"] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is missing:\n{shown}");
    }
    assert!(!shown.contains('\x1b'), "a pipe is no terminal:\n{shown:?}");
}

#[test]
fn a_stream_in_a_cluster_survives_its_worker() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/cluster/run");
    let mut command = Command::new(script);
    settle(command.env("HEARKEN", program("hearken")));
    let shown = fine(&mut command);
    let workers = |shown: &str| shown.lines().filter(|line| line.contains("  hearken")).count();
    let (before, after) = shown.split_once("kill -9").unwrap_or_else(|| panic!("{shown}"));
    assert_eq!((workers(before), workers(after)), (3, 2), "{shown}");
    for line in ["words lost                        0 of 12", "audio dropped by the server (s)   0.0"] {
        assert!(after.lines().any(|shown| shown == line), "{line} is missing:\n{shown}");
    }
}

/// Runs an example of the library; its output.
fn library_example(name: &str, arguments: &[&Path]) -> String {
    let mut command = Command::new(program("examples").join(name));
    settle(command.args(arguments));
    fine(&mut command)
}

/// A recording in which somebody says these words.
fn recording(folder: &Path, name: &str, text: &str) -> PathBuf {
    let said = espeak("en-us", 140, text);
    let path = folder.join(name);
    std::fs::write(&path, wav::pcm16(&said.samples, said.format.sample_rate, 1)).expect("a recording");
    path
}

#[test]
fn examples_of_the_library_transcribe() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = recording(folder.path(), "one.wav", "seven three nine two zero five");
    let two = recording(folder.path(), "two.wav", "go left");
    let segments = library_example("file", &[&one]);
    assert!(segments.trim_end().ends_with("  seven three nine two zero five"), "{segments}");
    let captions = library_example("sessions", &[&one, &two]);
    let mut lines: Vec<&str> = captions.lines().collect();
    lines.sort_unstable();
    let expected =
        [format!("{}: seven three nine two zero five", one.display()), format!("{}: go left", two.display())];
    assert_eq!(lines, expected);
    let pressed = library_example("push_to_talk", &[&one]);
    let (at, words) = pressed.trim().split_once("  ").expect("a time and words");
    let at: f64 = at.parse().expect("a time");
    assert!(
        (0.9..1.1).contains(&at) && !words.is_empty(),
        "the key is down from the first second on: {pressed}"
    );
}

#[test]
fn an_example_of_the_library_reads_standard_input() {
    let said = espeak("en-us", 140, "go left");
    let mut resampler = Resampler::new(said.format).expect("a format");
    let mut samples = Vec::new();
    resampler.push(&said.samples, &mut samples);
    resampler.finish(&mut samples);
    let mut command = Command::new(program("examples").join("source"));
    settle(&mut command);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(&wav::s16le(&samples)).expect("it reads");
    let ended = child.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "go left\n");
}

#[test]
fn an_example_of_the_library_refuses_what_is_no_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let speech = recording(folder.path(), "one.wav", "go left");
    let model = folder.path().join("model.bin");
    std::fs::write(&model, [b"lmgg".as_slice(), &[0xff; 1 << 12]].concat()).expect("a file");
    let mut command = Command::new(program("examples").join("untrusted_model"));
    settle(command.arg(&model).arg(&speech));
    let ended = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.code() == Some(1) && said.contains("refused: ") && said.contains("model.bin"),
        "{ended:?}"
    );
}

#[test]
fn an_example_of_the_library_uses_a_model_that_it_does_not_trust() {
    let Some(model) = official("tiny.en") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let speech = recording(folder.path(), "one.wav", "seven three nine two zero five");
    let said = library_example("untrusted_model", &[&model, &speech]);
    assert!(said.contains("7") || said.to_lowercase().contains("seven"), "{said}");
    assert!(!said.contains("lost: "), "{said}");
}

#[test]
fn examples_of_the_library_are_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/examples");
    let files = std::fs::read_dir(folder).expect("examples").map(|entry| entry.expect("an entry").path());
    let lines = |path: &PathBuf| std::fs::read_to_string(path).expect("text").lines().count();
    let counts: Vec<(PathBuf, usize)> = files.map(|path| (path.clone(), lines(&path))).collect();
    assert!(counts.len() >= 6 && counts.iter().all(|(_, lines)| *lines < 50), "{counts:?}");
}

/// Without a sound system the error says so; nothing listens in a test.
#[test]
fn an_example_of_the_library_needs_a_microphone() {
    let mut command = Command::new(program("examples").join("captions"));
    settle(command.env("PULSE_SERVER", "/nonexistent").env("ALSA_CONFIG_PATH", "/dev/null"));
    let ended = command.output().expect("it runs");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).starts_with("Error: "), "{ended:?}");
}
