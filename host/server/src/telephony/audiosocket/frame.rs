//! Messages of AudioSocket on the wire: a kind, a length of two bytes, big-endian, and as many
//! bytes.

use bytes::{Buf, Bytes, BytesMut};

use crate::rejection::Rejection;
use crate::values::{hex, uuid};

const HEADER: usize = 3;

/// Rates of 16-bit samples [Hz], by their kinds: 0x10 is the first.
const RATES: [u32; 9] = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000];
const FIRST_RATE: u8 = 0x10;

/// A message of the telephone's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// The call ends.
    HangUp,
    /// The name of the call, a UUID, in its usual form.
    Call(String),
    /// Samples of one channel, 16 bits each, little-endian, at this rate [Hz].
    Audio(u32, Bytes),
    /// The other side failed, with this code, if it has one.
    Error(Option<u8>),
    /// A key of the telephone, or a kind of a later version.
    Other,
}

/// Takes the next message out of bytes as they come, if it is complete.
///
/// # Errors
///
/// Its length is none that its kind can have.
pub(super) fn next(buffer: &mut BytesMut) -> Result<Option<Frame>, Rejection> {
    let [kind, high, low, ..] = **buffer else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if buffer.len() < HEADER + length {
        return Ok(None);
    }
    buffer.advance(HEADER);
    let payload = buffer.split_to(length).freeze();
    let rate = kind.checked_sub(FIRST_RATE).and_then(|kind| RATES.get(usize::from(kind)));
    Ok(Some(match (kind, rate) {
        (0x00, _) => Frame::HangUp,
        (0x01, _) => {
            if payload.len() != 16 {
                return Err(Rejection::malformed(format!("the call's UUID has {length} bytes; send 16")));
            }
            Frame::Call(uuid(&hex(&payload)))
        }
        (0xFF, _) => Frame::Error(payload.first().copied()),
        (_, Some(rate)) => Frame::Audio(*rate, payload),
        _ => Frame::Other,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Frame>, Rejection> {
        let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
        // A byte at a time, as bad networks deliver them.
        for byte in bytes {
            buffer.extend_from_slice(&[*byte]);
            frames.extend(next(&mut buffer)?);
        }
        Ok(frames)
    }

    #[test]
    fn messages_come_whole_whatever_the_network_does() {
        let mut bytes = vec![0x01, 0, 16];
        bytes.extend(0..16);
        bytes.extend([0x10, 0, 2, 1, 2, 0x03, 0, 1, b'5', 0x12, 0, 2, 3, 4, 0x7E, 0, 0]);
        bytes.extend([0xFF, 0, 1, 4, 0xFF, 0, 0, 0x00, 0, 0, 0x10, 1, 0, 9]);
        assert_eq!(
            all(&bytes).unwrap(),
            [
                Frame::Call("00010203-0405-0607-0809-0a0b0c0d0e0f".to_owned()),
                Frame::Audio(8_000, Bytes::from_static(&[1, 2])),
                Frame::Other,
                Frame::Audio(16_000, Bytes::from_static(&[3, 4])),
                Frame::Other,
                Frame::Error(Some(4)),
                Frame::Error(None),
                Frame::HangUp,
            ],
            "the last one is not complete"
        );
    }

    #[test]
    fn a_name_of_another_length_is_rejected() {
        assert!(all(&[0x01, 0, 0]).unwrap_err().to_string().contains("0 bytes"));
    }
}
