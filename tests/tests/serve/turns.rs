//! OpenAI Realtime where the client says where turns end, changes its settings while it listens, or
//! has a key that lasts minutes.

use std::time::{Duration, Instant};

use hearken_tests::serve::{Came, Server, Socket};
use hearken_tests::speech::espeak;
use serde_json::{Value, json};

use crate::protocols::{append, base64, realtime, settings};
use crate::{KEY_A, PCM, PHRASES, SPEECH, two_tenants};

const DELTA: &str = "conversation.item.input_audio_transcription.delta";
const COMPLETED: &str = "conversation.item.input_audio_transcription.completed";

/// A session whose turns its client commits.
fn committing(server: &Server) -> Socket {
    let mut socket = realtime(server);
    socket.say(&settings(json!({
        "format": { "type": "audio/pcm", "rate": SPEECH.format.sample_rate }, "turn_detection": null,
    })));
    assert_eq!(socket.json()["type"], "session.updated");
    socket
}

fn commit(socket: &mut Socket) {
    socket.say(&json!({ "type": "input_audio_buffer.commit" }));
}

/// Size of the speech of the first phrase, in bytes.
fn first_phrase() -> usize {
    espeak("en-us", 140, PHRASES[0]).samples.len() * 2
}

/// Sends audio as a microphone would, and a commit after each second if it is to.
fn pace(socket: &mut Socket, audio: &[u8], commits: bool) {
    let block = SPEECH.format.sample_rate as usize / 10 * 2;
    let mut due = Instant::now();
    for (index, audio) in audio.chunks(block).enumerate() {
        append(socket, audio);
        if commits && index % 10 == 9 {
            commit(socket);
        }
        due += Duration::from_millis(100);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Reads until this number of turns are complete. Each turn's deltas are its transcript.
fn turns(socket: &mut Socket, count: usize) -> (Vec<Value>, Vec<String>) {
    turns_behind(Vec::new(), socket, count)
}

/// The same behind events that were read.
fn turns_behind(mut all: Vec<Value>, socket: &mut Socket, count: usize) -> (Vec<Value>, Vec<String>) {
    let mut texts = Vec::new();
    while texts.len() < count {
        let event = socket.json();
        assert_ne!(event["type"], "error", "{event}");
        if event["type"] == COMPLETED {
            let deltas = all
                .iter()
                .filter(|other: &&Value| other["type"] == DELTA && other["item_id"] == event["item_id"]);
            let deltas: String = deltas.map(|delta| delta["delta"].as_str().unwrap()).collect();
            assert_eq!(event["transcript"], deltas.as_str());
            texts.push(deltas);
        }
        all.push(event);
    }
    (all, texts)
}

#[test]
fn words_come_before_the_commit() {
    let server = Server::start();
    let mut socket = committing(&server);
    pace(&mut socket, &PCM[..first_phrase()], false);
    // Not one word of the client's asked for it.
    let first = socket.json();
    assert_eq!(first["type"], DELTA, "{first}");
    let item = first["item_id"].clone();
    commit(&mut socket);
    let (events, texts) = turns_behind(vec![first], &mut socket, 1);
    let committed = events.iter().find(|event| event["type"] == "input_audio_buffer.committed").unwrap();
    assert_eq!(committed["item_id"], item);
    let last = events.last().unwrap();
    assert_eq!((&last["transcript"], &last["item_id"]), (&json!(PHRASES[0]), &item), "{texts:?}");
    server.end();
}

#[test]
fn a_commit_every_second_cuts_no_word() {
    let server = Server::start();
    let mut socket = committing(&server);
    pace(&mut socket, &PCM, true);
    commit(&mut socket);
    let commits = PCM.len() / 2 / SPEECH.format.sample_rate as usize + 1;
    let (_, texts) = turns(&mut socket, commits);
    let said: Vec<&str> = texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    assert_eq!(said.join(" "), PHRASES.join(" "), "{texts:?}");
    assert!(said.len() > 2, "several turns have words: {texts:?}");
    server.end();
}

#[test]
fn commits_of_silence_and_of_a_single_byte_are_answered() {
    let server = Server::start();
    let mut socket = committing(&server);
    for (audio, previous) in [(&[0; 1][..], true), (&[0; 64_000], false), (&[0; 2], false)] {
        append(&mut socket, audio);
        commit(&mut socket);
        let committed = socket.json();
        assert_eq!(committed["type"], "input_audio_buffer.committed");
        assert_eq!(committed["previous_item_id"].is_null(), previous);
        let completed = socket.json();
        assert_eq!((&completed["type"], &completed["transcript"]), (&json!(COMPLETED), &json!("")));
        assert_eq!(completed["item_id"], committed["item_id"]);
    }
    commit(&mut socket);
    let error = socket.json();
    assert!(error["error"]["message"].as_str().unwrap().contains("no audio to commit"), "{error}");
    server.end();
}

#[test]
fn a_turn_that_was_not_committed_has_its_text_when_the_server_ends() {
    let server = Server::start();
    let mut socket = committing(&server);
    pace(&mut socket, &PCM[..first_phrase()], false);
    server.signal(rustix::process::Signal::TERM);
    let (events, end) = socket.rest();
    let completed =
        events.iter().find(|event| event["type"] == COMPLETED).unwrap_or_else(|| panic!("{events:?}"));
    assert_eq!(completed["transcript"], PHRASES[0]);
    assert!(matches!(end, Came::Closed(1001, _)), "{end:?}");
    server.end_after_signal();
}

#[test]
fn settings_change_while_audio_comes() {
    let server = Server::start();
    let mut socket = realtime(&server);
    let rate = SPEECH.format.sample_rate;
    socket.say(&settings(json!({ "format": { "type": "audio/pcm", "rate": rate } })));
    assert_eq!(socket.json()["type"], "session.updated");
    // In the middle of the first phrase, as an agent does that learns a name: the phrase is heard
    // whole.
    let middle = first_phrase() / 4 * 2;
    append(&mut socket, &PCM[..middle]);
    assert_eq!(socket.until("input_audio_buffer.speech_started").len(), 1);
    socket.say(&settings(json!({ "turn_detection": { "type": "server_vad", "silence_duration_ms": 600 } })));
    append(&mut socket, &PCM[middle..]);
    let mut transcripts = Vec::new();
    let mut updated = 0;
    let mut started = Vec::new();
    while transcripts.len() < PHRASES.len() {
        let event = socket.json();
        match event["type"].as_str().unwrap() {
            "session.updated" => updated += 1,
            "error" => panic!("{event}"),
            "input_audio_buffer.speech_started" => started.push(event["audio_start_ms"].as_u64().unwrap()),
            COMPLETED => transcripts.push(event["transcript"].as_str().unwrap().to_owned()),
            _ => {}
        }
    }
    assert_eq!((transcripts.as_slice(), updated), (&PHRASES.map(str::to_owned)[..], 1));
    // On one clock: the second phrase starts about a second behind the first, and so on.
    let second = first_phrase() as u64 * 1000 / 2 / u64::from(rate) + 1000;
    assert!(started[0].abs_diff(second) < 700, "{started:?}, {second}");
    // Other audio, and turns that the client commits from now on.
    socket.say(&settings(json!({ "format": { "type": "audio/pcmu" }, "turn_detection": null })));
    let updated = socket.until("session.updated");
    assert_eq!(
        updated.last().unwrap()["session"]["audio"]["input"]["format"],
        json!({ "type": "audio/pcmu" })
    );
    // µ-law silence is 0xff.
    socket.say(&json!({ "type": "input_audio_buffer.append", "audio": base64(&[0xff; 8_000]) }));
    commit(&mut socket);
    let (events, texts) = turns(&mut socket, 1);
    assert_eq!(texts, [""], "{events:?}");
    server.end();
}

#[test]
fn turn_detection_may_change_during_speech() {
    let server = Server::start();
    let mut socket = committing(&server);
    let middle = first_phrase() / 4 * 2;
    append(&mut socket, &PCM[..middle]);
    // From now on the server does: the turn that the client has begun has its phrase whole.
    socket.say(&settings(json!({ "turn_detection": { "type": "server_vad" } })));
    append(&mut socket, &PCM[middle..]);
    let (events, texts) = turns(&mut socket, PHRASES.len());
    assert_eq!(texts, PHRASES, "{events:?}");
    let detected = events.iter().filter(|event| event["type"] == "input_audio_buffer.speech_started").count();
    assert_eq!(detected, PHRASES.len() - 1);
    // And back, in the middle of a phrase that the server detected.
    append(&mut socket, &PCM[..middle]);
    let before = socket.until("input_audio_buffer.speech_started");
    socket.say(&settings(json!({ "turn_detection": null })));
    append(&mut socket, &PCM[middle..PCM.len()]);
    let (events, texts) = turns_behind(before, &mut socket, 1);
    assert_eq!(texts, PHRASES[..1], "{events:?}");
    commit(&mut socket);
    let (events, texts) = turns_behind(events, &mut socket, 1);
    assert_eq!(texts, [PHRASES[1..].join(" ")], "{events:?}");
    server.end();
}

#[test]
fn a_client_secret_opens_sessions_with_the_settings_that_it_was_made_with() {
    let server = Server::with(&two_tenants(""));
    let make = |key: (&str, &str), body: &Value| {
        let kind = ("Content-Type", "application/json");
        server.request("POST", "/v1/realtime/client_secrets", &[key, kind], body.to_string().as_bytes())
    };
    let session = json!({
        "type": "transcription",
        "audio": { "input": {
            "format": { "type": "audio/pcm", "rate": SPEECH.format.sample_rate },
            "transcription": { "model": "gpt-transcribe", "language": "en" },
        } },
    });
    let made = make(
        KEY_A,
        &json!({ "expires_after": { "anchor": "created_at", "seconds": 60 }, "session": session }),
    );
    assert_eq!(made.status, 200, "{made:?}");
    let made = made.json();
    let secret = made["value"].as_str().unwrap();
    assert!(secret.starts_with("ek_") && made["expires_at"].as_u64() > Some(1_700_000_000), "{made}");
    assert_eq!(made["session"]["type"], "transcription");
    // As a browser offers it, and as a program does; more than once.
    let offered = format!("realtime, openai-insecure-api-key.{secret}");
    let bearer = format!("Bearer {secret}");
    for header in [("sec-websocket-protocol", offered.as_str()), ("authorization", &bearer)] {
        let mut socket = server.socket("/v1/realtime", &[header]).unwrap();
        let created = socket.json();
        let input = &created["session"]["audio"]["input"];
        assert_eq!(input["format"]["rate"], SPEECH.format.sample_rate, "{created}");
        append(&mut socket, &PCM);
        let heard = socket.until(COMPLETED);
        assert_eq!(heard.last().unwrap()["transcript"], PHRASES[0]);
    }
    server.wait_for_metric("hearken_opened_total{tenant=\"a\",protocol=\"realtime\"} 2");
    // It is no key for anything else, and nobody without a key gets one.
    assert_eq!(server.get("/v1/models", &[("Authorization", &bearer)]).status, 401);
    assert_eq!(make(("Authorization", &bearer), &json!({})).status, 401);
    assert_eq!(make(("Authorization", "Bearer wrong"), &json!({})).status, 401);
    assert!(matches!(server.socket("/v1/realtime", &[("authorization", "Bearer ek_wrong")]), Err((401, _))));
    for (body, word) in [
        (json!({ "expires_after": { "seconds": 5 } }), "seconds"),
        (json!({ "session": { "type": "realtime" } }), "transcription"),
        (json!({ "session": { "audio": { "input": { "transcription": { "model": "gpt-9" } } } } }), "gpt-9"),
    ] {
        let answer = make(KEY_A, &body);
        assert!(answer.status >= 400 && answer.body.contains(word), "{answer:?}");
    }
    server.end();
}
