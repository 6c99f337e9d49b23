//! `hearken.wasm`, the WASI command.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use hearken_tests::command::{self, Ended};
use hearken_tests::model::SyntheticModel;
use hearken_tests::official::official;
use hearken_tests::prompts;
use hearken_tests::wav;
use serde_json::{Value, json};
use wasmparser::{Parser, Payload};

use crate::{module, runtime};

/// Runtimes that the command is tried in.
#[derive(Debug, Clone, Copy)]
enum Runtime {
    Node,
    Wasmtime,
}

use Runtime::{Node, Wasmtime};

/// The command, ready to run; it sees `folder` as `work` and as `models`.
fn prepared(runtime: Runtime, folder: &Path, arguments: &[&str]) -> Command {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wasi");
    let (program, script) = match runtime {
        Node => ("node", "node.mjs"),
        Wasmtime => ("python", "wasmtime_py.py"),
    };
    let mut command = Command::new(crate::runtime(program));
    if matches!(runtime, Node) {
        command.arg("--no-warnings");
    }
    command.arg(here.join(script)).arg(module("hearken.wasm"));
    command.arg(format!("work={0},models={0}", folder.display())).args(arguments);
    command
}

/// Runs the command.
fn run(runtime: Runtime, folder: &Path, arguments: &[&str], stdin: Option<&Path>) -> Ended {
    let mut command = prepared(runtime, folder, arguments);
    command.stdin(match stdin {
        Some(path) => Stdio::from(fs::File::open(path).expect("the recording is there")),
        None => Stdio::null(),
    });
    let output = command.output().expect("the runtime starts");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// A folder with the model as `model.bin`, and people who speak English as `talk.wav`, at the rate
/// of telephones. Twelve sentences are 40 s, so that there are several chunks.
fn official_speech(sentences: usize) -> Option<tempfile::TempDir> {
    let model = official("tiny.en")?;
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(model, folder.path().join("model.bin")).expect("a copy");
    let prompts = prompts::sentences("en", sentences);
    let joined = prompts::joined(&prompts, 40.0);
    let recording = &joined.first().expect("speech").recording;
    let bytes = wav::pcm16(&recording.samples, recording.format.sample_rate, recording.format.channels);
    fs::write(folder.path().join("talk.wav"), bytes).expect("a recording");
    Some(folder)
}

/// The output of `hearken file --compute guest`.
fn expected(folder: &Path, format: &str) -> String {
    let model = folder.join("model.bin");
    let talk = folder.join("talk.wav");
    let (model, talk) = (model.to_str().expect("text"), talk.to_str().expect("text"));
    let mut hearken =
        command::hearken(&["file", "--compute", "guest", "--model", model, "--format", format, talk]);
    let ended = command::run(&mut hearken);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout
}

#[test]
fn it_imports_nothing_but_wasi_preview_1() {
    let bytes = fs::read(module("hearken.wasm")).expect("the module");
    let mut imports = 0;
    for payload in Parser::new(0).parse_all(&bytes) {
        if let Payload::ImportSection(section) = payload.expect("a module") {
            for import in section.into_imports() {
                let import = import.expect("an import");
                assert_eq!(import.module, "wasi_snapshot_preview1", "{}", import.name);
                imports += 1;
            }
        }
    }
    assert!(imports > 0);
    assert!(bytes.len() < 6 << 20, "{} bytes", bytes.len());
}

#[test]
fn the_browser_gets_the_servers_module() {
    let guest = fs::read(module("hearken-guest.wasm")).expect("the module");
    assert_eq!(guest, hearken::testing::guest(), "byte for byte");
    // As a server sends it.
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&guest).expect("memory");
    let len = packed.finish().expect("memory").len();
    println!("{len} bytes with gzip");
    assert!(len <= 600_000, "{len} bytes");
}

