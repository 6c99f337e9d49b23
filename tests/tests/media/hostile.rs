//! Guests in an attacker's hands in the place of the module that decodes recordings: each is added
//! with `--media`, and gets a recording that the module inside hearken does not know.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use hearken_proto::media::{Facts, Failure, Report, Time};
use hearken_tests::command::{Ended, hearken, run};
use hearken_tests::media_guest::{MediaGuest, SAMPLES, audio, report};
use tempfile::TempDir;

/// A folder with a recording that only an added module reads.
fn recording() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("call.amr");
    std::fs::write(&path, b"#!AMR\n\x3c\x55\x08\x00".repeat(40)).expect("a recording");
    (folder, path)
}

fn decode(guest: &MediaGuest) -> Ended {
    let (folder, path) = recording();
    let module = folder.path().join("media.wasm");
    std::fs::write(&module, guest.module()).expect("a module");
    run(hearken(&["file", "--no-vad"]).arg("--media").arg(&module).arg(&path))
}

/// It ends by itself, and with a message of one line that names the recording.
#[track_caller]
fn refused(what: &str, guest: &MediaGuest) -> String {
    let ended = decode(guest);
    assert!(matches!(ended.code, Some(1 | 3)), "{what}: {ended:?}");
    assert!(ended.stderr.contains("call.amr"), "{what}: {ended:?}");
    assert!(ended.stderr.lines().all(|line| line.len() < 600), "{what}: {ended:?}");
    assert!(!ended.stderr.contains(['\x1b', '\u{202e}']), "{what}: {ended:?}");
    ended.stderr
}

#[test]
fn one_that_behaves_is_heard() {
    let ended = decode(&MediaGuest::default());
    assert_eq!((ended.code, ended.stdout.trim()), (Some(0), ""), "{ended:?}");
}

#[test]
fn a_guest_that_traps_or_answers_nonsense_is_a_damaged_recording() {
    let second = || audio(16_000, 2, SAMPLES, 32_000, None);
    let cases = [
        ("a trap", MediaGuest::attacking("(unreachable)")),
        ("an answer outside of memory", MediaGuest::attacking("(call $emit (i32.const -8) (i32.const 64))")),
        ("two answers", MediaGuest::attacking("(call $emit (i32.const 0x2_1000) (i32.const 4))")),
        ("no sense", MediaGuest::answering([vec![0xff; 64]])),
        ("an empty answer", MediaGuest::answering([Vec::new()])),
        ("more bytes than the answer has", MediaGuest::answering([[second(), vec![0]].concat()])),
        (
            "it opens again",
            MediaGuest {
                answers: vec![report(Report::Opened(Facts::default())); 2],
                ..MediaGuest::default()
            },
        ),
        (
            "an answer of the recognizer",
            MediaGuest::answering([hearken_proto::encode(&hearken_proto::Event::Decoded {
                no_speech: 0.5,
                encodes: 1,
            })]),
        ),
        (
            "bytes of the recording behind its memory",
            MediaGuest::attacking(
                "(drop (call $source_read (i64.const 0) (i32.const 0x7fff_0000) (i32.const 0x7000_0000)))",
            ),
        ),
    ];
    for (what, guest) in cases {
        refused(what, &guest);
    }
}

#[test]
fn audio_that_cannot_be_is_refused() {
    let memory_end = 20 << 16;
    for (what, sample_rate, channels, address, samples) in [
        ("no channels", 16_000, 0, SAMPLES, 2),
        ("too many channels", 16_000, 255, SAMPLES, 255),
        ("as many channels as there are numbers", 16_000, u32::MAX, SAMPLES, 2),
        ("no rate", 0, 1, SAMPLES, 16),
        ("a rate that nobody has", u32::MAX, 1, SAMPLES, 16),
        ("half a frame", 16_000, 2, SAMPLES, 3),
        ("samples behind its memory", 16_000, 1, memory_end - 4, 2),
        ("samples around its memory", 16_000, 1, u32::MAX - 3, 16),
        ("more samples than memory has", 16_000, 1, 0, u32::MAX),
    ] {
        refused(what, &MediaGuest::answering([audio(sample_rate, channels, address, samples, None)]));
    }
}

