//! Two tenants of one server, and how long the final texts of one of them take.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use hearken_server::KeyHash;
use serde_json::json;

use crate::serve::Server;
use crate::speech::{Recording, espeak};
use crate::wav;

/// Phrases of each tenant.
pub const PHRASES: [&str; 3] = ["seven three nine two zero five", "go left", "one two three four five"];

/// The phrases with a second of silence after each.
pub static SPEECH: LazyLock<Recording> = LazyLock::new(|| {
    let mut all = espeak("en-us", 140, "");
    all.samples.clear();
    for phrase in PHRASES {
        all.samples.extend(espeak("en-us", 140, phrase).samples);
        all.samples.resize(all.samples.len() + all.format.sample_rate as usize, 0.0);
    }
    all
});

/// The speech as 16-bit PCM.
pub static PCM: LazyLock<Vec<u8>> = LazyLock::new(|| wav::s16le(&SPEECH.samples));

/// Two tenants, `a` with the key "key-a" and these settings, `b` with "key-b".
pub fn two_tenants(settings: &str) -> String {
    let hash = KeyHash::of;
    format!(
        "[models]\ndigits = \"embedded\"\n[tenants.a]\nkeys = [\"{}\"]\n{settings}\n[tenants.b]\nkeys = [\"{}\"]\n",
        hash("key-a"),
        hash("key-b")
    )
}

/// The header of tenant `a`'s requests.
pub const KEY_A: (&str, &str) = ("Authorization", "Bearer key-a");
/// The header of tenant `b`'s requests.
pub const KEY_B: (&str, &str) = ("Authorization", "Bearer key-b");

/// Latencies from the end of an utterance, which the client itself marks, to its final text, in
/// order: of twenty.
///
/// # Panics
///
/// When one is not heard as it was said.
pub fn latencies(server: &Server, key: (&'static str, &str)) -> Vec<Duration> {
    let until = espeak("en-us", 140, PHRASES[0]).samples.len() * 2;
    let mut socket = server.socket("/v1/stream", &[key]).unwrap();
    socket.say(&json!({ "type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate }));
    let mut all: Vec<Duration> = (0..20)
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
    all
}

/// Median and 95th percentile, for people.
pub fn percentiles(sorted: &[Duration]) -> String {
    let rank = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100) - 1];
    format!("median {:.0?}, 95th percentile {:.0?}", rank(50), rank(95))
}
