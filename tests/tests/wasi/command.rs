//! `hearken.wasm`, the WASI command.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use hearken_tests::command::{self, Ended};
use hearken_tests::model::Model;
use hearken_tests::official::official;
use hearken_tests::prompts;
use hearken_tests::wav;
use wasmparser::{Parser, Payload};

use crate::{module, runtime};

/// Runtimes that the command is tried in.
#[derive(Debug, Clone, Copy)]
enum Runtime {
    Node,
    Wasmtime,
}

use Runtime::{Node, Wasmtime};

/// Runs the command; it sees `folder` as `work`.
fn run(runtime: Runtime, folder: &Path, arguments: &[&str], stdin: Option<&Path>) -> Ended {
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
    command.arg(format!("work={}", folder.display())).args(arguments);
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

/// A folder with the model as `model.bin`, and people who speak English as `talk.wav`: a minute,
/// so that there are several chunks, at the rate of telephones.
fn official_speech() -> Option<tempfile::TempDir> {
    let model = official("tiny.en")?;
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(model, folder.path().join("model.bin")).expect("a copy");
    let prompts = prompts::sentences("en", 20);
    let joined = prompts::joined(&prompts, 60.0);
    let recording = &joined.first().expect("speech").recording;
    let bytes = wav::pcm16(&recording.samples, recording.format.sample_rate, recording.format.channels);
    fs::write(folder.path().join("talk.wav"), bytes).expect("a recording");
    Some(folder)
}

/// What `hearken file --compute guest` makes of it.
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
    assert_eq!(guest, hearken::guest(), "byte for byte");
}

#[test]
fn its_text_is_that_of_hearken_file_in_every_runtime() {
    let Some(folder) = official_speech() else { return };
    let text = expected(folder.path(), "txt");
    assert!(text.lines().count() > 5, "{text}");
    for runtime in [Node, Wasmtime] {
        let ended = run(runtime, folder.path(), &["--model", "work/model.bin", "work/talk.wav"], None);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), text.as_str()), "{runtime:?} {}", ended.stderr);
    }
}

#[test]
fn its_subtitles_and_json_are_those_of_hearken_file_also_from_standard_input() {
    let Some(folder) = official_speech() else { return };
    let talk = folder.path().join("talk.wav");
    for (format, runtime) in [("srt", Node), ("vtt", Wasmtime), ("json", Node)] {
        let arguments = ["-m", "work/model.bin", "--format", format, "--language=en", "-"];
        let ended = run(runtime, folder.path(), &arguments, Some(&talk));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(ended.stdout, expected(folder.path(), format), "{format} {runtime:?}");
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
    let model = Model::smallest().bytes();
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
        let ended = run(Wasmtime, folder.path(), &["--model", &model, &recording], None);
        assert_eq!(ended.code, Some(code), "{model} {recording}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{model} {recording}: {}", ended.stderr);
    }
}

#[test]
fn the_runtimes_are_there() {
    for name in ["node", "python"] {
        let version = Command::new(runtime(name)).arg("--version").output().expect("it starts");
        assert!(version.status.success());
    }
}
