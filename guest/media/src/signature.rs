//! Signatures of files that are no recordings, and of recordings that are not read, so that a
//! message can name them.
//!
//! Readers of MP3 and ADTS search for two bytes that look like a frame, and find them in any large
//! file. The start of a file tells better.

use hearken_proto::media::Failure;

/// Signatures of files that are often taken for recordings and are none.
const OTHERS: [(&[u8], &str); 13] = [
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b\x08", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"SQLite format 3\0", "a database"),
    (b"\x89PNG\r\n\x1a\n", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
];

/// Signatures of recordings for which there is no reader or no decoder, by their position in the
/// file.
#[cfg(feature = "symphonia")]
const UNREAD: [(usize, &[u8], &str); 14] = [
    (0, b"#!AMR", "AMR"),
    (0, b"FLV\x01", "Flash video"),
    (0, b".RMF", "RealMedia"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (ASF)"),
    (0, b"\x0b\x77", "AC-3"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"TTA1", "True Audio"),
    (0, b"MPCK", "Musepack"),
    (0, b"DSD ", "DSD"),
    (0, b"MThd", "MIDI, which holds notes and no sound"),
    (0, b"\0\0\x01\xba", "MPEG program stream"),
    (8, b"AVI ", "AVI"),
    (28, b"Speex   ", "Speex in Ogg"),
];

/// Length of a packet of an MPEG transport stream, in bytes, and the byte that each begins with.
const TS_PACKET: usize = 188;
#[cfg(feature = "symphonia")]
const TS_SYNC: u8 = 0x47;

/// Bytes that [`refuse`] needs at most.
pub(crate) const LEN: usize = 3 * TS_PACKET;

/// Refuses a file that starts so if it is known that it is no recording.
pub(crate) fn refuse_others(start: &[u8]) -> Result<(), Failure> {
    match OTHERS.iter().find(|(signature, _)| start.starts_with(signature)) {
        Some((_, kind)) => Err(Failure::Damaged(format!("it is {kind}"))),
        None => Ok(()),
    }
}

/// Refuses a file that starts so if it is known that it cannot be read.
#[cfg(feature = "symphonia")]
pub(crate) fn refuse(start: &[u8]) -> Result<(), Failure> {
    refuse_others(start)?;
    let unread = UNREAD
        .iter()
        .find(|&&(at, signature, _)| start.get(at..).is_some_and(|start| start.starts_with(signature)));
    if let Some((.., kind)) = unread {
        return Err(Failure::Codec((*kind).to_owned()));
    }
    let is_sync = |packet: usize| start.get(packet * TS_PACKET) == Some(&TS_SYNC);
    if (0..3).all(is_sync) {
        return Err(Failure::Codec("MPEG transport stream".to_owned()));
    }
    Ok(())
}
