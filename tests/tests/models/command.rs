//! `hearken models`, and `--model NAME`.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};

use hearken_tests::command::{Ended, binary, ended, settle};
use hearken_tests::model::SyntheticModel;
use tempfile::TempDir;

use super::names;
use super::server::Server;

fn environment(command: &mut Command, folder: &Path, endpoint: &str) {
    settle(command);
    command.env("HEARKEN_MODELS_DIR", folder).env("HF_ENDPOINT", endpoint).env("NO_PROXY", "127.0.0.1");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
}

fn hearken(folder: &TempDir, endpoint: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    environment(command.args(args), folder.path(), endpoint);
    command
}

fn run(folder: &TempDir, endpoint: &str, args: &[&str]) -> Ended {
    ended(hearken(folder, endpoint, args).spawn().unwrap())
}

/// It ends well and says this, and nothing else.
#[track_caller]
fn prints(folder: &TempDir, args: &[&str]) -> String {
    let Ended { code, stdout, stderr } = run(folder, NOBODY, args);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    stdout
}

/// An address that must not be asked.
const NOBODY: &str = "http://127.0.0.1:9";

#[track_caller]
fn fails(folder: &TempDir, endpoint: &str, args: &[&str], words: &[&str]) {
    run(folder, endpoint, args).only_says(1, words);
}

#[test]
fn list_shows_the_catalog_the_embedded_model_and_what_is_here() {
    let folder = tempfile::tempdir().unwrap();
    let own = SyntheticModel::smallest().multilingual(false).bytes();
    fs::write(folder.path().join("mine.bin"), &own).unwrap();
    fs::write(folder.path().join("junk.bin"), "junk").unwrap();
    fs::write(folder.path().join("notes.txt"), "no model").unwrap();
    let tiny = hearken::store::official("tiny").unwrap();
    File::create(folder.path().join(tiny.file())).unwrap().set_len(tiny.bytes()).unwrap();
    File::create(folder.path().join("ggml-base.bin")).unwrap().set_len(1000).unwrap();

    let table = prints(&folder, &["models", "list"]);
    let row = |name: &str| {
        let start = format!("{name} ");
        table.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{name}: {table}"))
    };
    assert_eq!(table.lines().count(), 1 + 1 + 33 + 2, "{table}");
    assert!(row("hearken-phrases").ends_with("inside hearken"));
    assert!(row("tiny").contains("74 MiB") && row("tiny").ends_with("yes"), "{table}");
    assert!(row("base").contains("damaged"), "{table}");
    assert!(row("tiny.en").contains("English") && row("tiny.en").ends_with('-'), "{table}");
    assert!(row("large-v3").contains("  no  "), "{table}");
    assert!(row("mine").contains("multilingual") && row("mine").ends_with("not from the catalog"), "{table}");
    assert!(row("junk").contains("  no  "), "{table}");

    let json: serde_json::Value =
        serde_json::from_str(&prints(&folder, &["models", "list", "--json"])).unwrap();
    assert_eq!(json["folder"], folder.path().to_str().unwrap());
    let models = json["models"].as_array().unwrap();
    let one = |name: &str| models.iter().find(|model| model["name"] == name).unwrap();
    assert_eq!((one("tiny")["bytes"].as_u64(), &one("tiny")["pulled"]), (Some(77_691_713), &true.into()));
    assert_eq!((&one("large-v3")["fits"], &one("large-v3")["pulled"]), (&false.into(), &false.into()));
    assert_eq!(
        (&one("mine")["official"], one("mine")["bytes"].as_u64()),
        (&false.into(), Some(own.len() as u64))
    );
    assert_eq!(one("hearken-phrases")["embedded"], true);
}

#[test]
fn names_are_paths_for_scripts_or_errors_that_help() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine.bin"), "x").unwrap();
    let path = format!("{}\n", folder.path().join("mine.bin").display());
    assert_eq!(prints(&folder, &["models", "path", "mine"]), path);
    fails(&folder, NOBODY, &["models", "path", "base.en"], &["hearken models pull base.en"]);
    fails(&folder, NOBODY, &["models", "path", "base-en"], &["did you mean base.en"]);
    fails(&folder, NOBODY, &["models", "path", "mime"], &["did you mean", "mine"]);
    fails(&folder, NOBODY, &["models", "path", "../mine"], &["no model"]);
    fails(&folder, NOBODY, &["models", "pull", "tiny", "base-en"], &["did you mean base.en"]);
    fails(&folder, NOBODY, &["models", "rm", "base.en"], &["is not on this machine"]);
    fails(&folder, NOBODY, &["models", "verify", "base.en"], &["is not on this machine"]);
    assert_eq!(prints(&folder, &["models", "rm", "mine"]), "");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn pull_refuses_what_does_not_fit_before_it_asks() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _, client| client.status("200 OK", ""));
    let words = ["large-v3 cannot be used", "smaller or more quantized"];
    fails(&folder, &server.address, &["models", "pull", "large-v3"], &words);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn pull_names_what_came_instead_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let entry = hearken::store::official("tiny-q5_1").unwrap();
    let server = Server::good(vec![0; entry.bytes() as usize]);
    let words = [entry.sha256(), "HF_ENDPOINT", "removed"];
    fails(&folder, &server.address, &["models", "pull", "tiny-q5_1"], &words);
    assert_eq!(names(folder.path()), [""; 0]);
    assert_eq!(server.requests()[0].path, format!("/{}", entry.path()));

    let server = Server::start(|_, _, client| client.status("404 Not Found", ""));
    fails(&folder, &server.address, &["models", "pull", "tiny-q5_1"], &["404", "no such file"]);
}

