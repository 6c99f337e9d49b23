//! The page and the library of `examples/browser`, in headless Chromium.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hearken_measure::Errors;
use hearken_tests::command;
use hearken_tests::official::official;
use hearken_tests::prompts;
use hearken_tests::serve;
use hearken_tests::speech::Recording;
use hearken_tests::wav;
use serde_json::{Value, json};
use wasmparser::{Validator, WasmFeatures};

use crate::{module, runtime, target};

/// Longest time from the first sound to the first text, with some of the machine for others [ms].
const FIRST_TEXT_MS: f64 = 1600.0;

/// Most linear memory of both modules after a recording, with tiny.en [MiB].
const MOST_MEMORY: u64 = 320;

/// The server of the demonstration, for one folder.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(folder: &Path, model: &Path) -> Self {
        Self::with(folder, model, &[])
    }

    fn with(folder: &Path, model: &Path, options: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/browser/serve.mjs");
        let mut process = Command::new(runtime("node"))
            .arg(script)
            .arg(folder)
            .args(["--port", "0", "--model"])
            .arg(model)
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let mut address = String::new();
        let stdout = process.stdout.take().expect("it was asked for");
        BufReader::new(stdout).read_line(&mut address).expect("its address");
        Self { process, address: address.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Chromium with the page; `words` is how many the microphone says.
fn browse(mode: &str, server: &Server, folder: &Path, words: usize) -> Value {
    browse_at(mode, (server.address.as_str(), server.process.id()), folder, words)
}

/// Chromium with the page of the server at this address, with this process.
fn browse_at(mode: &str, (address, process): (&str, u32), folder: &Path, words: usize) -> Value {
    let pictures = target().join("browser");
    fs::create_dir_all(&pictures).expect("a folder");
    let python = target().join("clients/bin/python");
    assert!(python.is_file(), "{} is missing: `.ci/setup clients` makes it", python.display());
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wasi/browser.py"))
        .args([mode, "chromium", address, &process.to_string()])
        .arg(folder.join("microphone.wav"))
        .arg(folder)
        .arg(&pictures)
        .env("WORDS", words.to_string())
        .env("ROUNDS", rounds().to_string())
        .output()
        .expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Times that the speech of twenty seconds is said in a long stream: HEARKEN_ROUNDS, or four.
fn rounds() -> usize {
    std::env::var("HEARKEN_ROUNDS").map_or(4, |rounds| rounds.parse().expect("a number"))
}

/// A copy of the built page, with what tests add to it.
fn site(folder: &Path) {
    let built = target().join("web");
    assert!(built.join("src/worker.js").is_file(), "{} is missing: `make web` builds it", built.display());
    for part in ["", "page", "src"] {
        fs::create_dir_all(folder.join(part)).expect("a folder");
        for entry in fs::read_dir(built.join(part)).expect("it was built") {
            let entry = entry.expect("an entry");
            if entry.path().is_file() {
                fs::copy(entry.path(), folder.join(part).join(entry.file_name())).expect("a copy");
            }
        }
    }
}

/// Somebody who speaks English.
fn speech() -> Recording {
    let prompts = prompts::sentences("en", 4);
    prompts::joined(&prompts, 20.0).swap_remove(0).recording
}

fn write(path: &Path, recording: &Recording) {
    let bytes = wav::pcm16(&recording.samples, recording.format.sample_rate, recording.format.channels);
    fs::write(path, bytes).expect("a recording");
}

/// The samples of the recording that [`write`] writes: they are rounded to 16 bits.
fn write_floats(path: &Path, recording: &Recording) {
    let rounded = wav::s16le(&recording.samples);
    let samples =
        rounded.chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0);
    fs::write(path, samples.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()).expect("a file");
}

/// The output of `hearken file --compute guest`.
fn file(model: &Path, recording: &Path, format: &str) -> String {
    let (model, recording) = (model.to_str().expect("text"), recording.to_str().expect("text"));
    command::fine(&mut command::hearken(&[
        "file",
        "--compute",
        "guest",
        "--model",
        model,
        "--format",
        format,
        recording,
    ]))
}

/// Words without capitals and punctuation.
fn words(text: &str) -> Vec<String> {
    let essence = |word: &str| word.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "");
    text.split_whitespace().map(essence).filter(|word| !word.is_empty()).collect()
}

/// Words that differ between two texts.
fn distance(one: &[String], other: &[String]) -> usize {
    Errors::between(one, other).edits() as usize
}

#[test]
fn a_page_without_a_server_captions_its_microphone() {
    let Some(model) = official("tiny.en") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let speech = speech();
    write(&at("talk.wav"), &speech);
    // Chromium begins with its microphone before the page listens: a moment of silence first, and
    // one behind, which ends the last utterance.
    let rate = speech.format.sample_rate as usize;
    let mut samples = vec![0.0; 3 * rate];
    samples.extend(&speech.samples);
    samples.extend(vec![0.0; 3 * rate]);
    write(&at("microphone.wav"), &Recording { samples, ..speech });
    let bytes = fs::read(&model).expect("a model");
    fs::write(at("text.bin"), "This is no model.").expect("a file");
    fs::write(at("cut.bin"), &bytes[..bytes.len() / 2]).expect("a file");
    let mut changed = bytes.clone();
    // The encoder's layers: one more than there are.
    changed[4 + 4 * 4] += 1;
    fs::write(at("changed.bin"), changed).expect("a file");
    let expected = file(&model, &at("talk.wav"), "txt");
    let spoken = words(&expected);

    let page = at("site");
    site(&page);
    let server = Server::start(&page, &model);
    let seen = browse("page", &server, folder.path(), spoken.len().saturating_sub(2));
    assert_eq!(seen["isolated"], json!(false), "no headers of isolation are needed");
    for stage in ["Fetching the model", "Checking the model", "Loading the model"] {
        assert!(seen["stages"].as_array().expect("stages").contains(&json!(stage)), "{seen}");
    }
    let lines = |value: &Value| -> String {
        let lines = value.as_array().expect("lines").iter();
        lines.map(|line| line.as_str().expect("text").to_owned() + "\n").collect()
    };
    // Live text is decoded utterance by utterance, by another policy than recordings, and the
    // microphone passes through the browser's resampler: of ten words one may differ.
    let captions = lines(&seen["captions"]);
    let differ = distance(&spoken, &words(&captions));
    assert!(differ * 10 <= spoken.len(), "{differ} of {}: {captions}\n{expected}", spoken.len());
    assert!(!seen["tentative"].as_array().expect("texts").is_empty(), "tentative text is shown");
    // Text begins to run while the first words are said. On a machine of its own that takes 1.2 s
    // at most (docs/wasi.md); beside other work it may take longer.
    let first = seen["first_text"].as_f64().expect("a time");
    println!("first text {first:.0} ms after the first sound");
    assert!(first > 0.0 && first <= FIRST_TEXT_MS, "{first} ms");
    assert!(seen["level"].as_f64().expect("a level") > 0.01, "{seen}");
    let saved = |name: &str| seen["saved"][name].as_str().expect("a file").to_owned();
    assert_eq!(saved("captions.txt"), captions);
    assert!(saved("captions.srt").starts_with("1\n00:00:0") && saved("captions.srt").contains(" --> "));
    assert!(saved("captions.vtt").starts_with("WEBVTT\n\n00:00:0"));
    // Hostile files.
    let told: Vec<&str> =
        seen["hostile"].as_array().expect("texts").iter().filter_map(Value::as_str).collect();
    assert!(told[0].contains("not a ggml Whisper model"), "{told:?}");
    assert!(told[1].contains("cut.bin") && told[1].contains("cut off"), "{told:?}");
    assert!(told[2].contains("changed.bin"), "{told:?}");
    // The same recording as a file, after the server has gone: at the browser's rate, through the
    // browser's decoder.
    let offline = words(&lines(&seen["offline"]));
    assert!(distance(&spoken, &offline) * 10 <= spoken.len(), "{offline:?}\n{expected}");
    assert_eq!(seen["complaints"], json!([]), "the browser's console is empty");
}

/// The page has one listener, whichever variant of the guest its browser can run.
#[test]
fn the_pages_listener_needs_no_relaxed_simd() {
    let without = WasmFeatures::default().difference(WasmFeatures::RELAXED_SIMD);
    let valid = |name: &str| {
        let bytes = fs::read(module(name)).expect("it was built");
        Validator::new_with_features(without).validate_all(&bytes).map(drop)
    };
    valid("hearken-listener.wasm").expect("no relaxed SIMD");
    valid("hearken-guest.wasm").expect_err("this variant has it");
}

#[test]
fn hearken_serve_offers_the_page_beside_its_own() {
    let Some(model) = official("tiny.en") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let speech = speech();
    write(&at("talk.wav"), &speech);
    write(&at("microphone.wav"), &speech);
    fs::copy(&model, at("model.bin")).expect("a copy");
    let page = at("site");
    site(&page);
    // Neither is of the page: a file of another kind, and a link that leads out of the folder.
    fs::write(page.join("page/key.pem"), "secret").expect("a file");
    std::os::unix::fs::symlink(at("talk.wav"), page.join("page/link.js")).expect("a link");
    let server = serve::Server::with_arguments("", &["--web", page.to_str().expect("text")]);
    for (path, kind) in [
        ("/here/page/", "text/html; charset=utf-8"),
        ("/here/src/worker.js", "text/javascript; charset=utf-8"),
        ("/here/src/hearken-guest.wasm", "application/wasm"),
        ("/here/page/model.json", "application/json"),
    ] {
        let answer = server.get(path, &[]);
        let head = answer.head.to_ascii_lowercase();
        assert_eq!(answer.status, 200, "{path}");
        assert!(head.contains(&format!("content-type: {kind}")), "{path}: {head}");
        if kind != "application/json" {
            assert!(head.contains("script-src 'self' 'wasm-unsafe-eval'"), "{path}: {head}");
        }
    }
    assert_eq!(server.get("/page/where.json", &[]).json()["here"], "/here/page/");
    for path in [
        "/here/page/key.pem",
        "/here/page/link.js",
        "/here/../talk.wav",
        "/here/page/../../talk.wav",
        "/here/%2e%2e/talk.wav",
        "/here/page/..%2f..%2ftalk.wav",
        "/here//etc/passwd",
    ] {
        assert_eq!(server.get(path, &[]).status, 404, "{path}");
    }
    let address = format!("http://{}/", server.address);
    let seen = browse_at("switch", (address.as_str(), 0), folder.path(), 0);
    assert_eq!(seen["isolated"], json!(true), "its workers may share the arithmetic");
    let captions: Vec<&str> =
        seen["captions"].as_array().expect("lines").iter().filter_map(Value::as_str).collect();
    let expected = words(&file(&model, &at("talk.wav"), "txt"));
    let heard = words(&captions.join(" "));
    assert!(distance(&expected, &heard) * 10 <= expected.len(), "{heard:?}\n{expected:?}");
    assert_eq!(seen["complaints"], json!([]), "the browser's console is empty");
    server.end();

    // Without a page there is no switch, and a folder that is none is refused.
    let server = serve::Server::start();
    assert_eq!(server.get("/page/where.json", &[]).json()["here"], Value::Null);
    assert_eq!(server.get("/here/page/", &[]).status, 404);
    server.end();
    let empty = tempfile::tempdir().expect("a folder");
    let told = command::run(&mut command::hearken(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--web",
        empty.path().to_str().expect("text"),
    ]));
    told.says(1, &["page/index.html", "make wasi web"]);
}