/// Numbers that are none, and loud ones, become samples.
#[test]
fn samples_that_are_no_numbers_become_silence() {
    let fields = format!(r#"(data (i32.const {SAMPLES}) "{}")"#, r"\00\00\c0\7f\ff\ff\7f\7f".repeat(64));
    let guest = MediaGuest { fields, ..MediaGuest::default() };
    let ended = decode(&guest);
    assert!(matches!(ended.code, Some(0 | 3)) && ended.stdout.trim().is_empty(), "{ended:?}");
}

#[test]
fn times_that_cannot_be_move_nothing() {
    let at = |ticks, numer, denom| Some(Time { ticks, numer, denom });
    for time in [at(i64::MAX, u32::MAX, 1), at(i64::MIN, u32::MAX, 1), at(1, 1, 0), at(0, 0, 0)] {
        let second = audio(16_000, 2, SAMPLES, 32_000, time);
        let ended = decode(&MediaGuest::answering([second, report(Report::End)]));
        assert!(matches!(ended.code, Some(0 | 1 | 3)), "{time:?}: {ended:?}");
        assert!(ended.stdout.trim().is_empty(), "{time:?}: {ended:?}");
    }
}

#[test]
fn its_words_are_short_and_act_on_no_terminal() {
    let words = format!("\x1b[31mred\u{202e}\r\n{}", "x".repeat(3_000));
    for failure in [Failure::Damaged(words.clone()), Failure::Codec(words)] {
        refused("words", &MediaGuest::answering([report(Report::Failed(failure))]));
    }
}

/// Ten seconds of CPU time is what one request may take.
#[test]
fn a_guest_that_does_not_end_is_ended() {
    let start = Instant::now();
    let said = refused("a loop", &MediaGuest::attacking("(loop $again (br $again))"));
    assert!(said.contains("CPU time"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(100), "{:?}", start.elapsed());
}

/// 256 MiB is what a decoder may have; the rest is refused, and what it has is gone with it.
#[test]
fn a_guest_that_wants_all_memory_has_its_part() {
    let greedy = MediaGuest::attacking(
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
         (memory.fill (i32.const 0x10_0000) (i32.const 1) (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 0x10_0000)))
         (if (i32.gt_u (memory.size) (i32.const 4096)) (then (unreachable)))",
    );
    let ended = decode(&greedy);
    assert!(matches!(ended.code, Some(0 | 3)), "it has no more than 4096 pages: {ended:?}");
}

/// A decoder that is always about to go on: the file has an end.
#[test]
fn a_guest_that_never_comes_to_an_end_is_given_up() {
    let skipped = || report(Report::Skipped { length: None });
    let restarted = || report(Report::Restarted(Facts::default()));
    for (what, answer) in [("packets that are skipped", skipped()), ("streams that follow", restarted())] {
        let start = Instant::now();
        refused(what, &MediaGuest::answering([answer]));
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: {:?}", start.elapsed());
    }
    // No samples are no progress either.
    refused("audio without samples", &MediaGuest::answering([audio(16_000, 2, SAMPLES, 0, None)]));
}

#[test]
fn a_module_that_is_none_is_refused_at_the_start() {
    let (folder, path) = recording();
    let of_another_version = MediaGuest { abi: 7, ..MediaGuest::default() }.module();
    let importing =
        |imports: &str| MediaGuest { imports: imports.to_owned(), ..MediaGuest::default() }.module();
    for (what, module) in [
        ("no module", b"no module".to_vec()),
        ("nothing in it", b"\0asm\x01\0\0\0".to_vec()),
        ("another version", of_another_version),
        ("an import that nobody has", importing(r#"(import "env" "system" (func (param i32)))"#)),
    ] {
        let module_path = folder.path().join("media.wasm");
        std::fs::write(&module_path, module).expect("a module");
        let mut command = hearken(&["file"]);
        let ended = run(command.arg("--media").arg(&module_path).arg(&path).stdin(Stdio::null()));
        assert_eq!(ended.code, Some(1), "{what}: {ended:?}");
        assert!(ended.stderr.contains("media.wasm"), "{what}: {ended:?}");
    }
    let ended = run(hearken(&["file", "--media", "/nonexistent.wasm"]).arg(Path::new(&path)));
    assert!(ended.code == Some(1) && ended.stderr.contains("/nonexistent.wasm"), "{ended:?}");
}
