//! `hearken live` and `hearken file --realtime`, seen as a person sees them, and through a pipe.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

use hearken_tests::command::{binary, hearken, run, settle};
use hearken_tests::sound::SoundSystem;
use hearken_tests::speech::{Recording, espeak};
use hearken_tests::terminal::{Terminal, shows_dim};
use hearken_tests::wav;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const PHRASE: &str = "seven three nine two zero five";

/// An utterance that is long enough for text to come while it lasts, however slow the machine.
const COUNTING: &str =
    "one two one two one two one two one two one two one two one two one two one two one two";

/// These utterances, with a second of silence after each.
fn recording(utterances: &[&str]) -> Recording {
    let mut all = espeak("en-us", 140, "");
    all.samples.clear();
    for utterance in utterances {
        all.samples.extend(espeak("en-us", 140, utterance).samples);
        all.samples.resize(all.samples.len() + all.format.sample_rate as usize, 0.0);
    }
    all
}

/// `hearken live` on this sound system.
fn live(sound: &SoundSystem, arguments: &[&str]) -> Command {
    let mut command = sound.command(binary());
    settle(command.arg("live").args(arguments));
    command
}

fn interrupt(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("the command still runs");
}

/// Waits until the command says that it listens. Libraries of sound systems may write before.
fn listening(child: &mut Child) -> BufReader<ChildStderr> {
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let (mut said, mut line) = (String::new(), String::new());
    while !line.starts_with("hearken: listening to ") {
        said.push_str(&line);
        line.clear();
        assert!(stderr.read_line(&mut line).expect("text") > 0, "it never listened:\n{said}");
    }
    stderr
}

/// A folder, and a path in it.
fn save(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    (folder, path)
}

