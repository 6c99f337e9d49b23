//! A server that has as much to do as it can refuses more, and does what it has.

use std::time::{Duration, Instant};

use hearken_tests::serve::{PATIENCE, Server, Socket};
use hearken_tests::speech::espeak;
use serde_json::{Value, json};

use crate::{PCM, PHRASES, SPEECH};

/// A limit that a few streams of the embedded model reach on any machine.
const LITTLE: &str = "[admission]\nload = 0.02\nfinal_wait_ms = 100000\n";

fn open(server: &Server) -> (Socket, Value) {
    let mut socket = server.socket("/v1/stream", &[]).unwrap();
    socket.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate}));
    let answer = socket.json();
    (socket, answer)
}

/// Opens streams in which somebody speaks and does not stop, until one is refused; those, and the refusal.
fn fill(server: &Server) -> (Vec<Socket>, Value) {
    let until = espeak("en-us", 140, PHRASES[0]).samples.len() * 2;
    let mut speaking = Vec::new();
    loop {
        let (mut socket, answer) = open(server);
        if answer["type"] == "error" {
            return (speaking, answer);
        }
        socket.push(&PCM[..until]);
        socket.until("speech_started");
        speaking.push(socket);
        assert!(speaking.len() < 1000, "all of them are let in");
    }
}

#[test]
fn a_stream_too_many_is_refused_and_the_others_are_heard() {
    let server = Server::with(LITTLE);
    let (mut speaking, refusal) = fill(&server);
    assert!(!speaking.is_empty());
    assert_eq!(refusal["code"], "server_busy");
    assert!(refusal["retry_after"].as_u64().unwrap() >= 1, "{refusal}");
    // In the words of the others: before there is a WebSocket.
    let rate = SPEECH.format.sample_rate;
    for path in
        ["/v1/realtime?intent=transcription", &format!("/v1/listen?encoding=linear16&sample_rate={rate}")]
    {
        let Err((status, body)) = server.socket(path, &[]) else { panic!("{path} is let in") };
        assert_eq!(status, 503, "{path}: {body}");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            server.address
        );
        let answer = server.raw(request.as_bytes());
        assert!(answer.head.to_ascii_lowercase().contains("\r\nretry-after: "), "{path}: {}", answer.head);
    }
    assert!(server.get("/metrics", &[]).body.contains("hearken_refusals_total{reason=\"server_busy\"} "));
    for socket in &mut speaking {
        socket.say(&json!({"type": "finish"}));
        let (messages, _) = socket.rest();
        let text = messages.iter().find(|message| message["type"] == "final").unwrap();
        assert_eq!(text["text"], PHRASES[0]);
    }
    server.end();
}

#[test]
fn whoever_comes_back_when_it_was_said_finds_room() {
    let server = Server::with(LITTLE);
    let (speaking, refusal) = fill(&server);
    for mut socket in speaking {
        socket.say(&json!({"type": "finish"}));
        socket.rest();
    }
    std::thread::sleep(Duration::from_secs(refusal["retry_after"].as_u64().unwrap()));
    assert_eq!(open(&server).1["type"], "started");
    server.end();
}

#[test]
fn listeners_that_come_in_a_crowd_are_let_in_as_soon_as_it_is_known_that_they_are_silent() {
    let server = Server::with("[admission]\nload = 0.1\n");
    let start = Instant::now();
    let mut silent = Vec::new();
    let mut refused = 0;
    while silent.len() < 200 {
        let (socket, answer) = open(&server);
        if answer["type"] == "error" {
            refused += 1;
            std::thread::sleep(Duration::from_secs(answer["retry_after"].as_u64().unwrap()));
        } else {
            silent.push(socket);
        }
        assert!(start.elapsed() < PATIENCE, "{} after {refused} refusals", silent.len());
    }
    // It doubles each time: not one by one.
    assert!((1..10).contains(&refused), "{refused}");
    server.end();
}

#[test]
fn a_server_that_does_not_admit_by_load_lets_everybody_in() {
    let server = Server::with("[admission]\nenabled = false\nload = 0.0001\n");
    let until = espeak("en-us", 140, PHRASES[0]).samples.len() * 2;
    let all: Vec<Socket> = (0..50)
        .map(|_| {
            let (mut socket, answer) = open(&server);
            assert_eq!(answer["type"], "started");
            socket.push(&PCM[..until]);
            socket
        })
        .collect();
    assert_eq!(all.len(), 50);
    drop(all);
    server.end();
}

/// What a tenant's guests hold is bounded: beyond that its utterances have only final texts.
#[test]
fn a_tenant_at_its_limit_of_sandboxes_gets_final_texts_only() {
    let server = Server::with(&crate::two_tenants("sandboxes = 1"));
    // Shorter than what a sandbox is given at once: a final text that is made in several steps tells of each.
    let phrase = hearken_tests::wav::s16le(&espeak("en-us", 140, PHRASES[1]).samples);
    let say = |key| {
        let mut socket = server.socket("/v1/stream", &[key]).unwrap();
        socket.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate, "step_ms": 300}));
        for audio in phrase.chunks(8 << 10) {
            socket.push(audio);
        }
        socket
    };
    let mut first = say(crate::KEY_A);
    // It goes on, and holds the only sandbox.
    first.until("partial");
    let finish = |mut socket: Socket| {
        socket.say(&json!({"type": "finish"}));
        let (messages, _) = socket.rest();
        let count = |kind: &str| messages.iter().filter(|message| message["type"] == kind).count();
        let text = messages.iter().find(|message| message["type"] == "final").unwrap()["text"].clone();
        (count("partial"), text)
    };
    // More of the same, bit by bit: it would have partial texts.
    let mut second = say(crate::KEY_A);
    second.until("speech_started");
    let mut other = say(crate::KEY_B);
    other.until("partial");
    assert_eq!(finish(second), (0, json!(PHRASES[1])));
    let metrics = server.get("/metrics", &[]).body;
    assert!(metrics.contains("hearken_sandboxes{tenant=\"a\"} 1\n"), "{metrics}");
    assert_eq!(finish(first).1, PHRASES[1]);
    assert_eq!(finish(other).1, PHRASES[1]);
    server.wait_for_metric("hearken_sandboxes{tenant=\"a\"} 0");
    server.end();
}
