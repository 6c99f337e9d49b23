//! Recognition, admission, connections, descriptors, refusals, disk and memory.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Mutex;

use hearken_tests::serve::{Came, Server, Socket, form};
use hearken_tests::tenants::{KEY_A, KEY_B, PCM, SPEECH, two_tenants};
use serde_json::json;
use tungstenite::Message;

use crate::{apart, beside, request, server};

#[test]
fn utterances_that_all_end_are_their_tenants_own_business() {
    beside(
        "CPU in the recognizer: 20 streams whose utterances end as soon as they can",
        server(),
        20,
        |server| {
            let mut socket = server.socket("/v1/stream", &[KEY_A]).unwrap();
            socket.say(
                &json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate}),
            );
            socket.push(&PCM);
            socket.say(&json!({"type": "finish"}));
            // Refused where there is too much to do: then it tries again.
            assert!(matches!(socket.rest().1, Came::Closed(1000 | 1013, _)));
        },
    );
}

#[test]
fn strangers_that_are_refused_are_nobodys_business() {
    beside("I/O threads and log: 4 strangers with wrong keys", server(), 4, |server| {
        let wrong = [("Authorization", "Bearer wrong")];
        assert_eq!(server.get("/v1/models", &wrong).status, 401);
    });
}

#[test]
fn uploads_that_never_end_are_their_tenants_own_business() {
    let (kind, body) = form(&[], Some(("a.wav", &vec![0; 8 << 20])));
    beside(
        "disk: 4 uploads of 8 MiB that are given up before their end, again and again",
        server(),
        4,
        |server| {
            let mut stream = server.connect();
            // It may be refused before all of it has come.
            let _ = stream.write_all(&request(server, &kind, &body, 1));
        },
    );
}

#[test]
fn turns_that_wait_are_their_tenants_own_business() {
    let audio = json!({"type": "input_audio_buffer.append", "audio": "A".repeat(900_000)}).to_string();
    beside(
        "host memory: 4 Realtime sessions that fill a turn and clear it",
        server(),
        4,
        |server: &Server| {
            let mut socket = server.socket("/v1/realtime?intent=transcription", &[KEY_A]).unwrap();
            socket.say(
                &json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input":
            {"format": {"type": "audio/pcm", "rate": 24_000}, "turn_detection": null}}}}),
            );
            for _ in 0..20 {
                socket.0.send(Message::text(audio.clone())).unwrap();
            }
            socket.say(&json!({"type": "input_audio_buffer.clear"}));
            socket.until("input_audio_buffer.cleared");
        },
    );
}

/// Connections that stay open: with one more than `most` the oldest is closed.
struct Held<T> {
    all: Mutex<VecDeque<T>>,
    most: usize,
}

impl<T> Held<T> {
    fn new(most: usize) -> Self {
        Self { all: Mutex::new(VecDeque::new()), most }
    }

    fn hold(&self, one: T) {
        let mut all = self.all.lock().unwrap();
        all.push_back(one);
        let oldest = if all.len() > self.most { all.pop_front() } else { None };
        drop(all);
        drop(oldest);
    }
}

#[test]
fn streams_that_stop_in_mid_word_are_their_tenants_own_business() {
    // 0.7 s of speech, of 16-bit samples.
    let word = &PCM[..SPEECH.format.sample_rate as usize * 14 / 10];
    let held: Held<Socket> = Held::new(90);
    let resource = "admission: up to 90 streams that stop in the middle of a word";
    beside(resource, server(), 2, |server| {
        let Ok(mut socket) = server.socket("/v1/stream", &[KEY_A]) else { return };
        let rate = SPEECH.format.sample_rate;
        socket.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": rate, "step_ms": 10_000}));
        if socket.json()["type"] == "started" {
            socket.push(word);
            held.hold(socket);
        }
    });
}

#[test]
fn long_utterances_are_their_tenants_own_business() {
    // Half a minute without a pause.
    let until = SPEECH.format.sample_rate as usize * 2;
    let long: Vec<u8> = PCM[..until].iter().copied().cycle().take(15 * until).collect();
    let server = apart(|| Server::with(&two_tenants("memory_mib = 64")));
    beside(
        "guest memory: 4 streams of utterances of half a minute, at a limit of 64 MiB",
        server,
        4,
        |server| {
            let mut socket = server.socket("/v1/stream", &[KEY_A]).unwrap();
            socket.say(
                &json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate}),
            );
            socket.push(&long);
            socket.say(&json!({"type": "finish"}));
            assert!(matches!(socket.rest().1, Came::Closed(1000 | 1013, _)));
        },
    );
}

#[test]
fn recordings_that_are_many_are_their_tenants_own_business() {
    let speech = hearken_tests::wav::pcm16(&SPEECH.samples, SPEECH.format.sample_rate, 1);
    let (kind, body) = form(&[("model", "digits")], Some(("speech.wav", &speech)));
    beside("pools: 64 recordings of speech at once", server(), 64, |server| {
        let headers = [KEY_A, ("Content-Type", kind.as_str())];
        let answer = server.request("POST", "/v1/audio/transcriptions", &headers, &body);
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
    });
}

#[test]
fn strangers_that_say_nothing_are_nobodys_business() {
    let server = apart(|| Server::with(&format!("connections = 500\n{}", two_tenants(""))));
    let held = Held::new(2_000);
    beside("connections: a mute stranger wants 2000 of 500", server, 2, |server| {
        held.hold(server.connect_from([127, 0, 0, 2]));
    });
}

#[test]
fn files_that_are_few_are_nobodys_loss() {
    let server = apart(|| Server::with_files(512, &format!("connections = 5000\n{}", two_tenants(""))));
    let (uploads, mute) = (Held::new(60), Held::new(600));
    let (kind, body) = form(&[], Some(("a.wav", &vec![0; 64 << 10])));
    let request = request(&server, &kind, &body, 1);
    let silence = hearken_tests::wav::pcm16(&[0.0; 1_600], 16_000, 1);
    let small = form(&[("model", "digits")], Some(("silence.wav", &silence)));
    beside(
        "descriptors: 512 files may be open; 60 uploads hold two each, 600 mute strangers want one",
        server,
        2,
        |server| {
            let mut stream = server.connect();
            if stream.write_all(&request).is_ok() {
                uploads.hold(stream);
            }
            (0..100).for_each(|_| mute.hold(server.connect_from([127, 0, 0, 2])));
            // It needs a file, too.
            let headers = [KEY_B, ("Content-Type", small.0.as_str())];
            let answer = server.request("POST", "/v1/audio/transcriptions", &headers, &small.1);
            assert_eq!(answer.status, 200, "{answer:?}");
        },
    );
}