#[test]
fn its_text_is_that_of_hearken_file_in_every_runtime() {
    let Some(folder) = official_speech(12) else { return };
    let text = expected(folder.path(), "txt");
    assert!(text.lines().count() > 5, "{text}");
    for runtime in [Node, Wasmtime] {
        let ended = run(runtime, folder.path(), &["--model", "work/model.bin", "work/talk.wav"], None);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(0), text.as_str()),
            "{runtime:?} {}",
            ended.stderr
        );
    }
}

/// Linear memory at the end of a run in Node [MiB], and its text.
fn memory(folder: &Path, arguments: &[&str]) -> (u64, String) {
    let mut command = prepared(Node, folder, arguments);
    let output = command.env("HEARKEN_MEMORY", "1").output().expect("Node starts");
    let log = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{log}");
    let bytes = log.lines().find_map(|line| line.strip_prefix("linear memory: ")).expect("the figure");
    let mebibytes = bytes.parse::<u64>().expect("a number") >> 20;
    println!("{} with {} arguments: {mebibytes} MiB", folder.display(), arguments.len());
    (mebibytes, String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn memory_is_that_of_the_decodes_that_are_made() {
    let Some(folder) = official_speech(12) else { return };
    let arguments = ["--model", "work/model.bin", "--language", "en", "work/talk.wav"];
    let (tiny, _) = memory(folder.path(), &arguments);
    assert!(tiny <= 300, "tiny.en: {tiny} MiB");
    // A prompt of as many tokens as whisper.cpp takes has scores for each of them. The text is that
    // of the host's own arithmetic, where all scores have their memory from the beginning.
    let prompt = "Mister Quilter is the apostle of the middle classes. ".repeat(30);
    let prompted = [&["--prompt", &prompt], &arguments[..]].concat();
    let (more, text) = memory(folder.path(), &prompted);
    assert!(more > tiny, "scores of a prompt take memory: {more} MiB");
    let at = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let expected = command::fine(&mut command::hearken(&[
        "file",
        "--compute",
        "exact",
        "--language",
        "en",
        "--prompt",
        &prompt,
        "--model",
        &at("model.bin"),
        &at("talk.wav"),
    ]));
    assert_eq!(text, expected);
    let Some(base) = official("base") else { return };
    fs::copy(base, folder.path().join("model.bin")).expect("a copy");
    let (base, _) = memory(folder.path(), &arguments);
    assert!(base <= 450, "base: {base} MiB");
}

#[test]
fn its_subtitles_and_json_are_those_of_hearken_file_also_from_standard_input() {
    let Some(folder) = official_speech(4) else { return };
    let talk = folder.path().join("talk.wav");
    for (format, runtime) in [("srt", Node), ("vtt", Wasmtime), ("json", Node)] {
        let arguments = ["-m", "work/model.bin", "--format", format, "--language=en", "-"];
        let ended = run(runtime, folder.path(), &arguments, Some(&talk));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let expected = expected(folder.path(), format);
        if format == "json" {
            let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            assert!(is_close(&parse(&ended.stdout), &parse(&expected)), "{}\n{expected}", ended.stdout);
        } else {
            assert_eq!(ended.stdout, expected, "{format} {runtime:?}");
        }
    }
}

/// The same words, times and tokens; probabilities may differ where runtimes round relaxed SIMD in
/// ways of their own.
fn is_close(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_close(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| is_close(value, other)))
        }
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap_or(f64::NAN), other.as_f64().unwrap_or(f64::NAN));
            (one - other).abs() <= 2e-3
        }
        (one, other) => one == other,
    }
}

