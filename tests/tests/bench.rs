//! Contract of `hearken bench` and `--compute`: figures of this machine, and the compute mode that
//! was asked for.

use std::fs;

use hearken_tests::command::{fine, hearken, run};
use hearken_tests::speech::espeak;
use hearken_tests::wav;
use serde_json::Value;

#[test]
fn its_figures_agree_with_each_other() {
    let figures = fine(&mut hearken(&["bench", "--json", "--threads", "1"]));
    let figures: Value = serde_json::from_str(&figures).expect("JSON");
    let number = |name: &str| figures[name].as_f64().filter(|value| *value > 0.0).expect(name);
    assert_eq!((figures["compute"].as_str(), figures["threads"].as_u64()), (Some("fast"), Some(1)));
    assert!(number("packed_bytes") > 1e6);
    let (encoder, token) = (number("encoder_s"), number("token_s"));
    assert!(token < encoder, "a token costs less than the encoder");
    // On one thread all is done one after the other; a recording costs the encoder and more, but
    // nothing like ten times as much.
    let tokens = number("context_s") * 150.0 / 60.0 * 4.0 / 3.0;
    let parts = number("context_s") / (encoder + tokens * token);
    let whole = number("recording_speed_per_core");
    assert!((parts / 10.0..parts * 2.0).contains(&whole), "{whole} against {parts} of its parts");
}

#[test]
fn the_table_names_the_compute_mode() {
    let text = fine(&mut hearken(&["bench", "--threads", "1", "--compute", "guest"]));
    assert!(text.contains("compute    guest: WebAssembly\n"), "{text}");
    assert!(text.contains("0 MiB of weights packed"), "{text}");
    for line in ["encoder", "token", "recording", "live"] {
        assert!(text.lines().any(|text| text.starts_with(line)), "{line} in {text}");
    }
    let doctor = fine(&mut hearken(&["doctor", "--compute", "exact"]));
    assert!(doctor.contains("compute      exact: "), "{doctor}");
}

#[test]
fn every_way_to_compute_hears_the_same_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let clip = espeak("en-us", 140, "seven three nine two zero five");
    let path = folder.path().join("clip.wav");
    fs::write(&path, wav::pcm16(&clip.samples, clip.format.sample_rate, 1)).expect("a file");
    let path = path.to_str().expect("UTF-8");
    for compute in ["fast", "exact", "guest"] {
        let text = fine(&mut hearken(&["file", path, "--compute", compute]));
        assert_eq!(text.trim(), "seven three nine two zero five", "{compute}");
    }
    let ended = run(&mut hearken(&["file", path, "--compute", "slow"]));
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("`fast`, `exact` or `guest`, not `slow`"), "{}", ended.stderr);
}
