//! hearken's own protocol: text while it is spoken, over connections that break.

use hearken_tests::serve::{Came, Server, Socket};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{KEY_A, KEY_B, PCM, PHRASES, SPEECH, two_tenants};

/// Bytes of a fifth of a second.
fn block() -> usize {
    SPEECH.format.sample_rate as usize / 5 * 2
}

fn start() -> Value {
    json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate})
}

/// A connection with a stream, and the stream's name.
fn started(server: &Server, headers: &[(&'static str, &str)]) -> (Socket, String) {
    let mut socket = server.socket("/v1/stream", headers).unwrap();
    socket.say(&start());
    let message = socket.json();
    assert_eq!(message["type"], "started", "{message}");
    let name = message["stream"].as_str().unwrap().to_owned();
    (socket, name)
}

fn finals(messages: &[Value]) -> Vec<&str> {
    let finals = messages.iter().filter(|message| message["type"] == "final");
    finals.map(|message| message["text"].as_str().unwrap()).collect()
}

#[test]
fn words_are_committed_once_and_finals_are_what_was_said() {
    let server = Server::start();
    let (mut socket, _) = started(&server, &[]);
    for audio in PCM.chunks(block()) {
        assert!(socket.push(audio));
    }
    socket.say(&json!({"type": "finish"}));
    let (messages, end) = socket.rest();
    assert_eq!(end, Came::Closed(1000, String::new()));
    assert_eq!(finals(&messages), PHRASES);
    let numbers: Vec<u64> = messages.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (2..).take(numbers.len()).collect::<Vec<_>>(), "the first was `started`");
    let last = messages.last().unwrap();
    assert_eq!(last["type"], "finished");
    assert_eq!(last["frames"], PCM.len() as u64 / 2);
    assert!((last["duration"].as_f64().unwrap() - PCM.len() as f64 / 2.0 / 22_050.0).abs() < 0.01, "{last}");
    // Of each utterance: what was committed on the way is how its final begins.
    for heard in messages.iter().filter(|message| message["type"] == "final") {
        let committed =
            messages.iter().filter(|m| m["type"] == "partial" && m["utterance"] == heard["utterance"]);
        let committed: Vec<&Value> = committed.flat_map(|m| m["committed"].as_array().unwrap()).collect();
        assert_eq!(
            committed,
            heard["words"].as_array().unwrap().iter().take(committed.len()).collect::<Vec<_>>()
        );
    }
    let log = server.end();
    for word in ["seven", "left", "five"] {
        assert!(!log.contains(word), "what is said is not logged: {log}");
    }
}

#[test]
fn a_broken_connection_costs_nothing() {
    let server = Server::start();
    let (mut socket, name) = started(&server, &[]);
    // Cut in the middle of the first phrase, of a frame, and of what is on its way.
    let cut = 3 * block() + 1;
    for audio in PCM[..cut].chunks(block()) {
        assert!(socket.push(audio));
    }
    let mut messages = socket.until("speech_started");
    socket.cut();

    let mut breaks = 0;
    let mut end = loop {
        let received = messages.last().unwrap()["seq"].as_u64().unwrap();
        let mut socket = server.socket("/v1/stream", &[]).unwrap();
        socket.say(&json!({"type": "resume", "stream": name, "received": received}));
        let resumed = socket.json();
        assert_eq!((&resumed["type"], &resumed["after"]), (&json!("resumed"), &json!(received)), "{resumed}");
        let from = resumed["frames"].as_u64().unwrap() as usize * 2;
        assert!(from <= cut || breaks > 0, "{from}");
        breaks += 1;
        if breaks == 2 {
            socket.push(&PCM[from..]);
            socket.say(&json!({"type": "finish"}));
            break socket;
        }
        // Once more, in the middle of everything.
        let middle = from + (PCM.len() - from) / 2;
        socket.push(&PCM[from..middle]);
        messages.extend(socket.until("final"));
        socket.cut();
        // The last ones were on their way when it was cut.
        messages.truncate(messages.len() - 2);
    };
    let (rest, closed) = end.rest();
    assert_eq!(closed, Came::Closed(1000, String::new()));
    messages.extend(rest);
    assert_eq!(finals(&messages), PHRASES);
    let numbers: Vec<u64> = messages.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (2..).take(numbers.len()).collect::<Vec<_>>(), "nothing twice, nothing missing");
    assert_eq!(messages.last().unwrap()["frames"], PCM.len() as u64 / 2);
    server.end();
}

#[test]
fn a_client_that_comes_back_takes_its_stream_from_its_old_connection() {
    let server = Server::start();
    let (mut old, name) = started(&server, &[]);
    let mut new = server.socket("/v1/stream", &[]).unwrap();
    new.say(&json!({"type": "resume", "stream": name, "received": 1}));
    assert_eq!(new.json()["type"], "resumed");
    assert_eq!(old.come(), Came::Lost);
    new.say(&json!({"type": "finish"}));
    assert_eq!(new.json()["type"], "finished");
    server.end();
}

#[test]
fn a_stream_is_its_tenants_and_waits_only_so_long() {
    let server = Server::with(&format!("resume_seconds = 1\n{}", two_tenants("")));
    let resume = |name: &str, key| {
        let mut socket = server.socket("/v1/stream", &[key]).unwrap();
        socket.say(&json!({"type": "resume", "stream": name, "received": 1}));
        socket.json()
    };
    let (socket, name) = started(&server, &[KEY_A]);
    socket.cut();
    server.wait_for_log("Lost");
    assert_eq!(resume(&name, KEY_B)["code"], "invalid_request");
    assert_eq!(resume(&name, KEY_A)["type"], "resumed", "the other tenant's attempt did no harm");
    assert_eq!(resume("0123456789abcdef0123456789abcdef", KEY_A)["code"], "invalid_request");
    let (socket, name) = started(&server, &[KEY_A]);
    socket.cut();
    // Its place is free when it is given up, and so is that of the one before, whose client has
    // gone as well.
    server.wait_for_metric("hearken_open{tenant=\"a\",protocol=\"hearken\"} 0");
    assert_eq!(resume(&name, KEY_A)["code"], "invalid_request");
    server.end();
}

#[test]
fn a_flush_ends_the_utterance_and_the_stream_goes_on() {
    let server = Server::start();
    let (mut socket, _) = started(&server, &[]);
    // The first phrase without its silence.
    let until = hearken_tests::speech::espeak("en-us", 140, PHRASES[0]).samples.len() * 2;
    socket.push(&PCM[..until]);
    socket.say(&json!({"type": "flush"}));
    let messages = socket.until("final");
    assert_eq!(finals(&messages), [PHRASES[0]]);
    socket.push(&PCM[until..]);
    socket.say(&json!({"type": "ack", "seq": messages.last().unwrap()["seq"]}));
    socket.say(&json!({"type": "finish"}));
    let (messages, _) = socket.rest();
    assert_eq!(finals(&messages), PHRASES[1..]);
    server.end();
}

#[test]
fn a_server_that_ends_says_what_it_has_heard() {
    let mut server = Server::start();
    let (mut socket, _) = started(&server, &[]);
    socket.push(&PCM[..PCM.len() / 4]);
    let mut messages = socket.until("speech_started");
    server.signal(Signal::TERM);
    let (rest, end) = socket.rest();
    messages.extend(rest);
    assert_eq!(end, Came::Closed(1001, String::new()), "going away");
    assert!(!finals(&messages).is_empty() && PHRASES[0].starts_with(finals(&messages)[0]), "{messages:?}");
    assert_eq!(messages.last().unwrap()["type"], "finished");
    server.wait();
}
