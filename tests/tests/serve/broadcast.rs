//! Streams that have a name: others watch them, and Asterisk's calls have no other text.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use hearken::audio::Resampler;
use hearken_tests::serve::{Came, Server, Socket};
use hearken_tests::wav;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::clients::python;
use crate::protocols::base64;
use crate::{KEY_A, KEY_B, PCM, PHRASES, SPEECH, two_tenants};

pub(crate) fn watch(server: &Server, name: &str, headers: &[(&'static str, &str)]) -> (Socket, Value) {
    let mut socket = server.socket(&format!("/v1/watch/{name}"), headers).unwrap();
    let first = socket.json();
    (socket, first)
}

fn start(server: &Server, name: &str, headers: &[(&'static str, &str)]) -> (Socket, Value) {
    let mut socket = server.socket("/v1/stream", headers).unwrap();
    let rate = SPEECH.format.sample_rate;
    socket.say(&json!({ "type": "start", "encoding": "s16le", "sample_rate": rate, "name": name }));
    let answer = socket.json();
    (socket, answer)
}

pub(crate) fn texts(messages: &[Value]) -> String {
    let finals = messages.iter().filter(|message| message["type"] == "final");
    finals.filter_map(|message| message["text"].as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn watchers_have_the_text_of_a_stream_by_its_name() {
    let server = Server::start();
    let (mut early, first) = watch(&server, "stage", &[]);
    assert_eq!(first, json!({ "type": "watching", "name": "stage", "on_air": false }));
    let (mut speaker, started) = start(&server, "stage", &[]);
    assert_eq!(started["type"], "started");
    assert_eq!(early.json(), json!({ "type": "on_air" }));
    let (mut late, first) = watch(&server, "stage", &[]);
    assert_eq!(first["on_air"], true);
    // The name is taken, and names are plain.
    for name in ["stage", "", "a/b", "a b"] {
        let (_, refused) = start(&server, name, &[]);
        assert_eq!(
            (&refused["type"], &refused["code"]),
            (&json!("error"), &json!("invalid_request")),
            "{name}"
        );
    }
    assert!(speaker.push(&PCM));
    speaker.say(&json!({ "type": "finish" }));
    let (said, _) = speaker.rest();
    for watcher in [&mut early, &mut late] {
        let seen = watcher.until("off_air");
        assert_eq!(texts(&seen), PHRASES.join(" "));
        // What resumes a stream is its speaker's alone; the rest is the same.
        assert!(seen.iter().all(|message| message.get("stream").is_none() && message.get("seq").is_none()));
        let told = |messages: &[Value], kind: &str| {
            messages.iter().filter(|message| message["type"] == kind).count()
        };
        // On a busy machine all of it may be spoken before the first partial text is due.
        for kind in ["speech_started", "speech_ended", "partial", "final", "finished"] {
            assert_eq!(told(&seen, kind), told(&said, kind), "{kind}");
        }
    }
    // They stay for the next one.
    let (mut speaker, _) = start(&server, "stage", &[]);
    assert_eq!(early.json()["type"], "on_air");
    speaker.say(&json!({ "type": "finish" }));
    speaker.rest();
    assert_eq!(early.until("off_air")[0]["type"], "finished");
    drop((early, late));
    server.wait_for_metric("hearken_watchers{tenant=\"local\"} 0");
    server.end();
}

#[test]
fn a_broadcast_is_its_tenants_and_watchers_are_limited_and_end_with_their_key() {
    let both = two_tenants("watchers = 2");
    let server = Server::with(&both);
    let (_speaker, started) = start(&server, "stage", &[KEY_A]);
    assert_eq!(started["type"], "started");
    let (_other, first) = watch(&server, "stage", &[KEY_B]);
    assert_eq!(first["on_air"], false, "the same name of another tenant");
    let (watcher, first) = watch(&server, "stage", &[KEY_A]);
    assert_eq!(first["on_air"], true);
    let _second = watch(&server, "stage", &[KEY_A]);
    let Err((429, body)) = server.socket("/v1/watch/stage", &[KEY_A]) else { panic!("a third one") };
    assert!(body.contains("too_many_watchers"), "{body}");
    let Err((401, _)) = server.socket("/v1/watch/stage", &[]) else { panic!("without a key") };
    let Err((400, body)) = server.socket("/v1/watch/a%20b", &[KEY_A]) else { panic!("no name") };
    assert!(body.contains("letters"), "{body}");
    let hash = |key| hearken_server::KeyHash::of(key).to_string();
    server.configure(&both.replacen(&hash("key-a"), &hash("new"), 1));
    server.signal(Signal::HUP);
    let (mut watcher, mut last) = (watcher, None);
    let end = loop {
        match watcher.come() {
            Came::Json(message) => last = Some(message),
            end => break end,
        }
    };
    assert_eq!(end, Came::Closed(1008, "key_revoked".to_owned()), "{last:?}");
    server.end();
}

/// Messages of AudioSocket.
pub(crate) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, length[0], length[1]], payload].concat()
}

/// A call's name, and its text form.
pub(crate) const CALL: ([u8; 16], &str) =
    ([0x40, 0x32, 0x5e, 0xc2, 0x5e, 0xfd, 0x4b, 0xd3, 0x80, 0x5f, 0x53, 0x57, 0x6e, 0x58, 0x1d, 0x13], {
        "40325ec2-5efd-4bd3-805f-53576e581d13"
    });

#[test]
fn a_call_of_asterisk_is_heard_and_watched() {
    let server = Server::with_arguments("", &["--audiosocket", "127.0.0.1:0"]);
    let (mut watcher, _) = watch(&server, CALL.1, &[]);
    let mut call = server.also("AudioSocket").connect();
    call.write_all(&frame(0x01, &CALL.0)).unwrap();
    assert_eq!(watcher.json()["type"], "on_air");
    let mut samples = Vec::new();
    let mut resampler = Resampler::new(SPEECH.format).unwrap();
    resampler.push(&SPEECH.samples, &mut samples);
    resampler.finish(&mut samples);
    // 20 ms at 16 kHz each; a key is pressed in between.
    for (number, piece) in wav::s16le(&samples).chunks(640).enumerate() {
        call.write_all(&frame(0x12, piece)).unwrap();
        if number == 50 {
            call.write_all(&frame(0x03, b"5")).unwrap();
        }
    }
    call.write_all(&frame(0x00, &[])).unwrap();
    let mut answer = Vec::new();
    call.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, frame(0x00, &[]), "it hangs up, too");
    let seen = watcher.until("off_air");
    assert_eq!(texts(&seen), PHRASES.join(" "));
    server.end();
}

#[test]
fn calls_that_make_no_sense_end_with_the_reason_and_cost_no_other() {
    let server = Server::with_arguments("", &["--audiosocket", "127.0.0.1:0"]);
    for (bytes, word) in [
        (frame(0x10, &[0; 320]), None),
        (frame(0x01, &[1, 2]), None),
        ([frame(0x01, &CALL.0), frame(0x10, &[0; 320]), frame(0x12, &[0; 640])].concat(), Some("16000 Hz")),
    ] {
        let (mut watcher, _) = watch(&server, CALL.1, &[]);
        let mut call = server.also("AudioSocket").connect();
        call.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        let _ = call.read_to_end(&mut answer);
        assert_eq!(answer, frame(0x00, &[]));
        if let Some(word) = word {
            let seen = watcher.until("off_air");
            let error = seen.iter().find(|message| message["type"] == "error").expect("an error");
            assert!(error["message"].as_str().unwrap().contains(word), "{error}");
        }
    }
    // Two calls of one name, one after the other; and a connection that closes.
    for _ in 0..2 {
        let mut call = server.also("AudioSocket").connect();
        call.write_all(&[frame(0x01, &CALL.0), frame(0x10, &[0; 320])].concat()).unwrap();
        server.wait_for_metric("hearken_open{tenant=\"local\",protocol=\"audiosocket\"} 1");
        drop(call);
        server.wait_for_metric("hearken_open{tenant=\"local\",protocol=\"audiosocket\"} 0");
    }
    server.end();
}

/// A call as Twilio sends it: two tracks of 20 ms, each in its turn.
#[test]
fn a_call_of_twilio_is_heard_with_its_tracks_apart() {
    let server = Server::with(&two_tenants(""));
    let (mut watcher, _) = watch(&server, "CA1", &[KEY_A]);
    let mut twilio = server.socket("/v1/twilio", &[]).unwrap();
    twilio.say(&json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" }));
    let start = |key: &str| {
        json!({
            "event": "start", "sequenceNumber": "1", "streamSid": "MZ1",
            "start": {
                "accountSid": "AC1", "streamSid": "MZ1", "callSid": "CA1", "tracks": ["inbound", "outbound"],
                "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
                "customParameters": { "key": key },
            },
        })
    };
    twilio.say(&start("key-a"));
    assert_eq!(watcher.json()["type"], "on_air");
    let samples = telephone();
    for piece in samples.chunks(160) {
        for (track, audio) in [("inbound", piece.to_vec()), ("outbound", vec![0xFF; piece.len()])] {
            twilio.say(&json!({
                "event": "media", "sequenceNumber": "3", "streamSid": "MZ1",
                "media": { "track": track, "chunk": "1", "timestamp": "5", "payload": base64(&audio) },
            }));
        }
    }
    twilio.say(&json!({ "event": "stop", "streamSid": "MZ1", "stop": { "callSid": "CA1" } }));
    assert!(matches!(twilio.rest().1, Came::Closed(1000, _)));
    let seen = watcher.until("off_air");
    assert_eq!(texts(&seen), PHRASES.join(" "));
    assert!(seen.iter().filter(|message| message["type"] == "final").all(|message| message["channel"] == 0));

    let mut wrong = server.socket("/v1/twilio", &[]).unwrap();
    wrong.say(&start("key-x"));
    let Came::Closed(1008, reason) = wrong.rest().1 else { panic!("a wrong key") };
    assert!(reason.contains("not known"), "{reason}");
    server.end();
}

/// The speech as a telephone has it: µ-law (ITU-T G.711) at 8 kHz.
fn telephone() -> Vec<u8> {
    let rate = SPEECH.format.sample_rate as usize;
    let count = SPEECH.samples.len() * 8_000 / rate;
    let sample = |at: usize| {
        let place = at as f64 * rate as f64 / 8_000.0;
        let (before, part) = (place as usize, place.fract() as f32);
        let next = SPEECH.samples.get(before + 1).copied().unwrap_or(0.0);
        SPEECH.samples[before] * (1.0 - part) + next * part
    };
    (0..count).map(|at| mu_law((sample(at) * 32_767.0) as i32)).collect()
}

pub(crate) fn mu_law(sample: i32) -> u8 {
    let magnitude = (sample.abs() + 132).min(32_767);
    let exponent = (magnitude >> 7).ilog2().min(7);
    let mantissa = magnitude >> (exponent + 3) & 0x0F;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (exponent as u8) << 4 | mantissa as u8)
}

#[test]
fn a_browser_shows_a_broadcast_over_a_picture() {
    let server = Server::with(&two_tenants(""));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pictures = here.join("../target/browser");
    std::fs::create_dir_all(&pictures).unwrap();
    let mut overlay = Command::new(python())
        .arg(here.join("tests/serve/overlay.py"))
        .args(["chromium", &server.address.to_string(), "stage", "key-a"])
        .arg(pictures.join("overlay.png"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut lines = BufReader::new(overlay.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("watching"));
    server.wait_for_metric("hearken_watchers{tenant=\"a\"} 1");
    let (mut speaker, _) = start(&server, "stage", &[KEY_A]);
    assert!(speaker.push(&PCM));
    speaker.say(&json!({ "type": "finish" }));
    speaker.rest();
    overlay.stdin.take().unwrap().write_all(b"\n").unwrap();
    let seen: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(seen["lines"], json!(PHRASES));
    assert_eq!((&seen["size"], &seen["color"]), (&json!("36px"), &json!("rgb(255, 255, 0)")));
    assert_eq!(seen["background"], "rgba(0, 0, 0, 0)");
    assert_eq!(seen["complaints"], json!([]));
    assert!(overlay.wait().unwrap().success());
    server.end();
}
