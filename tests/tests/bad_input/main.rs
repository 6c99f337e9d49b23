//! Bad input to the command, of any kind: one clear line that names the thing and the remedy, the
//! documented exit code (0 done, 1 error, 2 wrong usage, 3 done in part), nothing half-written,
//! never a panic.

mod recording;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;

use hearken_tests::command::{self, ended, fine, hearken, run, run_with_input};
use hearken_tests::model::SyntheticModel;
use hearken_tests::random::garbage;
use hearken_tests::wav::{float32, s16le};
use recording::{WORDS, resampled, speech, wav};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;

/// A folder with a recording in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.path(name), bytes).unwrap();
        self.name(name)
    }

    fn speech(&self) -> String {
        self.file("speech.wav", &wav(speech(), 16_000, 1))
    }

    fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Most of the words are in it: the voice is a machine's, and the filters of these tests are
/// simple.
#[track_caller]
fn understood(text: &str) {
    let found = WORDS.iter().filter(|word| text.contains(**word)).count();
    assert!(found >= 4, "of {WORDS:?} only this was understood: {text:?}");
}

#[test]
fn speech_comes_out_as_text_and_nothing_else() {
    let folder = Folder::new();
    let file = folder.speech();
    understood(&fine(&mut hearken(&["file", &file])));
    let out = folder.name("out.srt");
    assert_eq!(fine(&mut hearken(&["file", &file, "-o", &out])), "");
    assert!(fs::read_to_string(&out).unwrap().contains(" --> "));
    assert_eq!(folder.names(), ["out.srt", "speech.wav"]);
}

#[test]
fn a_file_that_cannot_be_heard_is_named() {
    let folder = Folder::new();
    let wave = wav(speech(), 16_000, 1);
    let noise = garbage(50_000);
    fs::create_dir(folder.path("folder.wav")).unwrap();
    for (name, bytes, words) in [
        ("missing.wav", None, &["cannot open", "No such file", "check the path"][..]),
        ("folder.wav", None, &["is a directory", "one by one"]),
        ("empty.wav", Some(&b""[..]), &["is empty", "check that"]),
        ("head.wav", Some(&wave[..20]), &["convert it"]),
        ("text.wav", Some(&b"Dear reader, this is no sound.\n"[..]), &["is not audio", "convert it"]),
        ("noise.mp3", Some(&noise), &["convert it"]),
        ("model.wav", Some(&b"lmgg\0\0\0\0\0\0\0\0\0\0\0\0"[..]), &["is not audio", "convert it"]),
    ] {
        if let Some(bytes) = bytes {
            folder.file(name, bytes);
        }
        let out = folder.path("out.txt");
        let ended = run(hearken(&["file", &folder.name(name), "-o"]).arg(&out));
        ended.only_says(1, &[&[name], words].concat());
        assert!(!out.exists(), "{name}");
    }
    assert!(!folder.names().iter().any(|name| name.ends_with(".part")), "{:?}", folder.names());
    // Nobody can read this one, root included.
    run(&mut hearken(&["file", "/proc/self/mem"])).only_says(1, &["/proc/self/mem"]);
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    let folder = Folder::new();
    let file = folder.speech();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let ended = run(&mut hearken(&["file", &file]));
    if rustix::process::geteuid().is_root() {
        // Permissions do not hold for root.
        understood(&ended.stdout);
    } else {
        ended.only_says(1, &["speech.wav", "Permission denied", "check the path"]);
    }
}

#[test]
fn a_name_with_controls_in_it_is_shown_without() {
    let folder = Folder::new();
    run(&mut hearken(&["file", &folder.name("a\x1b[31m\nb.wav")])).only_says(1, &["cannot open"]);
    let ended = run(&mut hearken(&["file", "--model", &folder.name("m\x1b]0;x\x07.bin"), "x.wav"]));
    ended.only_says(1, &["cannot read the model", "check the path"]);
}

#[test]
fn a_recording_that_is_cut_off_gives_its_beginning_and_says_so() {
    let folder = Folder::new();
    let wave = wav(&[speech(), speech()].concat(), 16_000, 1);
    let file = folder.file("cut.wav", &wave[..wave.len() / 2]);
    let out = folder.path("out.txt");
    let ended = run(hearken(&["file", &file, "-o"]).arg(&out));
    ended.only_says(3, &["cut.wav", "cut off", "fetch the file again"]);
    understood(&fs::read_to_string(out).unwrap());

    // The same through a pipe, and raw PCM that ends within a sample.
    let ended = run_with_input(&mut hearken(&["file", "-"]), &wave[..wave.len() / 2]);
    ended.says(3, &["standard input", "cut off"]);
    understood(&ended.stdout);
    let raw = s16le(speech());
    let ended = run_with_input(&mut hearken(&["file", "-", "--raw", "s16le"]), &raw[..raw.len() - 1]);
    ended.says(3, &["standard input", "incomplete frame", "check the stated"]);
    understood(&ended.stdout);
}

