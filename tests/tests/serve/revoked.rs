//! A key that is taken back opens nothing, and what it opened ends.

use std::io::Write;
use std::time::{Duration, Instant};

use hearken_tests::serve::{Answer, Came, Server, Socket, form};
use hearken_tests::wav;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{KEY_A, KEY_B, PCM, SPEECH, two_tenants};

fn open(server: &Server, key: (&'static str, &str)) -> Socket {
    let mut socket = server.socket("/v1/stream", &[key]).unwrap();
    socket.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate}));
    assert_eq!(socket.json()["type"], "started");
    socket
}

/// The last message, and how the connection ended.
fn end(mut socket: Socket) -> (Value, Came) {
    let (mut messages, end) = socket.rest();
    (messages.pop().unwrap(), end)
}

#[test]
fn what_a_revoked_key_has_opened_ends_and_says_why() {
    let both = two_tenants("");
    let server = Server::with(&both);
    let rate = SPEECH.format.sample_rate;
    let own = open(&server, KEY_A);
    let mut deepgram =
        server.socket(&format!("/v1/listen?encoding=linear16&sample_rate={rate}"), &[KEY_A]).unwrap();
    deepgram.push(&PCM[..8 << 10]);
    let mut realtime = server.socket("/v1/realtime?intent=transcription", &[KEY_A]).unwrap();
    realtime.json();
    // Half of an upload, and a stream without a connection.
    let (kind, body) =
        form(&[("model", "digits")], Some(("speech.wav", &wav::pcm16(&SPEECH.samples, rate, 1))));
    let mut upload = server.connect();
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {}\r\n{}: {}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n",
        server.address,
        KEY_A.0,
        KEY_A.1,
        body.len()
    );
    upload.write_all(&[head.as_bytes(), &body[..body.len() / 2]].concat()).unwrap();
    drop(open(&server, KEY_A).0.into_inner());
    let other = open(&server, KEY_B);
    server.wait_for_metric("hearken_open{tenant=\"a\",protocol=\"openai\"} 1");
    server.wait_for_metric("hearken_parked 1");

    let without_a = both.replacen(
        &hearken_server::KeyHash::of("key-a").to_string(),
        &hearken_server::KeyHash::of("new").to_string(),
        1,
    );
    server.configure(&without_a);
    server.signal(Signal::HUP);
    server.wait_for_log("were read again");
    let reloaded = Instant::now();
    let (message, how) = end(own);
    assert_eq!((&message["type"], &message["code"]), (&json!("error"), &json!("key_revoked")), "{message}");
    assert_eq!(how, Came::Closed(1008, "key_revoked".to_owned()));
    let (message, how) = end(deepgram);
    assert_eq!(message["type"], "Error", "{message}");
    assert!(matches!(how, Came::Closed(1008, _)), "{how:?}");
    let (message, how) = end(realtime);
    assert_eq!(message["error"]["code"], "key_revoked", "{message}");
    assert!(matches!(how, Came::Closed(1008, _)), "{how:?}");
    let answer = Answer::read(upload);
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &json!("key_revoked")));
    assert!(reloaded.elapsed() < Duration::from_secs(1), "{:?}", reloaded.elapsed());
    for protocol in ["hearken", "deepgram", "realtime", "openai"] {
        server.wait_for_metric(&format!("hearken_open{{tenant=\"a\",protocol=\"{protocol}\"}} 0"));
    }
    // The other tenant's stream is where it was.
    let mut other = other;
    other.push(&PCM);
    other.until("final");
    server.end();
}

#[test]
fn a_key_that_was_replaced_in_time_goes_on_with_the_streams_of_the_old_one() {
    let hash = hearken_server::KeyHash::of;
    let tenant = |keys: &[&str]| {
        let hashes: Vec<_> = keys.iter().map(|key| format!("\"{}\"", hash(key))).collect();
        format!("[models]\ndigits = \"embedded\"\n[tenants.a]\nkeys = [{}]\n", hashes.join(", "))
    };
    let server = Server::with(&tenant(&["old", "new"]));
    let (old, new) = (("Authorization", "Bearer old"), ("Authorization", "Bearer new"));
    let mut first = server.socket("/v1/stream", &[old]).unwrap();
    first.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate}));
    let name = first.json()["stream"].clone();
    drop(first.0.into_inner());
    server.wait_for_metric("hearken_parked 1");
    let mut second = server.socket("/v1/stream", &[new]).unwrap();
    second.say(&json!({"type": "resume", "stream": name, "received": 1}));
    assert_eq!(second.json()["type"], "resumed");
    server.configure(&tenant(&["new"]));
    server.signal(Signal::HUP);
    server.wait_for_log("were read again");
    second.push(&PCM);
    second.until("final");
    server.end();
}
