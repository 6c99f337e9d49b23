//! What `hearken serve` promises: the interfaces that it speaks, and that nobody can harm anybody else through them.

mod abuse;
mod browser;
mod capacity;
mod clients;
mod fairness;
mod idle;
mod load;
mod operations;
mod protocols;
mod sinks;
mod stream;

use std::sync::LazyLock;

use hearken::server::KeyHash;
use hearken_tests::speech::{Recording, espeak};
use hearken_tests::wav;

const PHRASES: [&str; 3] = ["seven three nine two zero five", "go left", "one two three four five"];

/// The phrases with a second of silence after each.
static SPEECH: LazyLock<Recording> = LazyLock::new(|| {
    let mut all = espeak("en-us", 140, "");
    all.samples.clear();
    for phrase in PHRASES {
        all.samples.extend(espeak("en-us", 140, phrase).samples);
        all.samples.resize(all.samples.len() + all.format.sample_rate as usize, 0.0);
    }
    all
});

/// The speech as 16-bit PCM.
static PCM: LazyLock<Vec<u8>> = LazyLock::new(|| wav::s16le(&SPEECH.samples));

/// Two tenants, `a` with the key "key-a" and these settings, `b` with "key-b".
fn two_tenants(settings: &str) -> String {
    let hash = KeyHash::of;
    format!(
        "[models]\ndigits = \"embedded\"\n[tenants.a]\nkeys = [\"{}\"]\n{settings}\n[tenants.b]\nkeys = [\"{}\"]\n",
        hash("key-a"),
        hash("key-b")
    )
}

const KEY_A: (&str, &str) = ("Authorization", "Bearer key-a");
const KEY_B: (&str, &str) = ("Authorization", "Bearer key-b");
