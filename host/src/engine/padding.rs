//! The recording behind which models compute their padding.

use std::io::{self, Read};

use ruzstd::decoding::StreamingDecoder;

/// Eleven seconds of President Kennedy's inaugural address of 1961 (public domain): 16-bit samples
/// at 16 kHz, mono. A clear voice, and pauses, as padding often follows.
pub(super) const COMPRESSED: &[u8] = include_bytes!("../../models/padding-recording.s16le.zst");

/// Samples of the recording.
const LEN: usize = 176_000;

/// The samples, from -1 to 1.
///
/// # Errors
///
/// Only when the program's own data is damaged.
pub(super) fn recording() -> io::Result<Vec<f32>> {
    let damaged = |reason: String| io::Error::new(io::ErrorKind::InvalidData, format!("padding: {reason}"));
    let decoder = StreamingDecoder::new(COMPRESSED).map_err(|error| damaged(error.to_string()))?;
    let mut bytes = Vec::with_capacity(2 * LEN);
    decoder.take(2 * LEN as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() != 2 * LEN {
        return Err(damaged(format!("{} bytes instead of {}", bytes.len(), 2 * LEN)));
    }
    let samples = bytes.as_chunks::<2>().0.iter();
    Ok(samples.map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recording_is_eleven_seconds_of_sound() {
        let samples = recording().unwrap();
        let power = samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32;
        assert!((1e-4..1e-1).contains(&power), "{power}");
    }

    #[test]
    fn pages_have_its_beginning() {
        let page = include_bytes!("../../../guest/listener/src/padding.s16le").as_chunks::<2>().0;
        let page: Vec<f32> =
            page.iter().map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0).collect();
        assert_eq!(page.len(), 32_000);
        assert!(recording().unwrap().starts_with(&page));
    }
}
