//! The length of a file by its own header, where FFmpeg makes do with what there is: it shortens
//! the duration of a file that was cut off, and says nothing of it.

use crate::source::Source;

/// Identifier of ASF's file properties (ASF specification, section 10.3).
const FILE_PROPERTIES: &[u8] = b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65";
/// Position of the file's size behind it: a size and an identifier come first.
const FILE_SIZE: usize = 40;

/// Start of an ASF file in which its properties lie, in bytes.
const START: usize = 65_536;

/// Bytes that the file has if all of it is there.
pub(super) fn stated(source: &mut Source) -> Option<u64> {
    let mut start = vec![0; START];
    let read = source.look(0, &mut start).ok()?;
    let start = &start[..read];
    if start.starts_with(b"RIFF") && start.get(8..12) == Some(b"AVI ") {
        let size = u32::from_le_bytes(*start.get(4..)?.first_chunk()?);
        // What a pipe gets, and a recorder that was killed leaves.
        return (size != 0 && size != u32::MAX).then(|| u64::from(size) + 8);
    }
    if !start.starts_with(b"\x30\x26\xb2\x75") {
        return None;
    }
    let at = start.windows(FILE_PROPERTIES.len()).position(|bytes| bytes == FILE_PROPERTIES)?;
    let size = u64::from_le_bytes(*start.get(at + FILE_SIZE..)?.first_chunk()?);
    // A broadcast has none.
    (size != 0).then_some(size)
}
