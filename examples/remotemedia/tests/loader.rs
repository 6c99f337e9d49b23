//! The plug-in in RemoteMedia's own runtime, a wheel of PyPI: their loader, executor and session.

use std::fs;
use std::path::Path;
use std::process::Command;

use hearken::audio::Format;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Engine, ModelSource};
use hearken_measure::Errors;
use hearken_tests::command::binary;
use hearken_tests::prompts::{self, Prompt};
use serde_json::{Value, json};

/// Runs a pipeline over the samples: the lines that come out, or what went wrong.
fn pipeline(parameters: &Value, format: Format, samples: &[f32]) -> Result<Vec<Value>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let release = binary().parent().expect("a folder of builds").to_owned();
    // What Debian 12 lacks of glibc.
    let glibc = folder.path().join("glibc.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&glibc).arg(here.join("glibc.c"));
    assert!(compiler.status().expect("a C compiler").success());
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let audio = folder.path().join("samples.f32");
    fs::write(&audio, bytes).expect("room for samples");
    let manifest = json!({
        "version": "v1", "metadata": { "name": "captions" }, "connections": [],
        "nodes": [{ "id": "captions", "node_type": "HearkenWhisperNode", "params": parameters }],
    });
    let mut python = Command::new(release.join("../remotemedia/bin/python"));
    let lines = folder.path().join("lines.json");
    python.env("LD_PRELOAD", &glibc).arg(here.join("pipeline.py")).arg(&lines);
    python.arg(release.join("libhearken_remotemedia.so")).arg(manifest.to_string());
    python.args([format.sample_rate.to_string(), format.channels.to_string()]).arg(&audio);
    let ended = python.output().expect("`.ci/setup clients` makes it");
    if !ended.status.success() {
        return Err(format!("{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr)));
    }
    let lines = fs::read_to_string(lines).expect("lines");
    Ok(lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

/// Two sentences with a pause, as many times as fast as the recording and on both of two channels.
fn speech(times: usize) -> (Format, Vec<f32>) {
    let joined: Vec<Prompt> = prompts::joined(&prompts::sentences("en", 2), 30.0);
    let recording = &joined.first().expect("speech").recording;
    let rate = recording.format.sample_rate * times as u32;
    let mut samples = Vec::new();
    for pair in recording.samples.windows(2) {
        for step in 0..times {
            let sample = pair[0] + (pair[1] - pair[0]) * step as f32 / times as f32;
            samples.extend([sample, sample]);
        }
    }
    // In the midst of speech: the end of audio is the end of the last utterance.
    let last = samples.iter().rposition(|sample| sample.abs() > 0.05).expect("speech") / 2 * 2;
    samples.truncate(last);
    (Format { sample_rate: rate, channels: 2 }, samples)
}

/// Texts of the utterances that a session of the library hears.
fn expected(model: ModelSource, format: Format, samples: &[f32]) -> Vec<String> {
    let model = Engine::new().and_then(|engine| engine.load(&model)).expect("a model");
    let options = SessionOptions::new(format).language("en".to_owned());
    let mut session = Session::new(&model, options).expect("a session");
    session.push(samples).expect("room for audio");
    session.finish().expect("an end");
    let finals = session.events().iter().filter_map(|event| match event {
        SessionEvent::Final { words, .. } if !words.is_empty() => {
            Some(words.iter().map(|word| word.text.clone()).collect::<Vec<_>>().join(" "))
        }
        _ => None,
    });
    finals.collect()
}

#[test]
fn their_runtime_gets_committed_text_of_any_rate() {
    let path = hearken_tests::official::official("tiny.en");
    let parameters = json!({ "model_path": path, "language": "en", "streaming_decode_interval_ms": 1000 });
    let model = path.map_or(ModelSource::Embedded, ModelSource::File);
    let (format, samples) = speech(3);
    let lines = pipeline(&parameters, format, &samples).expect("it runs");
    let (loaded, outputs) = lines.split_first().expect("what was loaded");
    assert_eq!(loaded["node_types"], json!(["HearkenWhisperNode"]), "by their loader");
    let events: Vec<&Value> = outputs.iter().map(|output| &output[1]["value"]).collect();
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let (mut stable, mut finals, mut committed_early) = (String::new(), Vec::new(), false);
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["revision"], json!(index + 1), "{event}");
        let (now, unstable) = (text(event, "stable_text"), text(event, "unstable_text"));
        assert_eq!(text(event, "text"), format!("{now} {unstable}").trim(), "{event}");
        if event["type"] == "final" {
            finals.push(now);
            stable.clear();
        } else {
            // The end of an utterance may put other marks behind its words.
            assert!(now.starts_with(&stable), "{stable:?} was taken back: {event}");
            committed_early |= !now.is_empty();
            stable = now;
        }
    }
    assert!(committed_early, "text is stable before its utterance ends: {events:?}");
    // The session beside it has all audio at once: its windows, and so marks and words, may differ.
    let expected = expected(model, format, &samples).join(" ");
    let errors = Errors::of_characters(&expected, &finals.join(" ")).rate().expect("text");
    assert!(errors <= 0.1, "{errors}: {finals:?}, {expected:?}");
}

#[test]
fn their_runtime_is_told_what_is_wrong() {
    let format = Format { sample_rate: 16_000, channels: 1 };
    for (parameters, told) in [
        (json!({ "task": "sing" }), "it must be transcribe or translate"),
        (json!({ "model_path": "/nowhere/model.bin" }), "/nowhere/model.bin"),
    ] {
        let message = pipeline(&parameters, format, &[0.0; 1600]).expect_err(told);
        assert!(message.contains(told), "{told}: {message}");
    }
}
