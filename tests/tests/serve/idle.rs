//! Tenants that are silent cost hardly anything.

use std::time::Instant;

use hearken_tests::serve::{Server, raise_file_limit};
use serde_json::json;

use crate::{KEY_A, latencies, percentiles};

/// Streams that are open at once, on hearken's own WebSocket.
const STREAMS: u64 = 10_000;
/// Bytes that an open stream may take in which nobody speaks.
const MOST: u64 = 64 << 10;

/// The server is as it comes, but for its limit of 10,000 streams: there is one more, in which
/// somebody speaks.
#[test]
fn ten_thousand_idle_streams_take_little_memory_and_no_threads() {
    raise_file_limit(STREAMS);
    let server = Server::with("streams = 10001\nresume_seconds = 1\n");
    // What is made once is made before it is measured.
    latencies(&server, KEY_A);
    let alone = latencies(&server, KEY_A);
    for rate in [16_000, 48_000] {
        let (memory, threads) = (server.memory(), server.threads());
        let start = json!({ "type": "start", "encoding": "s16le", "sample_rate": rate });
        let silence = vec![0; rate as usize * 2 / 10];
        let opening = Instant::now();
        let open: Vec<_> = (0..STREAMS)
            .map(|_| {
                let mut socket = server.socket("/v1/stream", &[]).unwrap();
                socket.say(&start);
                let answer = socket.json();
                assert_eq!(answer["type"], "started", "{answer}");
                // A microphone in a quiet room.
                assert!(socket.push(&silence));
                socket
            })
            .collect();
        let opening = opening.elapsed();
        let beside = latencies(&server, KEY_A);
        let each = server.memory().saturating_sub(memory) / STREAMS;
        println!(
            "{STREAMS} idle streams at {rate} Hz, opened in {opening:.1?}: {:.1} KiB each; final latency of one that speaks: \
             {}, without them {}",
            each as f64 / 1024.0,
            percentiles(&beside),
            percentiles(&alone)
        );
        assert!(each < MOST, "{each} bytes");
        assert!(server.threads() <= threads, "no connection has a thread");
        drop(open);
        // They wait for their clients, and then are gone; not to be measured with the next.
        server.wait_for_metric("hearken_connections 1");
        server.wait_for_metric("hearken_parked 0");
    }
    server.end();
}