#[test]
fn a_pull_that_is_killed_leaves_a_part_that_the_next_one_uses() {
    let folder = tempfile::tempdir().unwrap();
    let entry = hearken::store::official("tiny-q5_1").unwrap();
    let len = entry.bytes() as usize;
    let (began, begun) = mpsc::channel::<()>();
    let (hold, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let server = Server::start(move |_, _, client| {
        client.head("200 OK", &format!("Content-Length: {len}\r\n"));
        // More than all buffers between the two hold, so that some of it is on the disk when this
        // returns.
        client.body(&vec![0; 24 << 20]);
        began.send(()).unwrap();
        let _ = held.lock().unwrap().recv();
    });
    let mut child = hearken(&folder, &server.address, &["models", "pull", "tiny-q5_1"]).spawn().unwrap();
    begun.recv().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(hold);
    assert_eq!(names(folder.path()), [format!("{}.part", entry.file())]);
    let kept = fs::metadata(folder.path().join(format!("{}.part", entry.file()))).unwrap().len();
    assert!(kept > 0);

    // The lock went with the process, and the rest is what is asked for.
    let server = Server::start(|_, _, client| client.status("404 Not Found", ""));
    fails(&folder, &server.address, &["models", "pull", "tiny-q5_1"], &["404"]);
    assert_eq!(server.requests()[0].from() as u64, kept);
}

#[test]
fn a_disk_that_is_full_is_named_and_the_part_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let entry = hearken::store::official("tiny-q5_1").unwrap();
    let server = Server::good(vec![0; entry.bytes() as usize]);
    // A file that may not grow is as good as a disk that is full. The shell ignores the signal that
    // comes with it.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" models pull tiny-q5_1"]).arg(binary());
    environment(&mut shell, folder.path(), &server.address);
    ended(shell.spawn().unwrap()).only_says(1, &["cannot write", "too large"]);
    assert_eq!(names(folder.path()), [format!("{}.part", entry.file())]);
}

#[test]
fn verify_tells_damaged_models_from_sound_ones() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(prints(&folder, &["models", "verify"]), "", "nothing is not damaged");
    let own = SyntheticModel::smallest().bytes();
    fs::write(folder.path().join("mine.bin"), &own).unwrap();
    assert!(prints(&folder, &["models", "verify"]).starts_with("mine well-formed"));
    // A sound model under another's name is not that model.
    fs::write(folder.path().join("ggml-tiny.en.bin"), &own).unwrap();
    fs::write(folder.path().join("cut.bin"), &own[..own.len() - 1]).unwrap();
    let Ended { code, stdout, stderr } = run(&folder, NOBODY, &["models", "verify"]);
    assert_eq!((code, stdout.lines().count()), (Some(1), 1), "{stdout}");
    let lines: Vec<&str> = stderr.lines().collect();
    let [wrong, cut] = lines.as_slice() else { panic!("{stderr}") };
    assert!(wrong.contains("tiny.en is not what it should be"), "{wrong}");
    assert!(cut.contains("cut: the model is cut off"), "{cut}");
}

#[test]
fn model_takes_a_name_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("silence.wav");
    let header =
        b"RIFF\x24\x7d\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\0\x7d\0\0";
    fs::write(&clip, [&header[..], &[0; 32_000]].concat()).unwrap();
    let clip = clip.to_str().unwrap();
    let file = folder.path().join("mine.bin");
    fs::write(&file, SyntheticModel::smallest().bytes()).unwrap();

    assert_eq!(prints(&folder, &["file", clip, "--model", "mine"]), "");
    assert_eq!(prints(&folder, &["file", clip, "--model", file.to_str().unwrap()]), "");
    let mut here = hearken(&folder, NOBODY, &["file", clip, "--model", "mine.bin"]);
    let here = ended(here.current_dir(folder.path()).spawn().unwrap());
    assert_eq!((here.code, here.stderr.as_str()), (Some(0), ""));
    // A file of somebody's is not taken for the best.
    let doctor = prints(&folder, &["doctor"]);
    assert!(doctor.contains("chosen       the embedded model: none is pulled"), "{doctor}");

    fails(&folder, NOBODY, &["file", clip, "--model", "base.en"], &["hearken models pull base.en"]);
    fails(&folder, NOBODY, &["file", clip, "--model", "base-en"], &["did you mean base.en"]);
    fails(&folder, NOBODY, &["file", clip, "--model", "no.bin"], &["cannot read the model no.bin"]);
    fails(&folder, NOBODY, &["file", clip, "--model", "./base.en"], &["cannot read the model ./base.en"]);

    // What was pulled is what is used: here it is damaged, and that is said instead of using
    // another.
    let tiny = hearken::store::official("tiny").unwrap();
    File::create(folder.path().join(tiny.file())).unwrap().set_len(tiny.bytes()).unwrap();
    fails(&folder, NOBODY, &["file", clip], &["ggml-tiny.bin", "not a ggml Whisper model"]);
}
