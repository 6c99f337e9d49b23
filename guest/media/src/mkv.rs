//! The default track of Matroska and WebM files (RFC 9559): a track is one unless its header says
//! that it is not, which is what symphonia does not tell apart.

use crate::source::Source;

// Elements, with the marker of their length.
const EBML: u32 = 0x1A45_DFA3;
const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1F43_B675;
const TRACKS: u32 = 0x1654_AE6B;
const TRACK_ENTRY: u32 = 0xAE;
const TRACK_NUMBER: u32 = 0xD7;
const FLAG_DEFAULT: u32 = 0x88;

/// Elements that are looked at before the tracks.
const MAX_ELEMENTS: usize = 256;

/// Longest description of the tracks, in bytes: fonts and pictures are elsewhere.
const MAX_TRACKS: u64 = 1 << 20;

/// Numbers of the tracks that are not played by default. Empty for other files, and where the
/// tracks are not found.
pub(crate) fn not_default(source: &mut Source) -> Vec<u32> {
    find(source).unwrap_or_default()
}

fn find(source: &mut Source) -> Option<Vec<u32>> {
    let (id, body, len) = element(source, 0)?;
    if id != EBML {
        return None;
    }
    let (id, mut position, _) = element(source, body.checked_add(len?)?)?;
    if id != SEGMENT {
        return None;
    }
    for _ in 0..MAX_ELEMENTS {
        let (id, body, len) = element(source, position)?;
        let len = len?;
        match id {
            CLUSTER => return None,
            TRACKS if len <= MAX_TRACKS => {
                let mut bytes = vec![0; len as usize];
                let read = source.look(body, &mut bytes).ok()?;
                return Some(entries(&bytes[..read]));
            }
            _ => position = body.checked_add(len)?,
        }
    }
    None
}

/// Identifier, position and length of the body of the element at `position`; no length if it goes
/// on to the end.
fn element(source: &mut Source, position: u64) -> Option<(u32, u64, Option<u64>)> {
    let mut bytes = [0; 12];
    let read = source.look(position, &mut bytes).ok()?;
    let (id, rest) = identifier(&bytes[..read])?;
    let (len, behind) = length(rest)?;
    Some((id, position + (read - behind.len()) as u64, len))
}

fn identifier(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let count = bytes.first()?.leading_zeros() as usize + 1;
    let (id, rest) = bytes.split_at_checked(count).filter(|_| count <= 4)?;
    Some((id.iter().fold(0, |id, &byte| id << 8 | u32::from(byte)), rest))
}

/// A length; all bits set mean that it is unknown.
fn length(bytes: &[u8]) -> Option<(Option<u64>, &[u8])> {
    let count = bytes.first()?.leading_zeros() as usize + 1;
    let (len, rest) = bytes.split_at_checked(count).filter(|_| count <= 8)?;
    let len = len.iter().fold(0u64, |len, &byte| len << 8 | u64::from(byte));
    let most = (1u64 << (7 * count)) - 1;
    Some((Some(len & most).filter(|&len| len < most), rest))
}

/// The elements in `bytes`, up to the first that makes no sense.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let (id, rest) = identifier(bytes)?;
        let (len, rest) = length(rest)?;
        let (body, rest) = rest.split_at_checked(usize::try_from(len?).ok()?)?;
        bytes = rest;
        Some((id, body))
    })
}

fn entries(tracks: &[u8]) -> Vec<u32> {
    let number = |entry: &[u8], id| {
        let body = elements(entry).find(|&(found, _)| found == id)?.1;
        (body.len() <= 4).then(|| body.iter().fold(0u32, |number, &byte| number << 8 | u32::from(byte)))
    };
    elements(tracks)
        .filter(|&(id, _)| id == TRACK_ENTRY)
        .filter(|(_, entry)| number(entry, FLAG_DEFAULT) == Some(0))
        .filter_map(|(_, entry)| number(entry, TRACK_NUMBER))
        .collect()
}
