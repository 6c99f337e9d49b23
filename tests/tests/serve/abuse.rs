//! Abuse: a client that misuses the server gets the protocol's own error, and nobody else notices.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use hearken_tests::serve::{Came, Server, raise_file_limit};
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

/// The handshake of a WebSocket, as bytes.
fn handshake(server: &Server, path: &str) -> Vec<u8> {
    let address = server.address;
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    .into_bytes()
}

/// A frame of a client, masked with zeroes.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, 0xff];
    frame.extend((payload.len() as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// Everything that a client of each protocol sends, and where its parts begin.
fn conversations(server: &Server) -> [(&'static str, Vec<Vec<u8>>); 4] {
    let rate = SPEECH.format.sample_rate;
    let audio = || PCM.chunks(16 << 10).take(6);
    let words = |value: Value| frame(TEXT, value.to_string().as_bytes());
    let mut own = vec![handshake(server, "/v1/stream"), words(start())];
    own.extend(audio().map(|audio| frame(BINARY, audio)));
    own.push(words(json!({"type": "finish"})));
    let mut deepgram = vec![handshake(server, &format!("/v1/listen?encoding=linear16&sample_rate={rate}"))];
    deepgram.extend(audio().map(|audio| frame(BINARY, audio)));
    deepgram.push(words(json!({"type": "CloseStream"})));
    let settings = json!({"type": "session.update", "session": {"type": "transcription",
        "audio": {"input": {"format": {"type": "audio/pcm", "rate": rate}}}}});
    let mut realtime = vec![handshake(server, "/v1/realtime?intent=transcription"), words(settings)];
    // Zeroes in base64: what is said does not matter here.
    let silence = "A".repeat(16 << 10);
    realtime.extend((0..3).map(|_| words(json!({"type": "input_audio_buffer.append", "audio": silence}))));
    realtime.push(words(json!({"type": "input_audio_buffer.commit"})));
    let wave = hearken_tests::wav::pcm16(&SPEECH.samples, rate, 1);
    let (kind, body) = hearken_tests::serve::form(&[("model", "whisper-1")], Some(("speech.wav", &wave)));
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        server.address,
        body.len()
    );
    let mut upload = vec![head.into_bytes()];
    upload.extend(body.chunks(64 << 10).map(<[u8]>::to_vec));
    [("hearken", own), ("deepgram", deepgram), ("realtime", realtime), ("openai", upload)]
}

#[test]
fn disconnecting_at_any_point_harms_no_other_client() {
    let server = Server::with("resume_seconds = 1\n[admission]\nenabled = false\n");
    for (_, parts) in conversations(&server) {
        let mut before = Vec::new();
        for part in &parts {
            // Before a part, within its first bytes, in the middle of it, and just before its end.
            for cut in [0, 1, 3, 7, part.len() / 2, part.len() - 1] {
                let mut connection = server.connect();
                // Refused, or already given up: both are answers.
                let _ = connection.write_all(&before);
                let _ = connection.write_all(&part[..cut]);
            }
            before.extend_from_slice(part);
        }
        server.connect().write_all(&before).unwrap();
    }
    still_serves(&server);
    // Nothing is left of them.
    server.wait_for_metric("hearken_connections 1");
    for protocol in ["hearken", "deepgram", "realtime", "openai"] {
        server.wait_for_metric(&format!("hearken_open{{tenant=\"local\",protocol=\"{protocol}\"}} 0"));
    }
    server.wait_for_metric("hearken_sandboxes{tenant=\"local\"} 0");
    server.end();
}

#[test]
fn a_frame_of_a_hundred_megabytes_is_refused_by_every_protocol_before_it_comes() {
    let server = Server::start();
    for (protocol, parts) in conversations(&server).into_iter().take(3) {
        let mut connection = server.connect();
        connection.write_all(&parts[..2].concat()).unwrap();
        let mut announced = vec![0x82, 0xff];
        announced.extend(100_000_000u64.to_be_bytes());
        announced.extend([0; 4]);
        connection.write_all(&announced).unwrap();
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut connection, &mut answer).unwrap();
        // The close frame: 1009, too large.
        let close = answer.windows(2).rposition(|bytes| bytes == 1009u16.to_be_bytes());
        assert!(close.is_some(), "{protocol}: {}", String::from_utf8_lossy(&answer));
    }
    assert!(server.memory() < 1 << 30);
    still_serves(&server);
    server.end();
}

/// The parser of forms keeps what comes before a part, and looks through it again with each packet.
#[test]
fn a_form_without_a_part_is_refused_before_it_costs_anything() {
    let server = Server::start();
    let junk = vec![b'x'; 1 << 20];
    let headers = [b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"", &junk[..]].concat();
    for (name, body) in [("a preamble", junk), ("a part's headers", headers)] {
        let before = server.cpu_time();
        let mut stream = server.connect();
        let request = format!(
            "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {}\r\nContent-Type: multipart/form-data; boundary=b\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            server.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream.set_nodelay(true).unwrap();
        // Its answer comes long before the end.
        for piece in body.chunks(64) {
            if stream.write_all(piece).is_err() {
                break;
            }
        }
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("before a part"), "{name}: {answer:?}");
        let took = server.cpu_time() - before;
        assert!(took < Duration::from_millis(200), "{name}: {took:?}");
    }
    still_serves(&server);
    server.end();
}

#[test]
fn headers_beyond_the_limit_are_refused() {
    let server = Server::start();
    for (kib, status) in [(1, 200), (31, 200), (33, 431), (40, 431), (300, 431)] {
        let long = "x".repeat(kib << 10);
        let answer = server.request("GET", "/healthz", &[("X-Long", &long)], b"");
        assert_eq!(answer.status, status, "{kib} KiB: {answer:?}");
        let answer = server.request("GET", &format!("/healthz?{long}"), &[], b"");
        assert_eq!(answer.status >= 400, status >= 400, "{kib} KiB of a path: {answer:?}");
    }
    still_serves(&server);
    server.end();
}

#[test]
fn ten_thousand_connections_that_say_nothing_hold_up_nobody() {
    const MUTE: u64 = 10_000;
    raise_file_limit(MUTE);
    let server = Server::start();
    // What is made once is made before anything is measured.
    still_serves(&server);
    let (memory, threads) = (server.memory(), server.threads());
    let mute: Vec<_> = (0..MUTE).map(|_| server.connect()).collect();
    still_serves(&server);
    assert!(server.threads() <= threads, "no connection has a thread");
    let each = server.memory().saturating_sub(memory) / MUTE;
    assert!(each < 64 << 10, "{each} bytes");
    drop(mute);
    server.wait_for_metric("hearken_connections 1");
    server.end();
}

#[test]
fn a_refusal_is_one_line_of_the_log() {
    let server = Server::start();
    let refused = |log: &str| log.lines().filter(|line| line.contains("refused")).count();
    let mut socket = server.socket("/v1/stream", &[]).unwrap();
    socket.0.send(Message::text("nonsense\nrefused\u{1b}[31m")).unwrap();
    socket.rest();
    assert!(server.socket("/v1/listen?encoding=speex", &[]).is_err());
    assert!(server.socket("/v1/realtime?intent=conversation", &[]).is_err());
    assert_eq!(server.request("POST", "/v1/audio/transcriptions", &[], b"x").status, 400);
    server.wait_for_metric("hearken_refusals_total{reason=\"unsupported\"} 2");
    server.wait_for_metric("hearken_refusals_total{reason=\"invalid_request\"} 2");
    let log = server.end();
    assert_eq!(refused(&log), 4, "{log}");
    assert!(!log.contains("nonsense") && !log.contains('\u{1b}'), "what clients send is not logged: {log}");
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

#[test]
fn a_connection_without_a_valid_key_is_answered_ten_times_a_second_at_most() {
    let server = Server::with(&hearken_tests::tenants::two_tenants(""));
    let ask = |key: &str| {
        let start = Instant::now();
        let answer = server.get("/v1/models", &[("Authorization", key)]);
        (answer.status, start.elapsed())
    };
    let (status, took) = ask("Bearer wrong");
    assert!(status == 401 && took >= Duration::from_millis(100), "{status} after {took:?}");
    let valid = (0..3).map(|_| ask(hearken_tests::tenants::KEY_A.1)).min_by_key(|(_, took)| *took).unwrap();
    assert!(valid.0 == 200 && valid.1 < Duration::from_millis(100), "{valid:?}");
    // Before a WebSocket, too.
    let start = Instant::now();
    let refused = server.socket("/v1/stream", &[("Authorization", "Bearer wrong")]);
    assert!(refused.is_err() && start.elapsed() >= Duration::from_millis(100));
    server.end();
}
