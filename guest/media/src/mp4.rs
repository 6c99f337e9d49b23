//! Facts of MP4 and QuickTime files (ISO/IEC 14496-12, QuickTime File Format) that symphonia's
//! reader leaves out: edit lists, the byte order of uncompressed sound, and tracks that are not
//! sound and that it gives up on.

use std::collections::HashMap;
use std::ops::Range;

use hearken_proto::media::Failure;

use crate::source::Source;

/// Longest index (`moov`) that is looked at, in bytes. That of ten hours of sound has some
/// megabytes.
const MAX_INDEX: u64 = 64 << 20;

/// Boxes at the top of a file that are looked at.
const MAX_BOXES: usize = 4_096;

/// Edits of a track that are kept. Recorders write one or two, editors some more.
const MAX_EDITS: usize = 4_096;

/// Facts of a file's audio tracks, by their identifiers.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) tracks: HashMap<u32, TrackFacts>,
}

/// Facts of one track.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrackFacts {
    /// Parts of the track that are played, in order.
    pub(crate) edits: Vec<Edit>,
    /// Uncompressed samples have the lowest byte first.
    pub(crate) little_endian: bool,
    /// Audio is stored in a form with this name.
    pub(crate) entry: [u8; 4],
}

/// A part of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Its length, in ticks of the track; `u64::MAX` to the end.
    pub(crate) len: u64,
    /// Its begin in the track, in ticks of the track; `None` for silence.
    pub(crate) start: Option<u64>,
}

/// Reads the index, and hides from later readers what they would stumble over. Leaves what makes no
/// sense for them to find out.
pub(crate) fn prepare(source: &mut Source) -> Result<Option<Index>, Failure> {
    match find_index(source) {
        Some(Place::At(moov)) => Ok(read(source, moov)),
        Some(Place::Missing) => {
            Err(Failure::Damaged("it was not finished: its index (moov) is missing".to_owned()))
        }
        None => Ok(None),
    }
}

fn read(source: &mut Source, moov: Range<u64>) -> Option<Index> {
    let len = usize::try_from(moov.end - moov.start).ok()?;
    let mut bytes = vec![0; len];
    if source.look(moov.start, &mut bytes).ok()? < len {
        return None;
    }
    let mut index = Index::default();
    let movie_scale = child(&bytes, 0..len, b"mvhd").and_then(|mvhd| time_scale(&bytes[mvhd]))?;
    let fragmented = child(&bytes, 0..len, b"mvex").is_some();
    let mut hidden = Vec::new();
    for (kind, header, body) in boxes(&bytes, 0..len) {
        if &kind != b"trak" {
            continue;
        }
        let Some((id, facts, entries)) = track(&bytes, body, movie_scale) else { continue };
        if let Some(facts) = facts {
            index.tracks.insert(id, facts);
        } else {
            // Fragments refer to all tracks of the index: then a track is left where it can be.
            if !fragmented || entries > 1 {
                hidden.push(header + 4);
            }
        }
    }
    if !hidden.is_empty() && !index.tracks.is_empty() {
        for at in hidden {
            bytes[at..at + 4].copy_from_slice(b"free");
        }
        source.replace(moov.start, bytes);
    }
    Some(index)
}

/// The place of a file's index.
enum Place {
    /// The body of `moov`.
    At(Range<u64>),
    /// The file ends without one.
    Missing,
}

