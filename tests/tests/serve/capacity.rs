//! A server that has as much to do as it can refuses more, and does what it has.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use hearken_tests::serve::{Came, Server, Socket};
use hearken_tests::speech::espeak;
use hearken_tests::tenants::{KEY_A, KEY_B, two_tenants};
use serde_json::{Value, json};

use crate::protocols::base64;
use crate::{PCM, PHRASES, SPEECH};

/// A limit that a few streams of the embedded model reach on any machine.
const LITTLE: &str = "[admission]\nload = 0.02\nfinal_wait_ms = 100000\n";

fn open(server: &Server) -> (Socket, Value) {
    open_as(server, &[]).unwrap()
}

/// The stream and the answer to its start; the refusal, if there is no WebSocket.
fn open_as(server: &Server, headers: &[(&'static str, &str)]) -> Result<(Socket, Value), (u16, String)> {
    let mut socket = server.socket("/v1/stream", headers)?;
    socket.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate}));
    let answer = socket.json();
    Ok((socket, answer))
}

/// The first phrase, without the silence after it: its sender speaks on.
static SPEAKING: LazyLock<&[u8]> =
    LazyLock::new(|| &PCM[..espeak("en-us", 140, PHRASES[0]).samples.len() * 2]);

/// Opens streams in which somebody speaks and does not stop, until one is refused; those, and the
/// refusal.
fn fill(server: &Server) -> (Vec<Socket>, Value) {
    fill_as(server, &[])
}

fn fill_as(server: &Server, headers: &[(&'static str, &str)]) -> (Vec<Socket>, Value) {
    let mut speaking = Vec::new();
    loop {
        let (mut socket, answer) = open_as(server, headers).unwrap();
        if answer["type"] == "error" {
            return (speaking, answer);
        }
        socket.push(&SPEAKING);
        let heard = socket.json();
        if heard["type"] == "error" {
            return (speaking, heard);
        }
        assert_eq!(heard["type"], "speech_started");
        speaking.push(socket);
        assert!(speaking.len() < 1000, "all of them are let in");
    }
}

/// Every admitted stream has the text of the phrase.
fn finish(speaking: Vec<Socket>) {
    for mut socket in speaking {
        socket.say(&json!({"type": "finish"}));
        let (messages, _) = socket.rest();
        let text = messages.iter().find(|message| message["type"] == "final").unwrap();
        assert_eq!(text["text"], PHRASES[0]);
    }
}

#[test]
fn a_stream_too_many_is_refused_and_the_others_are_heard() {
    let server = Server::with(LITTLE);
    let (speaking, refusal) = fill(&server);
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
    finish(speaking);
    server.end();
}

#[test]
fn admission_after_retry_after_succeeds() {
    let server = Server::with(LITTLE);
    let (speaking, refusal) = fill(&server);
    finish(speaking);
    std::thread::sleep(Duration::from_secs(refusal["retry_after"].as_u64().unwrap()));
    assert_eq!(open(&server).1["type"], "started");
    server.end();
}

/// Nobody knows yet whether they will speak: of those that do, as many are heard as there is room
/// for.
#[test]
fn a_silent_crowd_is_admitted_at_once_and_rejected_where_too_many_begin_to_speak() {
    let server = Server::with(LITTLE);
    let crowd: Vec<Socket> = (0..300)
        .map(|_| {
            let (socket, answer) = open(&server);
            assert_eq!(answer["type"], "started", "{answer}");
            socket
        })
        .collect();
    let (mut heard, mut refused) = (Vec::new(), 0);
    for mut socket in crowd {
        socket.push(&SPEAKING);
        let answer = socket.json();
        if answer["type"] == "speech_started" {
            heard.push(socket);
            continue;
        }
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("server_busy")), "{answer}");
        assert!(answer["retry_after"].as_u64().unwrap() >= 1, "{answer}");
        assert_eq!(socket.come(), Came::Closed(1013, "server_busy".to_owned()));
        refused += 1;
    }
    assert!(!heard.is_empty() && refused > 0, "{} heard, {refused} refused", heard.len());
    finish(heard);
    server.end();
}

#[test]
fn admission_at_first_speech_is_rejected_in_the_words_of_each_protocol() {
    let server = Server::with(LITTLE);
    let rate = SPEECH.format.sample_rate;
    let mut deepgram =
        server.socket(&format!("/v1/listen?encoding=linear16&sample_rate={rate}"), &[]).unwrap();
    let mut realtime = server.socket("/v1/realtime?intent=transcription", &[]).unwrap();
    realtime.say(&json!({"type": "session.update", "session": {"type": "transcription",
        "audio": {"input": {"format": {"type": "audio/pcm", "rate": rate}}}}}));
    realtime.until("session.updated");
    let (speaking, _) = fill(&server);
    deepgram.push(&SPEAKING);
    let (messages, end) = deepgram.rest();
    assert_eq!(messages[0]["type"], "Error", "{messages:?}");
    assert!(messages[0]["description"].as_str().unwrap().contains("try again in"), "{messages:?}");
    assert!(matches!(end, Came::Closed(1013, _)), "{end:?}");
    let audio = base64(&SPEAKING);
    realtime.say(&json!({"type": "input_audio_buffer.append", "audio": audio}));
    let (messages, end) = realtime.rest();
    assert_eq!(messages[0]["error"]["code"], "server_busy", "{messages:?}");
    assert!(messages[0]["error"]["message"].as_str().unwrap().contains("try again in"), "{messages:?}");
    assert!(matches!(end, Came::Closed(1013, _)), "{end:?}");
    finish(speaking);
    server.end();
}

