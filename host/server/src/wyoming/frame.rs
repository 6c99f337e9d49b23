//! Wyoming's events on the wire: a line of JSON, then the stated numbers of bytes of JSON and of
//! audio.

use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::rejection::{Rejection, quote};

/// Longest line, and longest data behind it.
const MAX_JSON: usize = 64 << 10;
/// Longest audio of an event: half a minute of speech.
const MAX_PAYLOAD: usize = 1 << 20;
/// The version of PyPI's `wyoming` whose events these are.
const VERSION: &str = "1.10.2";

/// A message, received or to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) data: Map<String, Value>,
    pub(super) payload: Bytes,
}

#[derive(Debug, Deserialize)]
struct Header {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Option<Map<String, Value>>,
    #[serde(default)]
    data_length: Option<usize>,
    #[serde(default)]
    payload_length: Option<usize>,
}

/// Puts events together from bytes as they come.
#[derive(Default)]
pub(super) struct Frames {
    pub(super) buffer: BytesMut,
    /// Number of bytes that were searched for the end of a line.
    searched: usize,
    /// The line that was read, until the rest has come.
    header: Option<Header>,
}

impl Frames {
    /// The next event, if it is complete.
    pub(super) fn next(&mut self) -> Result<Option<Event>, Rejection> {
        if self.header.is_none() {
            let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                return if self.searched > MAX_JSON { Err(too_long("line")) } else { Ok(None) };
            };
            let line = self.buffer.split_to(self.searched + end);
            self.buffer.advance(1);
            self.searched = 0;
            self.header = Some(Header::parse(&line)?);
        }
        let Some(header) = self.header.take_if(|header| self.buffer.len() >= header.length()) else {
            return Ok(None);
        };
        let mut data = header.data.unwrap_or_default();
        let more = self.buffer.split_to(header.data_length.unwrap_or_default());
        if !more.is_empty() {
            data.extend(parse::<Map<String, Value>>(&more)?);
        }
        let payload = self.buffer.split_to(header.payload_length.unwrap_or_default()).freeze();
        Ok(Some(Event { kind: header.kind, data, payload }))
    }
}

impl Header {
    fn parse(line: &[u8]) -> Result<Self, Rejection> {
        if line.len() > MAX_JSON {
            return Err(too_long("line"));
        }
        let header: Self = parse(line)?;
        if header.data_length.is_some_and(|length| length > MAX_JSON) {
            return Err(too_long("data"));
        }
        if header.payload_length.is_some_and(|length| length > MAX_PAYLOAD) {
            return Err(too_long("payload"));
        }
        Ok(header)
    }

    /// Bytes behind the line. Both are bounded.
    fn length(&self) -> usize {
        self.data_length.unwrap_or_default() + self.payload_length.unwrap_or_default()
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Rejection> {
    serde_json::from_slice(json).map_err(|error| {
        let text = String::from_utf8_lossy(json);
        Rejection::malformed(format!(
            "{} is no event of Wyoming: {}",
            quote(&text),
            quote(&error.to_string())
        ))
    })
}

fn too_long(part: &str) -> Rejection {
    Rejection::malformed(format!("an event's {part} is too long; send at most a second of audio in each"))
}

/// An event as it is sent.
pub(super) fn encoded(kind: &str, data: &Value) -> Vec<u8> {
    let data = match data {
        Value::Object(members) if members.is_empty() => String::new(),
        data => data.to_string(),
    };
    let mut header = json!({ "type": kind, "version": VERSION });
    if !data.is_empty() {
        header["data_length"] = json!(data.len());
    }
    [header.to_string().as_bytes(), b"\n", data.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], piece: usize) -> Result<Vec<Event>, Rejection> {
        let (mut frames, mut events) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            frames.buffer.extend_from_slice(piece);
            while let Some(event) = frames.next()? {
                events.push(event);
            }
        }
        Ok(events)
    }

    #[test]
    fn events_are_whole_in_whatever_pieces_they_come() {
        let bytes = [
            &b"{\"type\": \"describe\"}\n"[..],
            b"{\"type\": \"audio-start\", \"data\": {\"rate\": 16000, \"width\": 1}, \"data_length\": 12}\n{\"width\": 2}",
            b"{\"type\": \"audio-chunk\", \"data_length\": null, \"payload_length\": 4}\n\n\n\x00\xff",
        ]
        .concat();
        for piece in [1, 2, 7, 1000] {
            let events = all(&bytes, piece).unwrap();
            let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
            assert_eq!(kinds, ["describe", "audio-start", "audio-chunk"], "{piece}");
            assert_eq!(Value::from(events[1].data.clone()), json!({ "rate": 16000, "width": 2 }));
            assert_eq!(&events[2].payload[..], b"\n\n\x00\xff");
        }
        let sent = encoded("transcript", &json!({ "text": "Größe" }));
        assert_eq!(all(&sent, 3).unwrap()[0].data["text"], "Größe");
        assert_eq!(encoded("transcript-stop", &json!({})).iter().filter(|byte| **byte == b'\n').count(), 1);
    }

    #[test]
    fn long_or_malformed_events_are_refused() {
        for bytes in [
            &b"nonsense\n"[..],
            b"{}\n",
            b"{\"type\": 7}\n",
            b"{\"type\": \"x\", \"payload_length\": -1}\n",
            b"{\"type\": \"x\", \"payload_length\": 2000000}\n",
            b"{\"type\": \"x\", \"data_length\": 2000000}\n",
            b"{\"type\": \"x\", \"data_length\": 3}\nxyz",
            &[b'x'; MAX_JSON + 2],
        ] {
            assert!(all(bytes, 1000).is_err(), "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(50)]));
        }
    }
}