/// Looks for the index; `None` if this is no MP4, or if its index cannot be reached.
fn find_index(source: &mut Source) -> Option<Place> {
    let mut position = 0;
    for number in 0..MAX_BOXES {
        let mut header = [0; 16];
        let read = source.look(position, &mut header).ok()?;
        if number > 0 && read == 0 {
            return Some(Place::Missing);
        }
        let (size, kind) = (u32::from_be_bytes(header[..4].try_into().ok()?), &header[4..8]);
        if read < 8
            || number == 0
                && !matches!(kind, b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip" | b"pnot")
        {
            return None;
        }
        let (head, size) = match size {
            1 if read == 16 => (16, u64::from_be_bytes(header[8..].try_into().ok()?)),
            0 => (8, source.len()?.checked_sub(position)?),
            size => (8, u64::from(size)),
        };
        let end = position.checked_add(size.max(head))?;
        if kind == b"moov" {
            return (size > head && size <= MAX_INDEX).then_some(Place::At(position + head..end));
        }
        position = end;
    }
    None
}

/// The boxes in a part of `bytes`: kind, position of the header, body. Ends at the first that makes
/// no sense.
fn boxes(bytes: &[u8], part: Range<usize>) -> impl Iterator<Item = ([u8; 4], usize, Range<usize>)> {
    let mut position = part.start;
    std::iter::from_fn(move || {
        let header = bytes.get(position..part.end)?.first_chunk::<8>()?;
        let (size, kind) = header.split_first_chunk::<4>()?;
        let size = match u32::from_be_bytes(*size) {
            0 => part.end - position,
            size => size as usize,
        };
        let end = position.checked_add(size).filter(|&end| size >= 8 && end <= part.end)?;
        let found = (kind.try_into().ok()?, position, position + 8..end);
        position = end;
        Some(found)
    })
}

fn child(bytes: &[u8], part: Range<usize>, kind: &[u8; 4]) -> Option<Range<usize>> {
    boxes(bytes, part).find(|(found, ..)| found == kind).map(|(.., body)| body)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Ticks per second, in `mvhd` and `mdhd`.
fn time_scale(body: &[u8]) -> Option<u32> {
    let at = if *body.first()? == 1 { 20 } else { 12 };
    u32_at(body, at).filter(|&scale| scale > 0)
}

/// Identifier, facts if the track is sound, and number of sample entries.
fn track(bytes: &[u8], body: Range<usize>, movie_scale: u32) -> Option<(u32, Option<TrackFacts>, u32)> {
    let tkhd = &bytes[child(bytes, body.clone(), b"tkhd")?];
    let id = u32_at(tkhd, if *tkhd.first()? == 1 { 20 } else { 12 })?;
    let mdia = child(bytes, body.clone(), b"mdia")?;
    let handler = bytes[child(bytes, mdia.clone(), b"hdlr")?].get(8..12)?;
    let stbl = child(bytes, child(bytes, mdia.clone(), b"minf")?, b"stbl")?;
    let stsd = child(bytes, stbl, b"stsd")?;
    let entries = u32_at(&bytes[stsd.clone()], 4)?;
    if handler != b"soun" {
        return Some((id, None, entries));
    }
    let scale = time_scale(&bytes[child(bytes, mdia, b"mdhd")?])?;
    let (entry, _, entry_body) = boxes(bytes, stsd.start + 8..stsd.end).next()?;
    // `enda` lies in a `wave` box behind fields whose length differs: its name and size are enough
    // to find it.
    let enda = bytes[entry_body].windows(10).find(|bytes| bytes.starts_with(b"\0\0\0\x0aenda"));
    let edits = child(bytes, body, b"edts")
        .and_then(|edts| child(bytes, edts, b"elst"))
        .map(|elst| edits(&bytes[elst], movie_scale, scale))
        .unwrap_or_default();
    let little_endian = enda.is_some_and(|bytes| bytes[9] == 1);
    Some((id, Some(TrackFacts { edits, little_endian, entry }), entries))
}

/// The edit list, with all times in ticks of the track.
fn edits(body: &[u8], movie_scale: u32, scale: u32) -> Vec<Edit> {
    let wide = body.first() == Some(&1);
    let count = u32_at(body, 4).unwrap_or(0) as usize;
    let size = if wide { 20 } else { 12 };
    let entry = |number: usize| {
        let at = 8 + number * size;
        let (len, start) = if wide {
            (u64_at(body, at)?, u64_at(body, at + 8)? as i64)
        } else {
            (u64::from(u32_at(body, at)?), i64::from(u32_at(body, at + 4)? as i32))
        };
        let ticks = u128::from(len) * u128::from(scale) / u128::from(movie_scale);
        let len = match ticks {
            // A length of 0 in the last entry means the rest: fragmented files have no other.
            0 => u64::MAX,
            ticks => u64::try_from(ticks).unwrap_or(u64::MAX),
        };
        Some(Edit { len, start: u64::try_from(start).ok() })
    };
    (0..count.min(MAX_EDITS)).map_while(entry).collect()
}

/// Applies the edits to packets as they come.
#[derive(Debug)]
pub(crate) struct Edits {
    edits: Vec<Edit>,
}

/// A part of a packet that is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Played {
    /// Ticks to leave out at the packet's start.
    pub(crate) skip: u64,
    /// Ticks to keep behind them.
    pub(crate) keep: u64,
    /// When it is heard, in ticks of the track from the recording's start.
    pub(crate) at: u64,
}

impl Edits {
    /// The edits of a track that plays from front to back; `None` if it plays parts twice or out of
    /// order, or if there is nothing to do.
    pub(crate) fn new(edits: Vec<Edit>) -> Option<Self> {
        let starts: Vec<(u64, u64)> = edits
            .iter()
            .filter_map(|edit| Some((edit.start?, edit.start?.saturating_add(edit.len))))
            .collect();
        let in_order = starts.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        (in_order && !starts.is_empty()).then_some(Self { edits })
    }

    /// The first part of a packet of `len` ticks at `start` that is played, if one is. A packet
    /// that has parts in two edits gives the first: editors cut where sound is quiet, and packets
    /// are some milliseconds.
    pub(crate) fn played(&self, start: u64, len: u64) -> Option<Played> {
        let end = start.saturating_add(len);
        let mut at = 0u64;
        for edit in &self.edits {
            if let Some(from) = edit.start {
                let to = from.saturating_add(edit.len);
                let (first, last) = (start.max(from), end.min(to));
                if first < last {
                    return Some(Played {
                        skip: first - start,
                        keep: last - first,
                        at: at.saturating_add(first - from),
                    });
                }
            }
            at = at.saturating_add(edit.len);
        }
        None
    }

    /// Length of all edits, in ticks of the track; `None` if the last goes on to the end.
    pub(crate) fn len(&self) -> Option<u64> {
        self.edits.iter().try_fold(0u64, |len, edit| len.checked_add(edit.len)).filter(|&len| len < u64::MAX)
    }
}
