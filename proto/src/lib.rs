#![no_std]
//! What the hearken host and its sandboxed guest must agree on.
//!
//! The guest is a core WebAssembly module ([`abi`] names its imports and exports). Audio crosses
//! through a ring in the guest's linear memory ([`ring`]); requests and events cross as [postcard]
//! bytes ([`Request`], [`Event`]). The host treats every byte that comes from the guest as hostile,
//! so nothing in here performs I/O: it is layout, meaning, and the few numbers that both sides go
//! by ([`window`], [`voice`], [`phrases`]).
//!
//! [postcard]: https://postcard.jamesmunns.com/wire-format

extern crate alloc;

pub mod abi;
mod bias;
pub mod compute;
mod event;
pub mod media;
pub mod phrases;
mod request;
pub mod ring;
pub mod voice;
pub mod window;

pub use bias::{MAX_BIAS_BYTES, MAX_PHRASE_BYTES, MAX_PHRASES, Phrase};
pub use event::{Event, ModelInfo, Segment, Stage, Word};
pub use request::{Commit, Kernels, LoadOptions, Request, Task};

use alloc::vec::Vec;
use core::time::Duration;

/// Sample rate of everything that crosses into the guest, in Hz: what Whisper was trained on.
pub const SAMPLE_RATE: u32 = 16_000;

/// Samples of one mel frame's step: 10 ms.
pub const HOP_LENGTH: u32 = 160;

/// Duration of a number of samples at [`SAMPLE_RATE`], in seconds.
pub fn seconds(samples: u64) -> f64 {
    samples as f64 / f64::from(SAMPLE_RATE)
}

/// Number of whole samples at [`SAMPLE_RATE`] in a duration.
pub fn samples_in(duration: Duration) -> u64 {
    let samples = duration.as_nanos() * u128::from(SAMPLE_RATE) / 1_000_000_000;
    u64::try_from(samples).unwrap_or(u64::MAX)
}

/// Returns true if a language (ISO 639-1) puts spaces between words. Where it does not, each
/// character is a word, as in OpenAI's implementation (`split_to_word_tokens`).
pub fn is_spaced(language: &str) -> bool {
    !matches!(language, "zh" | "ja" | "th" | "lo" | "my" | "yue")
}

/// A message could not be read: it is truncated, over-long or of another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("malformed message between host and guest")
    }
}

impl core::error::Error for Malformed {}

/// Encodes a message for the other side.
pub fn encode<T: serde::Serialize>(message: &T) -> Vec<u8> {
    // Serializing plain data into a growable buffer has no failure but exhaustion of memory, which
    // aborts.
    postcard::to_allocvec(message).unwrap_or_default()
}

/// Decodes a message from the other side. Bytes left over are an error: they would hide a version
/// skew.
pub fn decode<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn messages_survive_the_crossing() {
        let request = Request::Decode(Task { language: Some(String::from("en")), ..Task::default() });
        let bytes = encode(&request);
        assert_eq!(decode::<Request>(&bytes), Ok(request));
    }

    #[test]
    fn truncated_and_overlong_messages_are_refused() {
        let bytes = encode(&Event::Language { code: String::from("en"), probability: 0.5, certain: true });
        for cut in 0..bytes.len() {
            assert_eq!(decode::<Event>(&bytes[..cut]), Err(Malformed), "cut at {cut}");
        }
        let mut long = bytes.clone();
        long.push(0);
        assert_eq!(decode::<Event>(&long), Err(Malformed));
    }
}