#[test]
fn every_usual_rate_and_number_of_channels_is_understood() {
    let folder = Folder::new();
    let at = |rate| resampled(speech(), 16_000, rate);
    let rates = [8000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000].map(|rate| wav(&at(rate), rate, 1));
    let channels = [1, 2, 3, 4, 5, 6, 7, 8].map(|channels| wav(speech(), 16_000, channels));
    let files: Vec<String> = rates
        .iter()
        .chain(&channels)
        .enumerate()
        .map(|(index, wave)| folder.file(&format!("{index}.wav"), wave))
        .collect();
    // One process: a model is loaded once.
    let text = fine(hearken(&["file"]).args(&files));
    let mut heard = text.split("==> ").skip(1);
    for file in &files {
        let part = heard.next().unwrap_or_else(|| panic!("{file} is missing"));
        assert!(part.starts_with(&format!("{file} <==\n")), "{part}");
        understood(part);
    }
    for (rate, channels) in [(7999, 1), (192_001, 1), (16_000, 9)] {
        let file = folder.file("odd.wav", &wav(&vec![0.0; 16_000], rate, channels));
        run(&mut hearken(&["file", &file])).only_says(1, &["not supported", "convert to 8000-192000 Hz"]);
    }
}

#[test]
fn samples_that_are_out_of_order_are_put_right() {
    let folder = Folder::new();
    let changed = |change: &dyn Fn(usize, f32) -> f32| {
        let samples: Vec<f32> = speech().iter().enumerate().map(|(index, &s)| change(index, s)).collect();
        folder.file("changed.wav", &float32(&samples))
    };
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let file = changed(&|index, sample| if index % 1000 == 7 { bad } else { sample });
        let ended = run(&mut hearken(&["file", &file]));
        ended.says(3, &["changed.wav", "samples that were no numbers"]);
        understood(&ended.stdout);
    }
    understood(&fine(&mut hearken(&["file", &changed(&|_, sample| sample * 3.0)])));
    understood(&fine(&mut hearken(&["file", &changed(&|_, sample| sample * 0.5 + 0.3)])));
    // Nothing but what is no number is silence, and says so.
    let ended = run(&mut hearken(&["file", &changed(&|_, _| f32::NAN)]));
    ended.only_says(3, &["samples that were no numbers"]);
}

#[test]
fn silence_is_an_empty_transcript() {
    let folder = Folder::new();
    let file = folder.file("silence.wav", &wav(&vec![0.0; 80_000], 16_000, 1));
    for format in ["txt", "srt"] {
        assert_eq!(fine(&mut hearken(&["file", &file, "-f", format])), "");
    }
    assert_eq!(fine(&mut hearken(&["file", &file, "-f", "vtt"])).trim(), "WEBVTT");
    let json: serde_json::Value =
        serde_json::from_str(&fine(&mut hearken(&["file", &file, "-f", "json"]))).unwrap();
    assert_eq!((json["text"].as_str(), json["segments"].as_array().unwrap().len()), (Some(""), 0));
    assert_eq!(json["duration"].as_f64(), Some(5.0));
    let no_samples = folder.file("none.wav", &wav(&[], 16_000, 1));
    let ended = run(&mut hearken(&["file", &no_samples]));
    assert!(matches!(ended.code, Some(0 | 1)) && ended.stdout.is_empty(), "{ended:?}");
}

#[test]
fn a_model_that_is_none_is_named() {
    let folder = Folder::new();
    let file = folder.speech();
    let model = SyntheticModel::smallest().bytes();
    let noise = garbage(50_000);
    fs::create_dir(folder.path("folder.bin")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.path("pipe.bin")).status().unwrap().success());
    for (name, bytes, words) in [
        ("missing.bin", None, &["cannot read the model", "No such file", "check the path"][..]),
        ("folder.bin", None, &["cannot read the model", "directory"]),
        ("pipe.bin", None, &["cannot read the model", "not a regular file"]),
        ("empty.bin", Some(&b""[..]), &["cut off", "fetch it again"]),
        ("cut.bin", Some(&model[..model.len() / 2]), &["cut off", "fetch it again"]),
        ("noise.bin", Some(&noise), &["not a ggml Whisper model"]),
        (
            "other.bin",
            Some(&b"GGUF\x03\0\0\0aaaaaaaaaaaaaaaaaaaaaaaa"[..]),
            &["not a ggml Whisper model", "GGUF"],
        ),
    ] {
        if let Some(bytes) = bytes {
            folder.file(name, bytes);
        }
        let out = folder.path("out.txt");
        let ended = run(hearken(&["file", &file, "--model", &folder.name(name), "-o"]).arg(&out));
        ended.only_says(1, &[&[name], words].concat());
        assert!(!out.exists(), "{name}");
    }
}

