//! Tenants that are silent cost hardly anything.

use std::time::Instant;

use hearken_tests::serve::Server;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::{PCM, PHRASES, SPEECH};

/// Bytes that an open stream may take in which nobody speaks.
const MOST: u64 = 64 << 10;

/// A thousand streams, or as many as `HEARKEN_IDLE_STREAMS` says.
#[test]
fn idle_streams_take_little_memory_and_no_threads() {
    let streams: u64 =
        std::env::var("HEARKEN_IDLE_STREAMS").map_or(1_000, |count| count.parse().expect("a number"));
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a limit of open files");
    let server = Server::with(
        // Admission takes newcomers in a hurry for speakers, and it is their memory that is measured.
        "streams = 20000\nconnections = 20000\nresume_seconds = 1\n[admission]\nenabled = false",
    );
    // What is made once is made before it is measured.
    speak(&server);
    for rate in [16_000, 48_000] {
        let (memory, threads) = (server.memory(), server.threads());
        let start = json!({ "type": "start", "encoding": "s16le", "sample_rate": rate });
        let silence = vec![0; rate as usize * 2 / 10];
        let mut open = Vec::new();
        for _ in 0..streams {
            let mut socket = server.socket("/v1/stream", &[]).unwrap();
            socket.say(&start);
            let answer = socket.json();
            assert_eq!(answer["type"], "started", "{answer}");
            // A microphone in a quiet room.
            assert!(socket.push(&silence));
            open.push(socket);
        }
        let started = Instant::now();
        speak(&server);
        let took = started.elapsed();
        let each = server.memory().saturating_sub(memory) / streams;
        println!(
            "{streams} idle streams at {rate} Hz: {:.1} KiB each; one that speaks took {took:.1?}",
            each as f64 / 1024.0
        );
        assert!(each < MOST, "{each} bytes");
        assert_eq!(server.threads(), threads, "no connection has a thread");
        drop(open);
        // They wait for their clients, and then are gone; not to be measured with the next.
        server.wait_for_metric("hearken_connections 1");
        server.wait_for_metric("hearken_parked 0");
    }
    server.end();
}

/// Says something, and is understood.
fn speak(server: &Server) {
    let mut socket = server.socket("/v1/stream", &[]).unwrap();
    socket.say(&json!({ "type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate }));
    for audio in PCM.chunks(32 << 10) {
        assert!(socket.push(audio));
    }
    socket.say(&json!({ "type": "finish" }));
    let finals = socket.rest().0.into_iter().filter(|message| message["type"] == "final");
    assert_eq!(
        finals.map(|message| message["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>(),
        PHRASES
    );
}