#[test]
fn the_readmes_lines_work_and_recordings_have_the_commands_words() {
    let Some(model) = official("tiny.en") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let speech = speech();
    assert_eq!((speech.format.sample_rate, speech.format.channels), (8_000, 1), "as the README has it");
    write(&at("talk.wav"), &speech);
    write(&at("microphone.wav"), &speech);
    let page = at("site");
    site(&page);
    let readme = include_str!("../../../examples/browser/README.md");
    let lines = readme.split("```js\n").nth(1).and_then(|rest| rest.split("```").next()).expect("its lines");
    fs::write(
        page.join("readme.html"),
        format!("<!doctype html><link rel=icon href=data:,><script type=module>{lines}\nwindow.done = true</script>"),
    )
    .expect("a page");
    write_floats(&page.join("speech.f32"), &speech);
    let named = at("model.bin");
    fs::copy(&model, &named).expect("a copy");
    let server = Server::start(&page, &named);
    let seen = browse("library", &server, folder.path(), 0);
    assert_eq!(seen["complaints"], json!([]), "the browser's console is empty");
    assert_eq!(seen["workers"], json!(1), "nothing is shared without isolation");
    // The same samples, the same chunks, the same arithmetic: the same text, to the letter.
    let text = file(&model, &at("talk.wav"), "txt");
    assert_eq!(seen["transcript"]["text"].as_str().expect("text"), text.trim().replace('\n', " "));
    assert_eq!(seen["srt"].as_str().expect("text"), file(&model, &at("talk.wav"), "srt"));
    let printed = seen["readme"].as_array().expect("lines").iter().filter_map(Value::as_str);
    let last: Vec<&str> = printed.filter(|line| !line.starts_with('…')).collect();
    let (spoken, heard) = (words(&text), words(&last.join(" ")));
    assert!(distance(&spoken, &heard) * 10 <= spoken.len(), "{heard:?}\n{text}");
    let memory = seen["memory"].as_u64().expect("bytes") >> 20;
    println!("{memory} MiB of linear memory");
    assert!(memory <= MOST_MEMORY, "{memory} MiB");
}