#[test]
fn help_teaches_and_wrong_usage_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let help = run(Node, folder.path(), &["--help"], None);
    assert_eq!(help.code, Some(0));
    for taught in ["--model FILE", "standard input", "Exit codes", "wasmtime run --dir"] {
        assert!(help.stdout.contains(taught), "{taught}: {}", help.stdout);
    }
    for (arguments, told) in [
        (&["work/a.wav"][..], "--model FILE"),
        (&["--model", "work/m.bin"], "no recording is named"),
        (&["--model"], "needs a value"),
        (&["--model", "work/m.bin", "--format", "pdf", "work/a.wav"], "unknown format"),
        (&["--frobnicate", "work/a.wav"], "unknown option"),
    ] {
        let ended = run(Node, folder.path(), arguments, None);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ended.stderr.contains(told), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn errors_name_the_thing_and_the_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let model = SyntheticModel::smallest().bytes();
    fs::write(at("model.bin"), &model).expect("a model");
    fs::write(at("cut.bin"), &model[..model.len() / 2]).expect("a model");
    fs::write(at("text.bin"), "This is no model.").expect("a file");
    let speech: Vec<f32> = (0..16_000).map(|n| (n as f32 / 20.0).sin() * 0.5).collect();
    let recording = wav::pcm16(&speech, 16_000, 1);
    fs::write(at("talk.wav"), &recording).expect("a recording");
    fs::write(at("cut.wav"), &recording[..recording.len() / 2]).expect("a recording");
    fs::write(at("empty.wav"), "").expect("a file");
    for (model, recording, code, told) in [
        ("absent.bin", "talk.wav", 1, "check the path, and that the runtime gives its folder"),
        ("cut.bin", "talk.wav", 1, "the model is cut off"),
        ("text.bin", "talk.wav", 1, "not a ggml Whisper model"),
        ("model.bin", "absent.wav", 1, "check the path and its permissions"),
        ("model.bin", "empty.wav", 1, "is empty"),
        ("model.bin", "text.bin", 1, "is not audio that can be read"),
        ("model.bin", "cut.wav", 3, "is cut off after"),
    ] {
        let (model, recording) = (format!("work/{model}"), format!("work/{recording}"));
        let ended = run(Node, folder.path(), &["--model", &model, &recording], None);
        assert_eq!(ended.code, Some(code), "{model} {recording}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{model} {recording}: {}", ended.stderr);
    }
}

/// Runs a pipeline of RemoteMedia.
fn pipeline(runtime: Runtime, folder: &Path, input: &Value) -> Ended {
    let path = folder.join("input.json");
    fs::write(&path, input.to_string()).expect("a file");
    run(runtime, folder, &[], Some(&path))
}

/// Results in its output.
fn results(ended: &Ended) -> Value {
    let (_, results) = ended.stdout.split_once("=== PIPELINE RESULTS ===\n").expect("results");
    serde_json::from_str(results).expect("JSON")
}

fn manifest(params: Value) -> Value {
    json!({
        "version": "v1", "metadata": { "name": "captions" }, "connections": [],
        "nodes": [{ "id": "whisper", "node_type": "WhisperNode", "params": params }],
    })
}