#[test]
fn requests_beyond_a_model_are_refused_before_any_work() {
    let folder = Folder::new();
    // Also when there is nothing to decode.
    for file in [folder.speech(), folder.file("silence.wav", &wav(&vec![0.0; 80_000], 16_000, 1))] {
        for (args, words) in [
            (["-l", "xx"], ["\"xx\" is not a language code", "ISO 639-1"]),
            (["-l", "de\x1b[2J"], ["is not a language code", "ISO 639-1"]),
            (["-l", "de"], ["knows only English", "use a multilingual model to recognize de"]),
            (["--translate", "--no-vad"], ["knows only English", "use a multilingual model to translate"]),
        ] {
            let out = folder.path("out.txt");
            let ended = run(hearken(&["file", &file]).args(args).arg("-o").arg(&out));
            ended.only_says(1, &words);
            assert!(!out.exists());
        }
    }
    assert!(!folder.names().iter().any(|name| name.ends_with(".part")), "{:?}", folder.names());
}

#[test]
fn several_recordings_fail_one_by_one() {
    let folder = Folder::new();
    let (one, two) = (folder.speech(), folder.file("two.wav", &wav(speech(), 16_000, 2)));
    let missing = folder.name("missing.wav");
    let ended = run(&mut hearken(&["file", &one, &missing, &two]));
    ended.says(1, &["missing.wav", "cannot open"]);
    for part in ended.stdout.split("==> ").skip(1) {
        understood(part);
    }
    assert_eq!(ended.stdout.matches("<==").count(), 2);

    let out = folder.name("subtitles");
    run(&mut hearken(&["file", &one, &missing, &two, "-f", "srt", "-o", &out]))
        .only_says(1, &["missing.wav"]);
    let mut written: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    written.sort();
    assert_eq!(written, ["speech.srt", "two.srt"]);

    // A folder is a folder for one recording too.
    fs::remove_dir_all(&out).unwrap();
    fine(&mut hearken(&["file", &one, "-f", "srt", "-o", &format!("{out}/")]));
    fine(&mut hearken(&["file", &two, "-f", "srt", "-o", &out]));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2);

    let usage = run(&mut hearken(&["file", &one, &two, "-f", "srt"]));
    usage.only_says(2, &["cannot share standard output", "-o"]);
    let same = folder.file("speech.mp3", b"");
    run(&mut hearken(&["file", &one, &same, "-o", &out])).only_says(2, &["both be written", "speech.txt"]);
}

#[test]
fn subtitles_are_laid_out_as_asked_and_other_formats_are_not() {
    let folder = Folder::new();
    let speech = folder.speech();
    let words = ["--words-per-cue", "1"];
    let cues = fine(hearken(&["file", &speech, "-f", "vtt", "--word-times"]).args(words));
    let cues: Vec<&str> = cues.split("\n\n").skip(1).filter(|cue| !cue.is_empty()).collect();
    assert!(cues.len() > 1, "{cues:?}");
    for cue in cues {
        let (_, text) = cue.split_once('\n').unwrap();
        assert_eq!(text.split_whitespace().count(), 1, "{cue}");
    }
    run(hearken(&["file", &speech]).args(words)).only_says(2, &["--words-per-cue", "choose srt or vtt"]);
    run(&mut hearken(&["file", &speech, "-f", "srt", "--word-times"])).only_says(2, &["choose vtt"]);
}

#[test]
fn standard_input_takes_raw_samples_and_whole_files() {
    let raw = s16le(speech());
    for (args, input) in [
        (&["file", "-", "--raw", "s16le"][..], raw.clone()),
        (&["file", "-"], wav(speech(), 16_000, 1)),
        (&["file", "-", "--raw", "s16le", "--rate", "48000"], s16le(&resampled(speech(), 16_000, 48_000))),
    ] {
        let ended = run_with_input(&mut hearken(args), &input);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
        understood(&ended.stdout);
    }
    run_with_input(&mut hearken(&["file", "-"]), b"").only_says(1, &["standard input", "is empty"]);
    run_with_input(&mut hearken(&["file", "-"]), &raw).only_says(1, &["standard input", "raw PCM"]);
}

