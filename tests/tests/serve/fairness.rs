//! A tenant that asks for too much waits for itself.

use std::thread;
use std::time::{Duration, Instant};

use hearken_tests::serve::Server;
use serde_json::json;

use crate::{KEY_A, KEY_B, PCM, PHRASES, SPEECH, two_tenants};

/// Time from the end of an utterance, which the client itself says, to its final text: the median of several.
fn latency(server: &Server) -> Duration {
    let until = hearken_tests::speech::espeak("en-us", 140, PHRASES[0]).samples.len() * 2;
    let mut socket = server.socket("/v1/stream", &[KEY_B]).unwrap();
    socket.say(&json!({ "type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate }));
    let mut all: Vec<Duration> = (0..9)
        .map(|_| {
            socket.push(&PCM[..until]);
            socket.say(&json!({ "type": "flush" }));
            let flushed = Instant::now();
            let messages = socket.until("final");
            assert_eq!(messages.last().unwrap()["text"], PHRASES[0]);
            flushed.elapsed()
        })
        .collect();
    all.sort();
    all[all.len() / 2]
}

/// One tenant floods the server with utterances that all have ended: final texts, as urgent as anybody's.
#[test]
fn a_tenant_that_asks_for_ten_times_its_share_waits_for_itself() {
    let server = Server::with(&two_tenants(""));
    latency(&server);
    let alone = latency(&server);
    let flood: Vec<_> = (0..20)
        .map(|_| {
            let mut socket = server.socket("/v1/stream", &[KEY_A]).unwrap();
            socket.say(
                &json!({ "type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate }),
            );
            thread::spawn(move || {
                let start = Instant::now();
                let mut finals = 0;
                // Until the other one is done, and the server goes.
                while start.elapsed() < Duration::from_secs(120) && socket.push(&PCM) {
                    for _ in PHRASES {
                        if !socket.0.can_read() {
                            return finals;
                        }
                        loop {
                            match socket.come() {
                                hearken_tests::serve::Came::Json(message) if message["type"] == "final" => {
                                    break;
                                }
                                hearken_tests::serve::Came::Json(_) => {}
                                _ => return finals,
                            }
                        }
                        finals += 1;
                    }
                }
                finals
            })
        })
        .collect();
    server.wait_for_metric("hearken_open{tenant=\"a\",protocol=\"hearken\"} 20");
    let beside = latency(&server);
    drop(server);
    let finals: usize = flood.into_iter().map(|client| client.join().unwrap()).sum();
    println!("final latency: {alone:.1?} alone, {beside:.1?} beside 20 streams that had {finals} finals");
    // Decodes of the other's that have begun are waited for, and both share the cores. Without fairness it would be twenty.
    assert!(beside < alone * 8, "{alone:?} alone, {beside:?} beside the other");
    assert!(finals >= 10, "the other one was busy: {finals}");
}
