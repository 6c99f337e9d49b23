//! A tenant that asks for too much waits for itself.

use std::thread;
use std::time::{Duration, Instant};

use hearken_tests::serve::Server;
use serde_json::json;

use crate::{KEY_A, KEY_B, PCM, PHRASES, SPEECH, latencies, percentiles, two_tenants};

/// One tenant floods the server with utterances that all have ended: final texts, as urgent as
/// anybody's.
#[test]
fn a_tenant_that_asks_for_ten_times_its_share_waits_for_itself() {
    let server = Server::with(&two_tenants(""));
    latencies(&server, KEY_B);
    let alone = latencies(&server, KEY_B);
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
    let beside = latencies(&server, KEY_B);
    drop(server);
    let finals: usize = flood.into_iter().map(|client| client.join().unwrap()).sum();
    println!(
        "final latency: {} alone, {} beside 20 streams that had {finals} finals",
        percentiles(&alone),
        percentiles(&beside)
    );
    // Decodes of the other's that have begun are waited for, and both share the cores. Without
    // fairness it would be twenty.
    let median = |latencies: &[Duration]| latencies[latencies.len() / 2];
    assert!(median(&beside) < median(&alone) * 8, "{alone:?} alone, {beside:?} beside the other");
    assert!(finals >= 10, "the other one was busy: {finals}");
}