/// Starts it on raw samples, and returns once it has begun to read them: the model is loaded then.
fn streaming(command: &mut Command) -> (Child, ChildStdin) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut stdin = child.stdin.take().expect("it was asked for");
    // More than a pipe holds.
    stdin.write_all(&vec![0; 2 << 20]).expect("it reads");
    (child, stdin)
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let folder = Folder::new();
    let file = folder.speech();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for format in ["txt", "srt", "json"] {
        let mut command = hearken(&["file", &file, "-f", format]);
        let child = command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
        ended(child).says(1, &["cannot write standard output", "No space left"]);
    }
    // No file may grow from when it has started. The shell keeps the signal that comes with it from
    // ending it.
    let out = folder.path("out.txt");
    fs::write(&out, "from yesterday").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(command::binary());
    let plain = hearken(&["file", "-", "--raw", "s16le", "-o"]);
    shell.args(plain.get_args()).arg(&out);
    shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (child, mut stdin) = streaming(&mut shell);
    let pid = Pid::from_child(&child);
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    stdin.write_all(&s16le(speech())).unwrap();
    drop(stdin);
    ended(child).only_says(1, &["cannot write", "out.txt", "too large"]);
    assert_eq!(fs::read_to_string(&out).unwrap(), "from yesterday");
    assert_eq!(folder.names(), ["out.txt", "speech.wav"]);
}

#[test]
fn an_output_that_cannot_be_made_is_named() {
    let folder = Folder::new();
    let file = folder.speech();
    let nowhere = folder.name("no/such/folder.txt");
    run(&mut hearken(&["file", &file, "-o", &nowhere]))
        .only_says(1, &["cannot write", "folder.txt", "No such file"]);
    run(&mut hearken(&["file", &file, "-o", "/proc/out.txt"]))
        .only_says(1, &["cannot write", "/proc/out.txt"]);
    run(&mut hearken(&["file", &file, &file, "-o", &file])).only_says(2, &["both be written"]);
    let other = folder.file("other.wav", b"");
    run(&mut hearken(&["file", &file, &other, "-o", &file]))
        .only_says(1, &["cannot use the folder", "speech.wav"]);
}

#[test]
fn a_transcript_in_place_of_its_recording_is_refused() {
    let folder = Folder::new();
    let speech = folder.speech();
    let before = fs::read(&speech).unwrap();
    let (link, text) = (folder.name("link.wav"), folder.name("speech.txt"));
    std::os::unix::fs::symlink(&speech, &link).unwrap();
    fs::hard_link(&speech, &text).unwrap();
    for arguments in [
        ["file", &speech, "-o", &speech],
        ["file", &speech, "-o", &link],
        ["file", &link, "-o", &speech],
        // As `speech.txt` in the folder.
        ["file", &speech, "-o", &folder.name("")],
    ] {
        let ended = run(&mut hearken(&arguments));
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains("would replace the recording"), "{ended:?}");
        assert_eq!(fs::read(&speech).unwrap(), before, "{arguments:?}");
    }
}

#[test]
fn a_link_is_written_through_and_a_pipe_stays_one() {
    let folder = Folder::new();
    let file = folder.speech();
    std::os::unix::fs::symlink(folder.path("real.txt"), folder.path("link.txt")).unwrap();
    fs::write(folder.path("real.txt"), "").unwrap();
    fine(&mut hearken(&["file", &file, "-o", &folder.name("link.txt")]));
    assert!(folder.path("link.txt").is_symlink());
    understood(&fs::read_to_string(folder.path("real.txt")).unwrap());

    // Never a real device: were this promise broken, the test would replace it on the machine that
    // runs it.
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    fine(hearken(&["file", &file, "-o"]).arg(&pipe));
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    understood(&reader.join().unwrap());
}

