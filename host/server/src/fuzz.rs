//! Hostile input from the network, for tests and fuzzers: every parser gets it, and rejections are
//! fit to be shown.

use std::cell::RefCell;
#[cfg(not(fuzzing))]
use std::io::Cursor;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
#[cfg(not(fuzzing))]
use hearken::audio;
use hearken::audio::{Encoding, Faults};
use tokio::runtime::{Builder, Runtime};

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

    use super::*;

    /// Valid messages, one of each kind.
    const GOOD: [&str; 18] = [
        r#"{"type":"start","encoding":"s16le","sample_rate":48000,"channels":2,"model":"m","language":"en","step_ms":500}"#,
        r#"{"type":"resume","stream":"0123456789abcdef","received":17}"#,
        r#"{"type":"ack","seq":18446744073709551615}"#,
        "encoding=linear16&sample_rate=16000&channels=1&endpointing=300&utterance_end_ms=1000&keyterm=a&interim_results=true",
        r#"{"type":"KeepAlive"}"#,
        r#"{"type":"session.update","session":{"type":"transcription","audio":{"input":{"format":{"type":"audio/pcm","rate":24000},"transcription":{"model":"m","language":"en","prompt":"p"},"turn_detection":{"type":"server_vad","prefix_padding_ms":300,"silence_duration_ms":500}}}}}"#,
        r#"{"type":"transcription_session.update","session":{"input_audio_format":"pcm16","turn_detection":null}}"#,
        r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#,
        "x\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--x\r\nContent-Disposition: form-data; name=\"temperature\"\r\n\r\n0.5\r\n--x--\r\n",
        "hearken, hearken.key.hk_0123456789, token",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        r#"{"config":{"sample_rate":"16000","words":true,"phrase_list":["one","[unk]"],"max_alternatives":1,"language":"en"}}"#,
        "{\"type\":\"audio-start\",\"data\":{\"rate\":16000,\"width\":2},\"data_length\":14,\"payload_length\":4}\n{\"channels\":1}\0\0\0\0",
        "RIFF\x24\x7d\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\0\x7d\0\0\0\0\x01\0\x02\0\x10\0data\0\x7d\0\0\0\0\0\0\0\0\0\0",
        r#"{"type":"Configure","thresholds":{"eot_threshold":0.8,"eot_timeout_ms":4000},"keyterms":["one"]}"#,
        r#"{"event":"media","media":{"track":"inbound","payload":"//8="}}"#,
        r#"{"type":"start","encoding":"linear16","container":"raw","sampleRate":16000,"channels":2}"#,
        r#"{"type":"start","language":"en-US","format":"raw","encoding":"LINEAR16","interimResults":true,"sampleRateHz":8000,"options":{"channels":2,"hints":["one"]}}"#,
    ];

    #[test]
    fn well_formed_requests_are_understood() {
        for (index, good) in GOOD[..3].iter().enumerate() {
            assert!(native_ws::attack(good).is_ok(), "{index}");
        }
        // A query of the first version, and a message of Flux: neither is anything else.
        for good in [GOOD[3], GOOD[14]] {
            let rejections = deepgram::attack(good);
            assert!(rejections.len() < 3, "{good}: {rejections:?}");
        }
        for good in &GOOD[5..8] {
            assert!(realtime::attack(good).is_ok(), "{good}");
        }
        assert!(vosk::attack(GOOD[11]).is_ok() && wyoming::attack(GOOD[12].as_bytes()).is_ok());
        // Of telephony's four parsers one takes each.
        for good in &GOOD[15..] {
            assert!(telephony::attack(good.as_bytes()).len() < 4, "{good}");
        }
        assert!(upload(GOOD[8].as_bytes()).is_none());
        GOOD.iter().for_each(|good| attack(good.as_bytes()));
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
            first in 0..GOOD.len(), other in 0..GOOD.len(), cut in any::<(u16, u16, u16)>(), noise in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let (first, other) = (GOOD[first].as_bytes(), GOOD[other].as_bytes());
            let at = |place: u16, of: &[u8]| usize::from(place) % (of.len() + 1);
            let (from, to) = (at(cut.0, first), at(cut.1, first));
            let changed = [&first[..from], &noise, &other[at(cut.2, other)..], &first[to..]].concat();
            attack(&changed);
        }
    }
}
