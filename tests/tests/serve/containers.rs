//! Live streams in containers: as browsers' recorders and telephones send them.

use std::process::Command;

use hearken_tests::serve::{Came, Server, Socket};
use hearken_tests::wav;
use serde_json::{Value, json};

use crate::{PHRASES, SPEECH};

/// The speech in a container.
fn contained(options: &[&str]) -> Vec<u8> {
    written_by_ffmpeg(&SPEECH.samples, 1, options)
}

/// Samples at the rate of the speech in a container, which ffmpeg writes as it would to a live
/// stream.
pub(super) fn written_by_ffmpeg(samples: &[f32], channels: u16, options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("speech.wav");
    std::fs::write(&path, wav::pcm16(samples, SPEECH.format.sample_rate, channels)).expect("written");
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(&path)
        .args(options)
        .arg("-")
        .output()
        .expect("ffmpeg can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Sends bytes in pieces as small as a recorder's.
fn stream(socket: &mut Socket, bytes: &[u8]) {
    for piece in bytes.chunks(1_500) {
        assert!(socket.push(piece));
    }
}

const WEBM: &[&str] = &["-c:a", "libopus", "-b:a", "64k", "-f", "webm", "-live", "1"];
pub(super) const OGG: &[&str] = &["-c:a", "libopus", "-b:a", "64k", "-f", "ogg", "-page_duration", "100000"];

#[test]
fn deepgrams_clients_may_send_any_container() {
    let server = Server::start();
    let kinds: [(&str, &[&str]); 7] = [
        ("", WEBM),
        ("?encoding=opus&sample_rate=48000", OGG),
        ("?encoding=ogg-opus", OGG),
        ("", &["-c:a", "aac", "-b:a", "96k", "-f", "adts"]),
        ("", &["-c:a", "libmp3lame", "-b:a", "96k", "-f", "mp3"]),
        ("?encoding=flac", &["-c:a", "flac", "-f", "flac"]),
        (
            "",
            &[
                "-c:a",
                "aac",
                "-b:a",
                "96k",
                "-f",
                "mp4",
                "-movflags",
                "frag_keyframe+empty_moov",
                "-frag_duration",
                "200000",
            ],
        ),
    ];
    for (query, options) in kinds {
        let mut socket = server.socket(&format!("/v1/listen{query}"), &[]).unwrap();
        stream(&mut socket, &contained(options));
        socket.say(&json!({ "type": "CloseStream" }));
        let (messages, end) = socket.rest();
        assert!(matches!(end, Came::Closed(1000, _)), "{options:?}: {end:?}");
        let said: Vec<&str> = messages
            .iter()
            .filter(|message| message["is_final"] == true)
            .filter_map(|message| message["channel"]["alternatives"][0]["transcript"].as_str())
            .filter(|text| !text.is_empty())
            .collect();
        assert_eq!(said.join(" "), PHRASES.join(" "), "{options:?}");
        let last = messages.last().unwrap();
        let seconds = SPEECH.samples.len() as f64 / f64::from(SPEECH.format.sample_rate);
        assert!((last["duration"].as_f64().unwrap() - seconds).abs() < 0.2, "{options:?}: {last}");
    }
    server.end();
}

/// Text comes before the container ends, and a recorder that is started again is heard again.
#[test]
fn text_comes_while_the_container_grows() {
    let server = Server::start();
    let mut socket = server.socket("/v1/stream", &[]).unwrap();
    socket.say(&json!({ "type": "start", "encoding": "container" }));
    assert_eq!(socket.json()["type"], "started");
    let bytes = contained(WEBM);
    stream(&mut socket, &bytes[..bytes.len() * 4 / 5]);
    socket.until("final");
    stream(&mut socket, &bytes[bytes.len() * 4 / 5..]);
    socket.say(&json!({ "type": "finish" }));
    let (messages, end) = socket.rest();
    assert_eq!(end, Came::Closed(1000, String::new()));
    let finals: Vec<&Value> = messages.iter().filter(|message| message["type"] == "final").collect();
    assert_eq!(finals.len(), PHRASES.len() - 1, "{messages:?}");
    server.end();
}

#[test]
fn data_without_a_container_is_refused_with_the_reason() {
    let server = Server::start();
    let mut socket = server.socket("/v1/listen", &[]).unwrap();
    socket.push(b"%PDF-1.7\n");
    socket.push(&[0; 2_000]);
    let (messages, end) = socket.rest();
    let Came::Closed(1008, reason) = &end else { panic!("{messages:?} {end:?}") };
    assert!(reason.starts_with("DATA-0000"), "{reason}");
    server.end();
}

/// A call with a speaker in each channel.
#[test]
fn deepgrams_clients_get_the_channels_of_a_recording_apart() {
    let server = Server::start();
    let silent = SPEECH.samples.iter().map(|_| 0.0);
    let samples: Vec<f32> =
        silent.zip(SPEECH.samples.iter()).flat_map(|(left, &right)| [left, right]).collect();
    let wave = wav::pcm16(&samples, SPEECH.format.sample_rate, 2);
    let answer = server.request("POST", "/v1/listen?multichannel=true&utterances=true", &[], &wave).json();
    assert_eq!(answer["metadata"]["channels"], 2);
    let said =
        |channel: usize| answer["results"]["channels"][channel]["alternatives"][0]["transcript"].clone();
    assert_eq!((said(0), said(1)), (json!(""), json!(PHRASES.join(" "))));
    let utterances = answer["results"]["utterances"].as_array().unwrap();
    assert!(!utterances.is_empty() && utterances.iter().all(|said| said["channel"] == 1), "{utterances:?}");
    server.end();
}