/// One that has spoken has its place, however many have come since.
#[test]
fn admission_is_kept_by_streams_that_have_spoken() {
    let server = Server::with(LITTLE);
    let (mut first, _) = open(&server);
    first.push(&SPEAKING);
    first.say(&json!({"type": "flush"}));
    first.until("final");
    let (speaking, _) = fill(&server);
    first.push(&SPEAKING);
    first.until("speech_started");
    finish(vec![first]);
    finish(speaking);
    server.end();
}

/// Clients mute in the middle of a word, and attackers pretend to: to speak is to send audio.
#[test]
fn admission_ignores_streams_that_stop_sending_in_mid_word() {
    let server = Server::with(LITTLE);
    let (mut muted, _) = fill(&server);
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut late = loop {
        let (mut socket, answer) = open(&server);
        if answer["type"] == "started" {
            socket.push(&SPEAKING);
            if socket.json()["type"] == "speech_started" {
                break socket;
            }
        }
        assert!(Instant::now() < deadline, "those that send nothing keep it out");
        std::thread::sleep(Duration::from_millis(250));
    };
    // A muted stream goes on at its position.
    let mut first = muted.remove(0);
    first.push(&SPEAKING);
    first.say(&json!({"type": "flush"}));
    let said = first.until("final").pop().unwrap()["text"].clone();
    assert!(said.as_str().unwrap().starts_with(PHRASES[0]), "{said}");
    late.say(&json!({"type": "flush"}));
    late.until("final");
    server.end();
}

/// One tenant takes all that there is, and another one has its part all the same.
#[test]
fn admission_of_a_tenant_below_its_part_does_not_depend_on_what_others_take() {
    let server =
        Server::with(&format!("{}\n[admission]\nload = 0.05\nfinal_wait_ms = 100000\n", two_tenants("")));
    let (all, refusal) = fill_as(&server, &[KEY_A]);
    assert_eq!(refusal["code"], "server_busy");
    let (part, refusal) = fill_as(&server, &[KEY_B]);
    assert_eq!(refusal["code"], "server_busy");
    println!("{} streams of a, then {} of b", all.len(), part.len());
    assert!(!part.is_empty(), "refused beside {} streams of another tenant", all.len());
    finish(all);
    finish(part);
    server.end();
}

/// One whose final texts wait is refused, and nobody else for it.
#[test]
fn a_tenant_that_waits_for_nothing_is_not_refused_because_another_waits() {
    let server = Server::with(&format!("{}\n[admission]\nfinal_wait_ms = 0\n", crate::two_tenants("")));
    let open = |key| {
        let mut socket = server.socket("/v1/stream", &[key]).ok()?;
        socket.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate}));
        (socket.json()["type"] == "started").then_some(socket)
    };
    let mut first = open(crate::KEY_A).expect("nobody has waited yet");
    first.push(&SPEAKING);
    first.say(&json!({"type": "flush"}));
    first.until("final");
    assert!(open(crate::KEY_A).is_none(), "its own final text has waited");
    let mut other = open(crate::KEY_B).expect("it has not waited for anything");
    other.push(&SPEAKING);
    other.say(&json!({"type": "flush"}));
    other.until("final");
    server.end();
}

#[test]
fn a_server_that_does_not_admit_by_load_lets_everybody_in() {
    let server = Server::with("[admission]\nenabled = false\nload = 0.0001\n");
    let all: Vec<Socket> = (0..50)
        .map(|_| {
            let (mut socket, answer) = open(&server);
            assert_eq!(answer["type"], "started");
            socket.push(&SPEAKING);
            socket
        })
        .collect();
    assert_eq!(all.len(), 50);
    drop(all);
    server.end();
}

/// The memory of a tenant's guests is bounded: beyond the bound its utterances have only final
/// texts.
#[test]
fn a_tenant_at_its_limit_of_sandboxes_gets_final_texts_only() {
    final_texts_only("sandboxes = 1");
}

/// The same in bytes: a sandbox writes some seven MiB, and there is room for one for each thread,
/// and none that wait besides.
#[test]
fn a_tenant_at_its_limit_of_memory_gets_final_texts_only() {
    let threads = std::thread::available_parallelism().unwrap().get();
    final_texts_only(&format!("memory_mib = {}", 10 * threads));
}

fn final_texts_only(limit: &str) {
    let server = Server::with(&crate::two_tenants(limit));
    // Shorter than what a sandbox is given at once: a final text that is made in several steps
    // tells of each.
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
    let held = "hearken_sandbox_memory_bytes{tenant=\"a\"} ";
    let held = metrics.lines().find_map(|line| line.strip_prefix(held)).expect(held);
    assert!((1 << 20..20 << 20).contains(&held.parse::<u64>().unwrap()), "{held}");
    assert_eq!(finish(first).1, PHRASES[1]);
    assert_eq!(finish(other).1, PHRASES[1]);
    server.wait_for_metric("hearken_sandboxes{tenant=\"a\"} 0");
    server.end();
}