/// Three workers where the page is isolated; then with helpers that fail after a while.
#[test]
fn workers_that_share_the_arithmetic_give_the_same_text() {
    let Some(model) = official("tiny.en") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let speech = speech();
    write(&at("talk.wav"), &speech);
    write(&at("microphone.wav"), &speech);
    let page = at("site");
    site(&page);
    fs::write(page.join("blank.html"), "<!doctype html><link rel=icon href=data:,>").expect("a page");
    write_floats(&page.join("speech.f32"), &speech);
    let named = at("model.bin");
    fs::copy(&model, &named).expect("a copy");
    let server = Server::with(&page, &named, &["--isolated"]);
    let text = file(&model, &at("talk.wav"), "txt");
    let check = |seen: &Value| {
        assert_eq!((&seen["isolated"], &seen["complaints"]), (&json!(true), &json!([])));
        assert_eq!(seen["transcript"]["text"].as_str().expect("text"), text.trim().replace('\n', " "));
        assert_eq!(seen["srt"].as_str().expect("text"), file(&model, &at("talk.wav"), "srt"));
        seen["divided"].as_u64().expect("a number")
    };
    let seen = browse("shared", &server, folder.path(), 0);
    let divided = check(&seen);
    println!("{divided} operations were divided; {} MiB", seen["memory"].as_u64().expect("bytes") >> 20);
    // Products and attention of four layers, for each window.
    assert!(seen["workers"] == json!(3) && divided > 30, "{seen}");

    let helper = page.join("src/helper.js");
    let source = fs::read_to_string(&helper).expect("it was built");
    let operation = "exports.hearken_operate(descriptor, kind) === 0";
    assert!(source.contains(operation), "{source}");
    let failing =
        source.replace(operation, &format!("(scope.done = (scope.done ?? 0) + 1) <= 20 && {operation}"));
    fs::write(&helper, failing).expect("a script");
    let seen = browse("shared", &server, folder.path(), 0);
    let divided = check(&seen);
    assert!(seen["workers"] == json!(1) && (20..=41).contains(&divided), "{seen}");
}

#[test]
fn minutes_of_speech_take_no_more_memory_than_the_first() {
    let Some(model) = official("tiny.en") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let speech = speech();
    write(&folder.path().join("microphone.wav"), &speech);
    let page = folder.path().join("site");
    site(&page);
    fs::write(page.join("readme.html"), "<!doctype html><link rel=icon href=data:,>").expect("a page");
    write_floats(&page.join("speech.f32"), &speech);
    let named = folder.path().join("model.bin");
    fs::copy(&model, &named).expect("a copy");
    let server = Server::start(&page, &named);
    let seen = browse("minutes", &server, folder.path(), 0);
    assert_eq!(seen["complaints"], json!([]), "the browser's console is empty");
    let memory: Vec<u64> =
        seen["memory"].as_array().expect("bytes").iter().filter_map(Value::as_u64).collect();
    let words = seen["words"].as_u64().expect("a number");
    println!("{} s, {words} words, bytes after each round: {memory:?}", seen["seconds"]);
    let each = words as usize / rounds();
    assert!(memory.len() == rounds() && each >= 20, "{each} words in each of {} rounds", memory.len());
    // What an utterance needs is there after the first round.
    assert!(memory[memory.len() - 1] <= memory[0] + (2 << 20), "{memory:?}");
}