#[test]
fn a_pipeline_of_remotemedia_takes_audio_in_five_forms() {
    let Some(model) = official("tiny.en") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(model, folder.path().join("ggml-tiny.en.bin")).expect("a copy");
    let recording = prompts::sentences("en", 1).swap_remove(0).recording;
    let rate = recording.format.sample_rate;
    let rounded: Vec<i16> = recording.samples.iter().map(|sample| (sample * 32_767.0) as i16).collect();
    let samples: Vec<f32> = rounded.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
    fs::write(folder.path().join("talk.wav"), wav::pcm16(&samples, rate, 1)).expect("a recording");
    let bytes: Vec<u8> = rounded.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    // Silence on the second channel halves what is heard.
    let silence = vec![0.0; samples.len()];
    let doubled: Vec<f32> = samples.iter().map(|sample| 2.0 * sample).collect();
    let numpy = json!({ "__numpy__": true, "array": {
        "meta": { "dtype": "int16", "shape": [rounded.len()] }, "data": base64(&bytes),
    }});
    let forms = [
        json!([samples, rate]),
        json!([[doubled, silence], rate]),
        json!([numpy, rate]),
        json!({ "audio_data": samples, "sample_rate": rate }),
        json!({ "audio": [samples, samples], "sample_rate": rate }),
    ];
    let params = json!({ "model_source": "tiny.en", "language": "en", "accumulate_chunks": false });
    let input = json!({ "manifest": manifest(params), "input_data": forms });
    let ended = pipeline(Node, folder.path(), &input);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let results = results(&ended);
    assert_eq!(results["status"], "success");
    let expected =
        json!({ "node_count": 1, "source_count": 1, "sink_count": 1, "execution_order": ["whisper"] });
    assert_eq!(results["graph_info"], expected);
    let outputs = results["outputs"].as_array().expect("an output for each item");
    assert_eq!(outputs.len(), 5);
    let talk = folder.path().join("talk.wav");
    let model = folder.path().join("ggml-tiny.en.bin");
    let text = command::fine(&mut command::hearken(&[
        "file",
        "--compute",
        "guest",
        "--model",
        model.to_str().expect("text"),
        talk.to_str().expect("text"),
    ]));
    for output in outputs {
        assert_eq!(output["text"].as_str().expect("text"), text.trim().replace('\n', " "));
        assert_eq!(output["language"], "en");
        let duration = output["audio_duration"].as_f64().expect("seconds");
        assert!((duration - samples.len() as f64 / f64::from(rate)).abs() < 1e-3);
        assert!(!output["segments"].as_array().expect("segments").is_empty());
    }
    // By default all items are one recording, and its output stands alone.
    let half = samples.len() / 2;
    let input = json!({
        "manifest": manifest(json!({ "model_path": "work/ggml-tiny.en.bin" })),
        "input_data": [[&samples[..half], rate], [&samples[half..], rate]],
    });
    let ended = pipeline(Wasmtime, folder.path(), &input);
    assert_eq!(
        self::results(&ended)["outputs"]["text"].as_str().expect("text"),
        text.trim().replace('\n', " ")
    );
}

#[test]
fn a_pipeline_that_is_wrong_is_told_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = manifest(json!({ "model_path": "work/none.bin" }));
    let with = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).expect("it is there") = value;
        changed
    };
    let items = |items: Value| json!({ "manifest": good, "input_data": items });
    for (input, told) in [
        (with("/version", json!("v2")), "only \"v1\" is known"),
        (with("/nodes/0/node_type", json!("AddNode")), "known here are WhisperNode"),
        (with("/nodes", json!([])), "0 nodes"),
        (with("/connections", json!([{ "from": "a", "to": "b" }])), "is the only one"),
        (with("/nodes/0/params", json!({})), "model_path or model_source is required"),
        (with("/nodes/0/params", json!({ "model_source": "huge" })), "it must be one of"),
        (items(json!([[[0.5, 0.5], 16_000]])), "work/none.bin"),
        (items(json!([7])), "input_data[0]: no audio"),
        (items(json!([[[0.5, "x"], 16_000]])), "is no sample"),
        (items(json!([[[0.5], 12.5]])), "from 8000 to 192000"),
        (
            items(
                json!([[{ "__numpy__": true, "array": { "meta": { "dtype": "int16", "shape": [3] }, "data": "AAAA" } }, 16_000]]),
            ),
            "one of both is wrong",
        ),
        (items(json!([[[0.5], 16_000], [[0.5], 8_000]])), "give all the same rate"),
    ] {
        let ended = pipeline(Node, folder.path(), &input);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{told}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{told}: {}", ended.stderr);
    }
    let nothing = pipeline(Node, folder.path(), &good);
    assert_eq!(results(&nothing)["outputs"], json!([]), "nothing in, nothing out: {}", nothing.stderr);
    let empty = run(Node, folder.path(), &[], None);
    assert_eq!(empty.code, Some(2));
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().enumerate().fold(0u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[test]
fn the_runtimes_are_there() {
    for name in ["node", "python"] {
        let version = Command::new(runtime(name)).arg("--version").output().expect("it starts");
        assert!(version.status.success());
    }
}
