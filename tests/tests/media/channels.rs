//! A call with a speaker in each channel.

use hearken_tests::command::{fine, hearken, run};
use hearken_tests::tenants::{PHRASES, SPEECH};
use hearken_tests::wav;

#[test]
fn each_channel_is_transcribed_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("call.wav");
    let call = path.to_str().expect("a name");
    // One speaks, then the other.
    let speech = &SPEECH.samples;
    let first = speech.iter().flat_map(|&sample| [sample, 0.0]);
    let second = speech.iter().flat_map(|&sample| [0.0, sample]);
    let samples: Vec<f32> = first.chain(second).collect();
    std::fs::write(&path, wav::pcm16(&samples, SPEECH.format.sample_rate, 2)).expect("written");
    let text = fine(&mut hearken(&["file", call, "--separate-channels"]));
    let expected: Vec<String> = (1..=2)
        .flat_map(|channel| PHRASES.iter().map(move |phrase| format!("Channel {channel}: {phrase}")))
        .collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    let json = fine(&mut hearken(&["file", call, "--separate-channels", "-f", "json"]));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let seconds = speech.len() as f64 / f64::from(SPEECH.format.sample_rate);
    let start = json["channels"][1]["transcript"]["segments"][0]["start"].as_f64().expect("a time");
    assert!((start - seconds).abs() < 1.0, "{start}: its place in the call, behind {seconds}");
    run(&mut hearken(&["file", "-", "--separate-channels"]))
        .only_says(2, &["--separate-channels", "name a file"]);
}
