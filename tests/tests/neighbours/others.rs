//! Recognition, refusals, disk and memory.

use std::io::Write;

use hearken_tests::serve::{Came, Server, form};
use hearken_tests::tenants::{KEY_A, PCM, SPEECH};
use serde_json::json;
use tungstenite::Message;

use crate::beside;

#[test]
fn utterances_that_all_end_are_their_tenants_own_business() {
    beside("CPU in the recognizer: 20 streams whose utterances end as soon as they can", "", 20, |server| {
        let mut socket = server.socket("/v1/stream", &[KEY_A]).unwrap();
        socket.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate}));
        socket.push(&PCM);
        socket.say(&json!({"type": "finish"}));
        // Refused where there is too much to do: then it tries again.
        assert!(matches!(socket.rest().1, Came::Closed(1000 | 1013, _)));
    });
}

#[test]
fn strangers_that_are_refused_are_nobodys_business() {
    beside("I/O threads and log: 4 strangers with wrong keys", "", 4, |server| {
        let wrong = [("Authorization", "Bearer wrong")];
        assert_eq!(server.get("/v1/models", &wrong).status, 401);
    });
}

#[test]
fn uploads_that_never_end_are_their_tenants_own_business() {
    let (kind, body) = form(&[], Some(("a.wav", &vec![0; 8 << 20])));
    beside("disk: 4 uploads of 8 MiB that are given up before their end, again and again", "", 4, |server| {
        let mut stream = server.connect();
        let head = format!(
            "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {}\r\n{}: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            server.address,
            KEY_A.0,
            KEY_A.1,
            body.len() + 1
        );
        // It may be refused before all of it has come.
        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
    });
}

#[test]
fn turns_that_wait_are_their_tenants_own_business() {
    let audio = json!({"type": "input_audio_buffer.append", "audio": "A".repeat(900_000)}).to_string();
    beside("host memory: 4 Realtime sessions that fill a turn and clear it", "", 4, |server: &Server| {
        let mut socket = server.socket("/v1/realtime?intent=transcription", &[KEY_A]).unwrap();
        socket.say(&json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input":
            {"format": {"type": "audio/pcm", "rate": 24_000}, "turn_detection": null}}}}));
        for _ in 0..20 {
            socket.0.send(Message::text(audio.clone())).unwrap();
        }
        socket.say(&json!({"type": "input_audio_buffer.clear"}));
        socket.until("input_audio_buffer.cleared");
    });
}
