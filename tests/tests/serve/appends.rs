//! Appends of OpenAI Realtime, which are up to 15 MiB of base64.

use std::io::Write;

use hearken_tests::serve::{Came, Server, Socket};
use serde_json::{Value, json};

use crate::protocols::{base64, settings};
use crate::{KEY_A, PCM, PHRASES, SPEECH, two_tenants};

/// Longest append, as base64.
const MOST: usize = 15 << 20;

fn session(server: &Server) -> Socket {
    let mut socket = server.socket("/v1/realtime?intent=transcription", &[KEY_A]).unwrap();
    assert_eq!(socket.json()["type"], "session.created");
    let rate = SPEECH.format.sample_rate;
    socket.say(&settings(json!({ "format": { "type": "audio/pcm", "rate": rate } })));
    assert_eq!(socket.json()["type"], "session.updated");
    socket
}

/// The speech, and silence behind it, as base64 of this length.
fn speech(length: usize) -> String {
    let mut audio = PCM.clone();
    audio.resize(length / 4 * 3, 0);
    base64(&audio)
}

/// Reads until each phrase is complete.
fn said(socket: &mut Socket) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < PHRASES.len() {
        let event = socket.json();
        assert_ne!(event["type"], "error", "{event}");
        if event["type"] == "conversation.item.input_audio_transcription.completed" {
            texts.push(event["transcript"].as_str().unwrap().to_owned());
        }
    }
    texts
}

/// Announces a text message of this length, and sends as much of it.
fn announce(socket: &mut Socket, length: usize, sent: usize) {
    let stream = socket.0.get_mut();
    // Final, text; masked with zeros.
    let mut head = vec![0x81, 0xff];
    head.extend((length as u64).to_be_bytes());
    head.extend([0; 4]);
    stream.write_all(&head).unwrap();
    for _ in 0..sent >> 16 {
        // The server may have given up.
        if stream.write_all(&[b'x'; 1 << 16]).is_err() {
            break;
        }
    }
}

fn refused(socket: &mut Socket) -> (Value, Came) {
    let (mut events, end) = socket.rest();
    let error = events.pop().expect("an error");
    assert_eq!(error["type"], "error", "{error}");
    (error["error"]["code"].clone(), end)
}

#[test]
fn an_append_may_be_as_long_as_openais() {
    let server = Server::with(&two_tenants(""));
    let mut socket = session(&server);
    let audio = speech(MOST);
    assert_eq!(audio.len(), MOST);
    socket.say(&json!({ "type": "input_audio_buffer.append", "audio": audio }));
    assert_eq!(said(&mut socket), PHRASES);
    // One beyond is rejected before it comes.
    announce(&mut socket, MOST + (5 << 10), 0);
    assert_eq!(
        refused(&mut socket),
        (json!("upload_too_large"), Came::Closed(1009, "upload_too_large".to_owned()))
    );
    server.end();
}

#[test]
fn long_appends_are_charged_to_their_tenant_before_they_come() {
    let server = Server::with(&two_tenants("messages_mib = 4"));
    let mut socket = session(&server);
    announce(&mut socket, MOST, 6 << 20);
    assert_eq!(
        refused(&mut socket),
        (json!("too_many_messages"), Came::Closed(1008, "too_many_messages".to_owned()))
    );
    drop(socket);
    // What it held is free again, and so is what each message held that was taken in.
    server.wait_for_metric("hearken_connections 1");
    let mut socket = session(&server);
    for _ in 0..3 {
        socket.say(&json!({ "type": "input_audio_buffer.append", "audio": speech(4 << 20) }));
        assert_eq!(said(&mut socket), PHRASES);
    }
    server.end();
}
