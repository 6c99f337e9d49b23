//! Whoever misuses the server gets the protocol's own error, and nobody else notices.

use std::io::Write;

use hearken_tests::serve::{Came, Server};
use serde_json::{Value, json};
use tungstenite::Message;

use crate::{PCM, PHRASES, SPEECH};

fn start() -> Value {
    json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate})
}

/// The server still does what it is there for.
#[track_caller]
fn still_serves(server: &Server) {
    let mut socket = server.socket("/v1/stream", &[]).unwrap();
    socket.say(&start());
    socket.push(&PCM);
    socket.say(&json!({"type": "finish"}));
    let (messages, _) = socket.rest();
    let finals = messages.iter().filter(|message| message["type"] == "final");
    assert_eq!(finals.map(|message| message["text"].as_str().unwrap()).collect::<Vec<_>>(), PHRASES);
}

#[test]
fn messages_that_make_no_sense_are_refused_with_the_reason() {
    let server = Server::start();
    let changed = |name: &str, value: Value| {
        let mut message = start();
        message[name] = value;
        Message::text(message.to_string())
    };
    let cases = [
        (Message::text("nonsense"), "invalid_request", "nonsense"),
        (Message::text("{}"), "invalid_request", "type"),
        (Message::binary(vec![0; 100]), "invalid_request", "start message"),
        (Message::text(r#"{"type":"finish"}"#), "invalid_request", "start or resume"),
        (changed("model", json!("gpt-9")), "model_not_found", "gpt-9"),
        (changed("sample_rate", json!(7)), "invalid_audio", "7 Hz"),
        (changed("sample_rate", json!(-1)), "invalid_request", "sample_rate"),
        (changed("channels", json!(9)), "invalid_audio", "9 channels"),
        (changed("encoding", json!("opus")), "invalid_request", "s16le"),
        (changed("language", json!("klingon")), "invalid_request", "klingon"),
        (changed("language", json!("de")), "invalid_request", "only English"),
        (changed("translate", json!(true)), "invalid_request", "multilingual"),
        (changed("prompt", json!("x".repeat(10_000))), "invalid_request", "prompt"),
        (changed("sample_rates", json!(1)), "invalid_request", "sample_rates"),
        (changed("step_ms", json!(0)), "invalid_request", "step_ms"),
    ];
    for (message, code, word) in cases {
        let mut socket = server.socket("/v1/stream", &[]).unwrap();
        let told = message.to_string();
        socket.0.send(message).unwrap();
        let answer = socket.json();
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{told}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(word), "{told}: {answer}");
        assert!(matches!(socket.come(), Came::Closed(1008, _)), "{told}");
    }
    // In a stream that runs.
    for (text, word) in
        [("nonsense", "nonsense"), (r#"{"type":"ack","seq":99}"#, "99"), (&start().to_string(), "already")]
    {
        let mut socket = server.socket("/v1/stream", &[]).unwrap();
        socket.say(&start());
        socket.json();
        socket.0.send(Message::text(text)).unwrap();
        let answer = socket.json();
        assert!(answer["message"].as_str().unwrap().contains(word), "{answer}");
    }
    still_serves(&server);
    server.end();
}

#[test]
fn huge_and_broken_frames_end_one_connection() {
    let server = Server::start();
    let connect = || {
        let mut socket = server.socket("/v1/stream", &[]).unwrap();
        socket.say(&start());
        socket.json();
        socket
    };
    // A frame that announces 100 MB is refused when its header is read, not when it has come.
    let mut huge = connect();
    let mut frame = vec![0x82, 0xff];
    frame.extend(100_000_000u64.to_be_bytes());
    frame.extend([1, 2, 3, 4]);
    huge.0.get_mut().write_all(&frame).unwrap();
    let (messages, end) = huge.rest();
    assert_eq!(messages.last().unwrap()["code"], "upload_too_large");
    assert!(matches!(end, Came::Closed(1009, _)), "{end:?}");
    let long_ping = [&[0x89, 0xfe, 0x01, 0x00][..], &[0; 4 + 256]].concat();
    for frame in [
        // Not masked; a reserved opcode; text that is not UTF-8.
        &[0x82, 0x01, 0x00][..],
        &[0x83, 0x81, 0, 0, 0, 0, 0],
        &[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe],
        &long_ping,
    ] {
        let mut broken = connect();
        broken.0.get_mut().write_all(frame).unwrap();
        let (messages, end) = broken.rest();
        assert_eq!(messages.last().unwrap()["code"], "invalid_request", "{frame:?}: {messages:?}");
        assert!(matches!(end, Came::Closed(1008, _)), "{frame:?}: {end:?}");
    }
    still_serves(&server);
    server.end();
}

#[test]
fn whoever_leaves_at_any_point_harms_nobody() {
    let server = Server::start();
    let request = format!(
        "GET /v1/stream HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        server.address
    );
    let text = start().to_string();
    let mut all = request.into_bytes();
    let head = all.len();
    all.extend([0x81, 0xfe]);
    all.extend((text.len() as u16).to_be_bytes());
    all.extend([0; 4]);
    all.extend(text.bytes());
    for audio in PCM.chunks(16 << 10).take(6) {
        all.extend([0x82, 0xff]);
        all.extend((audio.len() as u64).to_be_bytes());
        all.extend([0; 4]);
        all.extend(audio);
    }
    let places = [
        0,
        1,
        20,
        head - 1,
        head,
        head + 1,
        head + 3,
        head + 20,
        head + 8 + text.len(),
        head + 200,
        all.len() / 2,
    ];
    for place in places.into_iter().chain([all.len()]) {
        let mut connection = server.connect();
        connection.write_all(&all[..place]).unwrap();
        drop(connection);
    }
    still_serves(&server);
    server.end();
}

#[test]
fn audio_as_fast_as_it_comes_is_slowed_down_and_not_lost() {
    let server = Server::start();
    let mut socket = server.socket("/v1/stream", &[]).unwrap();
    // Three minutes of speech without a pause of sending: more than a session holds.
    let silence = PCM.len() / 2;
    let times = (180.0 / (silence as f64 / 22_050.0)).ceil() as usize;
    socket.say(&start());
    let reader = socket.0.get_ref().try_clone().unwrap();
    let mut reader = hearken_tests::serve::Socket(tungstenite::WebSocket::from_raw_socket(
        reader,
        tungstenite::protocol::Role::Client,
        None,
    ));
    let reading = std::thread::spawn(move || reader.rest().0);
    for _ in 0..times {
        for audio in PCM.chunks(512 << 10) {
            assert!(socket.push(audio));
        }
    }
    socket.say(&json!({"type": "finish"}));
    let messages = reading.join().unwrap();
    assert!(!messages.iter().any(|message| message["type"] == "dropped"), "nothing is dropped");
    let finals = messages.iter().filter(|message| message["type"] == "final").count();
    assert_eq!(finals, times * PHRASES.len());
    server.end();
}