#[test]
fn a_microphone_is_captioned_on_a_terminal_and_saved() {
    let Some(sound) = SoundSystem::start() else { return };
    let (_folder, subtitles) = save("talk.srt");
    let terminal = Terminal::open(16, 60).unwrap();
    let rolling = subtitles.with_file_name("captions.txt");
    let mut command =
        live(&sound, &["--save", subtitles.to_str().unwrap(), "--rolling", rolling.to_str().unwrap()]);
    command.stdout(terminal.stdio().unwrap()).stderr(terminal.stdio().unwrap());
    let mut child = command.spawn().unwrap();
    terminal.wait_for("Ctrl-C ends");
    let mut player = sound.play(&recording(&[COUNTING, PHRASE, "go left"]));
    // What may still change is dim, what is complete is not, and has its time.
    terminal.wait("dim text", |screen| shows_dim(screen, "two"));
    let screen = terminal.wait_for("  seven three nine two zero five");
    assert_eq!(screen.matches("seven").count(), 1, "drawn in place:\n{screen}");
    let shown = fs::read_to_string(&rolling).unwrap();
    assert!(shown.lines().count() <= 2 && shown.contains("nine two zero five"), "{shown}");
    terminal.wait("complete text", |screen| !shows_dim(screen, "two") && !shows_dim(screen, "seven"));
    assert!(player.wait().unwrap().success());
    interrupt(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let screen = terminal.wait("a clean end", |screen| !screen.contents().contains("Ctrl-C ends"));
    let lines: Vec<&str> = screen.lines().filter(|line| line.contains(':')).collect();
    assert!(lines.iter().any(|line| line.ends_with("  go left")), "{screen}");
    assert_eq!(fs::read_to_string(rolling).unwrap(), "", "nobody speaks any more");
    let saved = fs::read_to_string(subtitles).unwrap();
    assert!(saved.contains(PHRASE) && saved.contains("go left") && saved.contains(" --> "), "{saved}");
}

#[test]
fn captions_stay_whole_when_the_terminal_becomes_narrow() {
    let Some(sound) = SoundSystem::start() else { return };
    let terminal = Terminal::open(16, 60).unwrap();
    let mut command = live(&sound, &[]);
    command.stdout(terminal.stdio().unwrap()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    terminal.wait_for("Ctrl-C ends");
    let mut player = sound.play(&recording(&[COUNTING, PHRASE, "go left"]));
    terminal.wait("dim text", |screen| shows_dim(screen, "two"));
    terminal.resize(16, 20).unwrap();
    // Wrapped between words, the second line below the first.
    terminal.wait_for("  seven three\n       nine two\n       zero five");
    assert!(player.wait().unwrap().success());
    interrupt(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_pipe_gets_every_change_as_a_line() {
    let Some(sound) = SoundSystem::start() else { return };
    let mut command = live(&sound, &["--format", "jsonl"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = listening(&mut child);
    let mut player = sound.play(&recording(&[COUNTING, PHRASE]));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut events: Vec<Value> = Vec::new();
    let mut next = |events: &mut Vec<Value>| match lines.next() {
        Some(line) => events.push(serde_json::from_str(&line.unwrap()).unwrap()),
        None => panic!("ended after {events:?}"),
    };
    // Lines come while it goes on: both segments before it is asked to end.
    while events.iter().filter(|event| event["type"] == "segment").count() < 2 {
        next(&mut events);
    }
    assert!(player.wait().unwrap().success());
    interrupt(&child, Signal::TERM);
    while events.last().is_some_and(|event| event["type"] != "end") {
        next(&mut events);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");

    assert_eq!(events[0]["type"], "partial");
    let texts: Vec<&str> = events.iter().filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(texts.len(), 2);
    assert_eq!(texts[1], PHRASE);
    // Committed words are the segment's, in order.
    let first = events.iter().position(|event| event["type"] == "segment").unwrap();
    let committed: Vec<&Value> =
        events[..first].iter().flat_map(|event| event["committed"].as_array().unwrap()).collect();
    let words = events[first]["words"].as_array().unwrap();
    assert!(committed.iter().zip(words).all(|(committed, word)| committed["word"] == word["word"]));
}

#[test]
fn a_microphone_that_is_pulled_out_costs_nothing_of_what_was_said() {
    let Some(sound) = SoundSystem::start() else { return };
    let (_folder, text) = save("talk.txt");
    let mut command = live(&sound, &["--save", text.to_str().unwrap()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = listening(&mut child);
    let mut player = sound.play(&recording(&[PHRASE, "go left"]));
    // As soon as its first utterance stands there.
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), PHRASE);
    sound.unplug();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert!(said.contains(" is gone: ") && said.lines().count() == 1, "{said}");
    assert!(fs::read_to_string(text).unwrap().starts_with(PHRASE));
    let _ = player.wait();
}

#[test]
fn devices_are_listed_and_chosen_by_name() {
    let Some(sound) = SoundSystem::start() else { return };
    let mut list = sound.command(binary());
    settle(list.args(["devices", "--json"]));
    let ended = run(&mut list);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let devices: Value = serde_json::from_str(&ended.stdout).unwrap();
    let device = &devices[0];
    assert_eq!((&device["kind"], &device["default"]), (&Value::from("system"), &Value::from(true)));
    assert_eq!((&device["sample_rate"], &device["channels"]), (&Value::from(48_000), &Value::from(2)));
    let id = device["id"].as_str().unwrap();

    run(&mut live(&sound, &["--device", "webcam"])).only_says(1, &["webcam", "hearken devices"]);
    for chosen in [&["--device", id][..], &["--device", "null output"], &["--source", "system"]] {
        let mut child = live(&sound, chosen).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        listening(&mut child);
        interrupt(&child, Signal::INT);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{chosen:?}");
    }
    // The same microphone by way of ALSA.
    if sound.has_alsa_plugin() {
        let mut command = live(&sound, &["--sound-system", "alsa", "--device", "pulse"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        listening(&mut child);
        let mut player = sound.play(&recording(&[PHRASE, "go left"]));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), PHRASE);
        assert!(player.wait().unwrap().success());
        interrupt(&child, Signal::INT);
        child.wait().unwrap();
    }
}

#[test]
fn impossible_requests_are_refused_before_any_work() {
    let (_folder, taken) = save("taken.txt");
    fs::write(&taken, "yesterday's meeting").unwrap();
    let taken_name = taken.to_str().unwrap();
    run(&mut hearken(&["live", "--save", taken_name])).only_says(1, &[taken_name, "choose another name"]);
    assert_eq!(fs::read_to_string(&taken).unwrap(), "yesterday's meeting");
    run(&mut hearken(&["live", "--save", "talk.doc"])).only_says(2, &["talk.doc", ".srt"]);
    let ended = run(&mut hearken(&["live", "--sound-system", "gramophone"]));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("no sound system"), "{ended:?}");
    let ended = run(&mut hearken(&["live", "--device", "a", "--source", "system"]));
    assert_eq!(ended.code, Some(2), "{ended:?}");
}

#[test]
fn a_recording_at_its_own_pace_looks_the_same() {
    let (_folder, path) = save("talk.wav");
    let Recording { samples, format, .. } = recording(&[COUNTING, PHRASE, "go left"]);
    fs::write(&path, wav::pcm16(&samples, format.sample_rate, format.channels)).unwrap();
    let terminal = Terminal::open(16, 60).unwrap();
    let mut command = hearken(&["file", "--realtime", path.to_str().unwrap()]);
    command.stdout(terminal.stdio().unwrap()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    terminal.wait("dim text", |screen| shows_dim(screen, "two"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let screen = terminal.wait_for("go left");
    assert_eq!(screen.matches("seven").count(), 1, "{screen}");

    let ended = run(&mut hearken(&["file", "--realtime", "-f", "jsonl", path.to_str().unwrap()]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("\"type\":\"partial\""), "{ended:?}");
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let ended = hearken(&["man"]).arg(&pages).output().unwrap();
    assert!(ended.status.success() && ended.stdout.is_empty(), "{ended:?}");
    for command in
        ["live", "file", "devices", "serve", "load", "eval", "bench", "models-pull", "doctor", "man"]
    {
        let page = std::fs::read_to_string(pages.join(format!("hearken-{command}.1"))).expect(command);
        assert!(page.contains(".SH SYNOPSIS"), "{command}: {page}");
    }
    let page = std::fs::read_to_string(pages.join("hearken.1")).unwrap();
    assert!(page.contains("Exit codes"), "{page}");
    let ended = hearken(&["man", "/dev/null/man1"]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(1) && said.contains("/dev/null/man1"), "{ended:?}");
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = hearken(&["completions", shell]).output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        let script = String::from_utf8(ended.stdout).unwrap();
        assert!(script.contains("live") && script.contains("save"), "{shell}: {script}");
    }
}
