//! Telephone providers that read the text of their calls: the messages that Vapi and jambonz send,
//! and what they read.

use std::time::Duration;

use hearken_tests::serve::{Came, Server, Socket};
use hearken_tests::wav;
use serde_json::{Value, json};

use crate::apart::call;
use crate::{KEY_A, PCM, PHRASES, SPEECH, two_tenants};

/// Sends a call as fast as it is spoken, in pieces of 20 ms that end within a frame.
fn speak(socket: &mut Socket) {
    let audio = wav::s16le(&call());
    let piece = SPEECH.format.sample_rate as usize / 50 * 4 + 1;
    for audio in audio.chunks(piece) {
        assert!(socket.push(audio));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A message of Vapi that begins a call of two channels.
fn vapi_start() -> Value {
    json!({
        "type": "start", "encoding": "linear16", "container": "raw",
        "sampleRate": SPEECH.format.sample_rate, "channels": 2,
    })
}

#[test]
fn vapi_reads_what_each_side_says() {
    let server = Server::with(&two_tenants(""));
    let mut watcher = server.socket("/v1/watch/call-1", &[KEY_A]).unwrap();
    assert_eq!(watcher.json()["type"], "watching");
    let mut vapi = server.socket("/v1/vapi?name=call-1", &[("X-Vapi-Secret", "key-a")]).unwrap();
    vapi.say(&vapi_start());
    vapi.say(&json!({ "type": "model-output", "message": "Hello!" }));
    speak(&mut vapi);
    let mut said = [const { Vec::new() }; 2];
    let mut partials = [0; 2];
    while said.iter().any(|side| side.len() < PHRASES.len()) {
        let message = vapi.json();
        assert_eq!(message["type"], "transcriber-response", "{message}");
        let side = ["customer", "assistant"].iter().position(|name| message["channel"] == *name).unwrap();
        let text = message["transcription"].as_str().unwrap().to_owned();
        assert!(!text.is_empty(), "{message}");
        match message["transcriptType"].as_str() {
            Some("final") => said[side].push(text),
            Some("partial") => partials[side] += 1,
            _ => panic!("{message}"),
        }
    }
    assert_eq!(said, [PHRASES, PHRASES]);
    assert!(partials.iter().all(|count| *count > 2), "text while it is spoken: {partials:?}");
    // Vapi ends a conversation without a word.
    vapi.cut();
    let seen = watcher.until("off_air");
    for channel in 0..2 {
        let texts: Vec<&str> = seen
            .iter()
            .filter(|message| message["type"] == "final" && message["channel"] == channel)
            .filter_map(|message| message["text"].as_str())
            .collect();
        assert_eq!(texts, PHRASES, "channel {channel}");
    }
    server.wait_for_metric("hearken_open{tenant=\"a\",protocol=\"vapi\"} 0");
    server.end();
}

#[test]
fn what_was_said_last_reaches_watchers_though_the_provider_has_gone() {
    let server = Server::with(&two_tenants(""));
    let mut start = vapi_start();
    start["channels"] = json!(1);
    for goodbye in [true, false] {
        let mut watcher = server.socket("/v1/watch/call-2", &[KEY_A]).unwrap();
        assert_eq!(watcher.json()["type"], "watching");
        let mut vapi = server.socket("/v1/vapi?name=call-2&key=key-a", &[]).unwrap();
        vapi.say(&start);
        // Less silence behind it than ends an utterance.
        let rate = SPEECH.format.sample_rate as usize;
        assert!(vapi.push(&PCM[..PCM.len() - rate * 3 / 2 / 2 * 2]));
        watcher.until("final");
        if goodbye {
            vapi.0.close(None).unwrap();
        }
        vapi.cut();
        let seen = watcher.until("off_air");
        let last = seen.iter().rfind(|message| message["type"] == "final").expect("a text");
        assert_eq!(last["text"], PHRASES[2], "{seen:?}");
    }
    server.wait_for_metric("hearken_open{tenant=\"a\",protocol=\"vapi\"} 0");
    server.end();
}

#[test]
fn jambonz_reads_what_each_side_says_and_the_rest_after_it_stops() {
    let server = Server::with(&two_tenants(""));
    let mut watcher = server.socket("/v1/watch/c-1", &[KEY_A]).unwrap();
    assert_eq!(watcher.json()["type"], "watching");
    let run = |interim: bool, sid: &str| {
        let mut jambonz = server.socket("/v1/jambonz", &[KEY_A]).unwrap();
        jambonz.say(&json!({
            "type": "start", "language": "en-US", "format": "raw", "encoding": "LINEAR16",
            "interimResults": interim, "sampleRateHz": SPEECH.format.sample_rate,
            "options": { "channels": 2, "callSid": sid },
        }));
        // The last phrase is in the air when it stops.
        let audio = wav::s16le(&call());
        let second = SPEECH.format.sample_rate as usize * 4;
        assert!(jambonz.push(&audio[..audio.len() - second / 2]));
        jambonz.say(&json!({ "type": "stop" }));
        let (messages, end) = jambonz.rest();
        assert_eq!(end, Came::Closed(1000, String::new()), "the server closes: {messages:?}");
        messages
    };
    let messages = run(true, "c-1");
    assert!(messages.iter().any(|message| message["is_final"] == false), "{messages:?}");
    for channel in 1..=2 {
        let finals = messages.iter().filter(|message| {
            message["type"] == "transcription" && message["is_final"] == true && message["channel"] == channel
        });
        let texts: Vec<&str> = finals
            .map(|message| {
                assert_eq!(message["language"], "en", "{message}");
                let confidence = message["alternatives"][0]["confidence"].as_f64().unwrap();
                assert!(confidence > 0.3 && confidence <= 1.0, "{message}");
                message["alternatives"][0]["transcript"].as_str().unwrap()
            })
            .collect();
        assert_eq!(texts, PHRASES, "channel {channel}");
    }
    assert!(watcher.until("off_air").iter().any(|message| message["type"] == "final"));
    assert!(run(false, "c-2").iter().all(|message| message["is_final"] == true), "no partial texts");
    server.end();
}

#[test]
fn calls_that_are_rejected_end_in_the_providers_words() {
    let server = Server::with(&two_tenants("streams = 1"));
    for path in ["/v1/vapi", "/v1/jambonz", "/v1/vapi?key=key-x"] {
        let Err((status, body)) = server.socket(path, &[]) else { panic!("{path} without a key") };
        assert!(status == 401 && body.contains("api_key"), "{path}: {status} {body}");
    }
    // The address may have the key.
    let mut vapi = server.socket("/v1/vapi?key=key-a", &[]).unwrap();
    vapi.say(&vapi_start());
    let (messages, end) = vapi.rest();
    let Came::Closed(1008, reason) = end else { panic!("two channels are two streams: {end:?}") };
    assert!(messages.is_empty() && reason.contains("1 streams"), "{reason}");

    let start = |more: Value| {
        let mut start = json!({
            "type": "start", "language": "en-US", "format": "raw", "encoding": "LINEAR16",
            "interimResults": false, "sampleRateHz": 8000, "options": {},
        });
        start.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        start
    };
    for (message, word) in [
        (start(json!({ "encoding": "MULAW" })), "MULAW"),
        (start(json!({ "sampleRateHz": 7 })), "7 Hz"),
        (start(json!({ "options": { "channels": 3 } })), "one or two channels"),
        (start(json!({ "language": "klingon" })), "klingon"),
        (json!({ "type": "stop" }), "not started"),
        (json!("start"), "custom speech to text"),
    ] {
        let mut jambonz = server.socket("/v1/jambonz", &[KEY_A]).unwrap();
        jambonz.say(&message);
        let (messages, end) = jambonz.rest();
        assert!(matches!(end, Came::Closed(1008, _)), "{message}: {end:?}");
        let [error] = &messages[..] else { panic!("{message}: {messages:?}") };
        assert_eq!(error["type"], "error");
        assert!(error["error"].as_str().unwrap().contains(word), "{message}: {error}");
    }
    let mut early = server.socket("/v1/jambonz", &[KEY_A]).unwrap();
    assert!(early.push(&[0; 320]));
    assert!(early.rest().0[0]["error"].as_str().unwrap().contains("audio came first"));
    server.end();
}
