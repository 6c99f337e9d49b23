//! Hostile input from the network, for tests and fuzzers: every parser gets it, and rejections are
//! fit to be shown.

mod messages;

use std::cell::RefCell;
#[cfg(not(fuzzing))]
use std::io::Cursor;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
#[cfg(not(fuzzing))]
use hearken::audio;
use hearken::audio::{Encoding, Faults};
use tokio::runtime::{Builder, Runtime};

use self::messages::MESSAGES;
use super::rejection::Rejection;
use super::{deepgram, keys, native_ws, openai, realtime, telephony, ticket, vosk, wyoming};

/// Bytes of an upload.
const LIMIT: u64 = 1 << 20;
/// Samples that are read of a recording.
#[cfg(not(fuzzing))]
const SAMPLES: usize = 1 << 20;

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().enable_time().build().expect("a runtime"));
}

/// Passes the bytes to every parser of clients' messages.
///
/// # Panics
///
/// When something panics that must not, or a rejection is not one short line.
pub fn attack(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut rejections = Vec::new();
    rejections.extend(native_ws::attack(&text).err());
    rejections.extend(deepgram::attack(&text));
    rejections.extend(realtime::attack(&text).err());
    rejections.extend(vosk::attack(&text).err());
    rejections.extend(wyoming::attack(bytes).err());
    rejections.extend(telephony::attack(bytes));
    rejections.extend(upload(bytes));
    for encoding in [Encoding::S16Le, Encoding::F32Le, Encoding::MuLaw, Encoding::ALaw] {
        let whole = bytes.len() / encoding.bytes() * encoding.bytes();
        encoding.decode(&bytes[..whole], &mut Vec::new(), &mut Faults::default());
    }
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        let of = |name| HeaderMap::from_iter([(name, value.clone())]);
        let _ = ticket::is_local(&of(header::HOST));
        let _ = ticket::offered_protocols(&of(header::SEC_WEBSOCKET_PROTOCOL));
    }
    let _ = text.parse::<keys::KeyHash>();
    // The fuzzer attacks what decodes recordings by itself (`tests/fuzz/src/media.rs`): here it
    // would compile a sandbox.
    #[cfg(not(fuzzing))]
    rejections.extend(recording(bytes).err());
    for rejection in &rejections {
        let message = rejection.to_string();
        assert!(!message.chars().any(char::is_control), "{message:?}");
        assert!(message.len() < 2000, "{message:?}");
    }
}

/// Returns messages that are in order, one of each kind.
pub fn message_seeds() -> Vec<Vec<u8>> {
    MESSAGES.iter().map(|(_, message)| message.as_bytes().to_vec()).collect()
}

/// Passes the bytes to the reader of streams that were kept on disk.
///
/// # Panics
///
/// When something panics that must not.
pub fn attack_state(bytes: &[u8]) {
    native_ws::attack_state(bytes);
}

/// Returns files of kept streams that are in order.
pub fn state_seeds() -> Vec<Vec<u8>> {
    native_ws::state_seeds()
}

/// As a form; the first line names the boundary.
fn upload(bytes: &[u8]) -> Option<Rejection> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let kind = HeaderValue::from_bytes(&[b"multipart/form-data; boundary=", &bytes[..end]].concat()).ok()?;
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
    let body = Body::from(bytes[end + 1..].to_vec());
    RUNTIME.with_borrow(|runtime| runtime.block_on(openai::attack(&headers, body, LIMIT))).err()
}

/// As a recording.
#[cfg(not(fuzzing))]
fn recording(bytes: &[u8]) -> Result<(), Rejection> {
    let mut source = audio::from_reader("the upload", Cursor::new(bytes.to_vec()))?;
    let (mut block, mut samples) = (Vec::new(), 0);
    while samples < SAMPLES && source.read(&mut block)? > 0 {
        samples += block.len();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::messages::Parser;
    use super::*;

    #[test]
    fn well_formed_requests_are_understood() {
        for (parser, good) in MESSAGES {
            let taken = match parser {
                Parser::Native => native_ws::attack(good).is_ok(),
                // A query, a message, and a message of Flux: each is one of them.
                Parser::Deepgram => deepgram::attack(good).len() < 3,
                Parser::Realtime => realtime::attack(good).is_ok(),
                Parser::Vosk => vosk::attack(good).is_ok(),
                Parser::Wyoming => wyoming::attack(good.as_bytes()).is_ok(),
                // Of its four parsers one takes each.
                Parser::Telephony => telephony::attack(good.as_bytes()).len() < 4,
                Parser::Form => upload(good.as_bytes()).is_none(),
                Parser::Header => HeaderValue::from_str(good).is_ok(),
                Parser::Recording => recording(good.as_bytes()).is_ok(),
            };
            assert!(taken, "{parser:?}: {good}");
            attack(good.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            attack(&bytes);
            attack_state(&bytes);
        }

        /// Valid messages, with pieces of them changed, doubled, cut out or taken from elsewhere.
        #[test]
        fn malformed_requests_are_answered(
            first in 0..MESSAGES.len(), other in 0..MESSAGES.len(), cut in any::<(u16, u16, u16)>(), noise in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let (first, other) = (MESSAGES[first].1.as_bytes(), MESSAGES[other].1.as_bytes());
            let at = |place: u16, of: &[u8]| usize::from(place) % (of.len() + 1);
            let (from, to) = (at(cut.0, first), at(cut.1, first));
            let changed = [&first[..from], &noise, &other[at(cut.2, other)..], &first[to..]].concat();
            attack(&changed);
        }
    }
}
