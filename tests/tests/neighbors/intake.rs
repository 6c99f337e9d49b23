//! Isolation of the audio intake: decoding and resampling before recognition.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use hearken_tests::media_guest::MediaGuest;
use hearken_tests::serve::{Answer, Server, form};
use hearken_tests::tenants::{KEY_A, KEY_B, SPEECH, two_tenants};
use hearken_tests::{attack, wav};
use serde_json::json;
use tungstenite::Message;

use crate::{apart, beside, is_full, request, server};

fn upload(server: &Server, name: &str, file: &[u8]) -> Answer {
    let (kind, body) = form(&[("model", "digits")], Some((name, file)));
    server.request("POST", "/v1/audio/transcriptions", &[KEY_A, ("Content-Type", &kind)], &body)
}

/// CPU time that the server says a tenant's audio took before it was recognized.
fn intake(server: &Server, tenant: &str) -> f64 {
    let name = format!("hearken_intake_cpu_seconds_total{{tenant=\"{tenant}\"}} ");
    let metrics = server.get("/metrics", &[]).body;
    let value = metrics.lines().find_map(|line| line.strip_prefix(&name)).expect("a metric");
    value.parse().expect("a number")
}

#[test]
fn hours_of_gaps_cost_no_more_than_their_packets() {
    let server = Server::with(&two_tenants(""));
    let file = attack::gaps(3);
    let before = server.cpu_time();
    let answer = upload(&server, "gaps.mkv", &file);
    let took = server.cpu_time() - before;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(took < Duration::from_secs(1), "{} bytes: {took:?}", file.len());
    server.end();
}

#[test]
fn what_a_recording_costs_before_it_is_recognized_is_its_tenants() {
    let server = Server::with(&two_tenants(""));
    let before = (server.cpu_time(), intake(&server, "a"));
    assert_eq!(upload(&server, "silence.flac", &attack::silence(300)).status, 200);
    let took = (server.cpu_time() - before.0).as_secs_f64();
    let counted = intake(&server, "a") - before.1;
    assert!(counted > 0.6 * took && counted < 1.1 * took, "{counted} s of {took} s");
    assert_eq!(intake(&server, "b"), 0.0);
    server.end();
}

#[test]
fn more_samples_than_a_rich_recording_has_are_too_many() {
    let server = Server::with(&two_tenants("recording_minutes = 10"));
    // Ten minutes of 48 kHz and two channels are 37 s of 192 kHz and eight.
    assert_eq!(upload(&server, "silence.flac", &attack::silence(30)).status, 200);
    let answer = upload(&server, "silence.flac", &attack::silence(60));
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (413, &json!("recording_too_long")));
    server.end();
}

#[test]
fn uploads_that_are_much_to_take_in_are_their_tenants_own_business() {
    // All of them are completed before the server ends.
    let file = attack::silence(if is_full() { 300 } else { 30 });
    beside(
        "CPU before the recognizer: 24 uploads of silence at 192 kHz with 8 channels",
        server(),
        24,
        |server| {
            assert_eq!(upload(server, "silence.flac", &file).status, 200);
        },
    );
}

/// Each of them takes all the time that its decoder may.
#[test]
fn decoders_that_do_not_end_are_their_tenants_own_business() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = folder.path().join("media.wasm");
    let hostile = MediaGuest::attacking("(loop $again (br $again))");
    std::fs::write(&module, hostile.module()).expect("a module");
    let media = module.to_str().expect("a name");
    let server = apart(|| Server::with_arguments(&two_tenants(""), &["--media", media]));
    let (kind, body) = form(&[("model", "digits")], Some(("call.amr", b"#!AMR\n\x3c\x55\x08\x00")));
    let request = request(&server, &kind, &body, 0);
    beside("decoders in an attacker's hands: 24 uploads whose decoder loops", server, 24, |server| {
        let mut stream = server.connect();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        stream.write_all(&request).unwrap();
        // Its client goes away before the decoder's ten seconds of CPU time are over.
        let answer = stream.read(&mut [0]).expect_err("the decoder still runs");
        assert_eq!(answer.kind(), std::io::ErrorKind::WouldBlock);
    });
}

#[test]
fn hundreds_of_uploads_need_no_threads_and_leave_room_for_those_of_others() {
    const UPLOADS: usize = 530;
    let server = Server::with(&format!("[admission]\nenabled = false\n{}", two_tenants("streams = 600")));
    let (threads, file) = (server.threads(), attack::silence(300));
    let (kind, body) = form(&[("model", "digits")], Some(("silence.flac", &file)));
    let request = request(&server, &kind, &body, 0);
    let uploads: Vec<_> = (0..UPLOADS)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(&request).unwrap();
            stream
        })
        .collect();
    server.wait_for_metric(&format!("hearken_opened_total{{tenant=\"a\",protocol=\"openai\"}} {UPLOADS}"));
    let start = Instant::now();
    let (kind, body) = form(
        &[("model", "digits")],
        Some(("speech.wav", &wav::pcm16(&SPEECH.samples, SPEECH.format.sample_rate, 1))),
    );
    let answer = server.request("POST", "/v1/audio/transcriptions", &[KEY_B, ("Content-Type", &kind)], &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(server.threads() < threads + 20, "{} threads, {threads} before", server.threads());
    // Nobody waits for them any more.
    drop(uploads);
    server.end();
}

/// Takes in what a client of the own WebSocket sends as fast as it can, for so long; the audio, in
/// seconds.
fn flood(server: &Server, time: Duration) -> f64 {
    let mut socket = server.socket("/v1/stream", &[KEY_A]).unwrap();
    socket.say(&json!({"type": "start", "encoding": "f32le", "sample_rate": 192_000, "channels": 8}));
    socket.json();
    let silence = vec![0; 1 << 20];
    let start = Instant::now();
    socket.0.get_ref().set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut sent = true;
    while start.elapsed() < time {
        // What the server does not take yet is kept, and is sent before the next message.
        let more = if sent { socket.0.send(Message::binary(silence.clone())) } else { socket.0.flush() };
        sent = more.is_ok();
    }
    let name = "hearken_audio_seconds_total{tenant=\"a\"} ";
    let metrics = server.get("/metrics", &[]).body;
    metrics.lines().find_map(|line| line.strip_prefix(name)).expect("a metric").parse().unwrap()
}

#[test]
fn live_audio_is_not_taken_in_much_faster_than_it_is_spoken() {
    let server = Server::with(&two_tenants(""));
    let taken = flood(&server, Duration::from_secs(4));
    // 5.2 s at once, then 1.25 times real time.
    assert!((8.0..14.0).contains(&taken), "{taken} s");
    assert!(intake(&server, "a") > 0.0);
}

#[test]
fn live_audio_that_is_much_to_take_in_is_its_tenants_own_business() {
    beside(
        "I/O threads: 2 streams of 192 kHz with 8 channels, as fast as they are taken",
        server(),
        2,
        |server| {
            flood(server, Duration::from_secs(2));
        },
    );
}
