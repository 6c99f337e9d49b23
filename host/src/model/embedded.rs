//! The model that comes with hearken.

use std::io::{self, Read};

use ruzstd::decoding::StreamingDecoder;

/// See `models/README.md` for a description, and the credits.
const COMPRESSED: &[u8] = include_bytes!("../../models/hearken-phrases-q8_0.bin.zst");

/// Length when decompressed, in bytes.
const LEN: usize = 16_055_638;

/// Decompresses the embedded model's file: 16,055,638 bytes, anew at each call (about 0.1 s), so
/// that only its users hold it. [`EMBEDDED`](super::EMBEDDED) describes it, and has its hash
/// without decompressing anything.
///
/// # Errors
///
/// Only when the program's own data is damaged.
pub fn embedded() -> io::Result<Vec<u8>> {
    let damaged =
        |reason: String| io::Error::new(io::ErrorKind::InvalidData, format!("embedded model: {reason}"));
    let decoder = StreamingDecoder::new(COMPRESSED).map_err(|error| damaged(error.to_string()))?;
    let mut model = Vec::with_capacity(LEN);
    // One byte more than expected, so that a wrong length shows.
    decoder.take(LEN as u64 + 1).read_to_end(&mut model)?;
    if model.len() != LEN {
        return Err(damaged(format!("{} bytes instead of {LEN}", model.len())));
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::super::{EMBEDDED, Ftype, check, known};
    use super::*;

    #[test]
    fn the_embedded_model_is_sound_and_known() {
        let model = embedded().unwrap();
        let checked = check(&model[..], model.len() as u64).unwrap();
        let header = checked.header;
        assert_eq!(header.ftype(), Ftype::Q8_0);
        assert!(!header.multilingual());
        assert_eq!(header.context_samples(), 160_000);
        assert_eq!(header.size_name(), "custom");
        assert_eq!(known(&checked.hash), Some(&EMBEDDED), "{}", checked.hash);
        assert_eq!(known(&blake3::hash(b"another")), None);
    }
}