#[test]
fn a_reader_that_goes_away_ends_the_work_quietly() {
    let raw = s16le(speech());
    let mut command = hearken(&["file", "-", "--raw", "s16le"]);
    let (mut child, mut stdin) = streaming(&mut command);
    drop(child.stdout.take());
    // It ends by itself, however much there is still to hear.
    let refused = (0..20_000).find_map(|_| stdin.write_all(&raw).err());
    assert_eq!(refused.expect("it still listens").kind(), std::io::ErrorKind::BrokenPipe);
    let end = ended(child);
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""));

    let mut child = hearken(&["doctor"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let end = ended(child);
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_cache_folder_that_cannot_be_used_is_named() {
    let folder = Folder::new();
    let file = folder.speech();
    let cache = |path: &Path| run(hearken(&["file", &file]).env("HEARKEN_CACHE_DIR", path));
    cache(Path::new("/proc/hearken")).only_says(1, &["/proc/hearken", "HEARKEN_CACHE_DIR"]);
    cache(Path::new(&file)).only_says(1, &["speech.wav", "HEARKEN_CACHE_DIR"]);
    let open = folder.path("open");
    fs::create_dir(&open).unwrap();
    for mode in [0o777, 0o770, 0o702] {
        fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
        cache(&open).only_says(1, &["open", "others can write to it", "chmod 700"]);
    }
    assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
}

#[test]
fn a_damaged_cache_is_made_anew_and_harms_nobody_who_uses_it() {
    let folder = Folder::new();
    let file = folder.speech();
    let cache = folder.path("cache");
    let hearken = |args: &[&str]| {
        let mut command = hearken(args);
        command.env("HEARKEN_CACHE_DIR", &cache);
        command
    };
    let text = fine(&mut hearken(&["file", &file]));
    understood(&text);
    let only = || {
        let mut paths: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
        // That of the model, and the smaller ones: code of the recognizer, and of the decoder of
        // recordings.
        paths.sort_by_key(|path| fs::metadata(path).unwrap().len());
        assert_eq!(paths.len(), 3, "{paths:?}");
        paths.remove(2)
    };
    let snapshot = only();
    let good = fs::read(&snapshot).unwrap();
    for entry in fs::read_dir(&cache).unwrap() {
        let code = entry.unwrap().path();
        if code != snapshot {
            let len = fs::metadata(&code).unwrap().len();
            File::options().write(true).open(&code).unwrap().set_len(len / 2).unwrap();
            assert_eq!(fine(&mut hearken(&["file", &file])), text);
            assert_eq!(fs::metadata(&code).unwrap().len(), len, "it was not made anew");
        }
    }

    let (child, mut stdin) = streaming(&mut hearken(&["file", "-", "--raw", "s16le"]));
    // Cut short in place while that one runs what was in it.
    File::options().write(true).open(&snapshot).unwrap().set_len(100).unwrap();
    assert_eq!(fine(&mut hearken(&["file", &file])), text);
    assert_eq!(only(), snapshot);
    assert_eq!(fs::metadata(&snapshot).unwrap().len(), good.len() as u64, "it was not made anew");
    stdin.write_all(&s16le(speech())).unwrap();
    drop(stdin);
    let end = ended(child);
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""));
    understood(&end.stdout);

    let mut bad = good;
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(&snapshot, &bad).unwrap();
    assert_eq!(fine(&mut hearken(&["file", &file])), text);
    assert!(fs::read(only()).unwrap() != bad, "a damaged snapshot was kept");
}

/// Peak memory [MiB] of a run over `minutes` minutes of audio: an utterance every ten minutes, and
/// silence.
fn peak_memory(minutes: usize) -> u64 {
    let (mut child, mut stdin) = streaming(&mut hearken(&["file", "-", "--raw", "s16le", "-f", "jsonl"]));
    let (said, second) = (s16le(speech()), vec![0; 32_000]);
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        stdout.lines().try_for_each(|line| sender.send(line.unwrap())).expect("somebody waits for each line");
    });
    let json = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    let mut fed = 0;
    for _ in 0..minutes.div_ceil(10) {
        stdin.write_all(&said).unwrap();
        for _ in 0..600 {
            stdin.write_all(&second).unwrap();
        }
        fed += 600;
        // The silence goes on until what was said is out, which is long before the next is said.
        let line = loop {
            match lines.try_recv() {
                Ok(line) => break json(&line),
                Err(_) => stdin.write_all(&second).unwrap(),
            }
        };
        assert_eq!(line["type"], "segment");
        understood(line["text"].as_str().unwrap());
    }
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    drop(stdin);
    let end = json(&lines.recv().expect("the end is reported"));
    assert_eq!(end["type"], "end");
    assert!(end["duration"].as_f64().unwrap() >= f64::from(fed));
    let ended = ended(child);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    reader.join().unwrap();
    peak / 1024
}

#[test]
fn three_hours_take_no_more_memory_than_ten_minutes() {
    let (short, long) = (peak_memory(10), peak_memory(180));
    assert!(long <= short + 64, "{short} MiB for ten minutes, {long} MiB for three hours");
}
