//! Checks a ggml Whisper model in one pass.

use std::collections::HashMap;
use std::io::Read;

use super::header::Header;
use super::layout::{self, Tensor};
use super::source::Source;
use super::{ModelError, foreign};
use crate::text;

/// `ggml` as whisper.cpp compares it, little-endian in the file.
const MAGIC: u32 = 0x6767_6d6c;
/// Frequency bins of a mel filter: those of a 400-point transform. whisper.cpp over-reads with any
/// other number.
const N_FFT: i32 = 201;
/// Longest vocabulary entry in bytes. Whisper's longest has 128.
const MAX_ENTRY: u32 = 512;
/// Longest tensor name in bytes. Whisper's longest has 40.
const MAX_NAME: i32 = 64;

/// The header's fields in the file's order.
const FIELDS: [&str; 11] = [
    "n_vocab",
    "n_audio_ctx",
    "n_audio_state",
    "n_audio_head",
    "n_audio_layer",
    "n_text_ctx",
    "n_text_state",
    "n_text_head",
    "n_text_layer",
    "n_mels",
    "ftype",
];

/// A model that whisper.cpp will load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Header of the file.
    pub header: Header,
    /// BLAKE3 of the whole file: its name in every cache.
    pub hash: blake3::Hash,
    /// Length, in bytes.
    pub len: u64,
}

/// Reads a ggml Whisper model of `len` bytes once, in less than 2 MiB of memory for any content,
/// and checks that whisper.cpp 1.8.3 will load it without reading past anything: header within
/// bounds, filters and vocabulary of the right size, every tensor there once with its shape and
/// type, and nothing after the last.
///
/// # Errors
///
/// [`ModelError`] describes the defect; a reader that ends before or after `len` is an error too.
pub fn check(reader: impl Read, len: u64) -> Result<Checked, ModelError> {
    let mut source = Source::new(reader, len);
    let header = start(&mut source)?;
    filters(&mut source, &header)?;
    vocabulary(&mut source, &header)?;
    tensors(&mut source, &header)?;
    let (hash, len) = source.finish()?;
    Ok(Checked { header, hash, len })
}

/// Reads no more than a model's header: the file's claims, before anything else of it is known to
/// be sound.
///
/// # Errors
///
/// [`ModelError`] describes the defect of the header.
pub fn header(reader: impl Read) -> Result<Header, ModelError> {
    start(&mut Source::new(reader, u64::MAX))
}

fn start(source: &mut Source<impl Read>) -> Result<Header, ModelError> {
    magic(source)?;
    let mut fields = [0; 11];
    for (field, name) in fields.iter_mut().zip(FIELDS) {
        *field = source.i32(|| format!("the header's {name}"))?;
    }
    Header::new(fields)
}

fn magic(source: &mut Source<impl Read>) -> Result<(), ModelError> {
    let mut start = [0; 4];
    source.take(&mut start, || "the magic number".to_owned())?;
    if u32::from_le_bytes(start) == MAGIC {
        return Ok(());
    }
    let mut head = [0; 32];
    head[..4].copy_from_slice(&start);
    let filled = 4 + source.peek_rest(&mut head[4..]);
    Err(foreign::name(&head[..filled]))
}

fn filters(source: &mut Source<impl Read>, header: &Header) -> Result<(), ModelError> {
    let n_mel = source.i32(|| "the number of mel filters".to_owned())?;
    let n_fft = source.i32(|| "the length of mel filters".to_owned())?;
    let n_mels = header.dims().n_mels;
    if i64::from(n_mel) != i64::from(n_mels) {
        let allowed = format!("the header's n_mels ({n_mels})");
        return Err(ModelError::Dimension { name: "number of mel filters", value: n_mel.into(), allowed });
    }
    if n_fft != N_FFT {
        let allowed = format!("{N_FFT} (bins of a 400-point transform)");
        return Err(ModelError::Dimension { name: "length of mel filters", value: n_fft.into(), allowed });
    }
    source.skip(u64::from(n_mels) * N_FFT as u64 * 4, || "the mel filters".to_owned())
}

fn vocabulary(source: &mut Source<impl Read>, header: &Header) -> Result<(), ModelError> {
    let count = source.i32(|| "the vocabulary's size".to_owned())?;
    // More than the header's number, and whisper.cpp reads past the logits.
    let n_vocab = header.dims().n_vocab;
    let count = u32::try_from(count).ok().filter(|count| *count <= n_vocab).ok_or_else(|| {
        ModelError::Vocabulary { problem: format!("has {count} entries for {n_vocab} tokens") }
    })?;
    source.expect(4 * u64::from(count), || "the vocabulary".to_owned())?;
    let mut space = false;
    let mut entry = [0; MAX_ENTRY as usize];
    for index in 0..count {
        let what = || format!("vocabulary entry {index}");
        let len = source.i32(what)?.cast_unsigned();
        if len > MAX_ENTRY {
            let problem = format!("has an entry of {len} bytes (number {index}, at most {MAX_ENTRY})");
            return Err(ModelError::Vocabulary { problem });
        }
        let entry = &mut entry[..len as usize];
        source.take(entry, what)?;
        space |= *entry == *b" ";
    }
    // whisper.cpp looks it up without checking that it is there.
    if !space {
        return Err(ModelError::Vocabulary { problem: "has no entry for a single space".to_owned() });
    }
    Ok(())
}

fn tensors(source: &mut Source<impl Read>, header: &Header) -> Result<(), ModelError> {
    let expected = layout::tensors(header);
    // Tells a cut-off download before reading it all.
    source.expect(expected.iter().map(Tensor::bytes).sum(), || "the tensors".to_owned())?;
    let by_name: HashMap<&[u8], usize> =
        expected.iter().enumerate().map(|(at, tensor)| (tensor.name.as_bytes(), at)).collect();
    let mut seen = vec![false; expected.len()];
    while !source.at_end() {
        if seen.iter().all(|seen| *seen) {
            return Err(ModelError::Trailing { offset: source.offset() });
        }
        let at = tensor(source, &expected, &by_name, &seen)?;
        seen[at] = true;
    }
    let mut missing = expected.iter().zip(&seen).filter(|(_, seen)| !**seen).map(|(tensor, _)| &tensor.name);
    match missing.next() {
        None => Ok(()),
        Some(first) => Err(ModelError::Missing { first: first.clone(), count: 1 + missing.count() }),
    }
}

/// Reads one tensor; answers which it was.
fn tensor(
    source: &mut Source<impl Read>,
    expected: &[Tensor],
    by_name: &HashMap<&[u8], usize>,
    seen: &[bool],
) -> Result<usize, ModelError> {
    let number = seen.iter().filter(|seen| **seen).count();
    let what = || format!("tensor {number}");
    let bad = |name: &str, problem: String| ModelError::Tensor { name: name.to_owned(), problem };

    let n_dims = source.i32(what)?;
    let name_len = source.i32(what)?;
    let ttype = source.i32(what)?;
    // whisper.cpp stores as many dimensions as the file states into an array of four.
    let n_dims = usize::try_from(n_dims)
        .ok()
        .filter(|n| (1..=4).contains(n))
        .ok_or_else(|| bad(&format!("number {number}"), format!("has {n_dims} dimensions (1 to 4)")))?;
    if !(1..=MAX_NAME).contains(&name_len) {
        let problem = format!("has a name of {name_len} bytes (1 to {MAX_NAME})");
        return Err(bad(&format!("number {number}"), problem));
    }
    let mut dims = [1; 4];
    for dim in &mut dims[..n_dims] {
        *dim = source.i32(what)?;
    }
    let mut name = [0; MAX_NAME as usize];
    let name = &mut name[..name_len.unsigned_abs() as usize];
    source.take(name, what)?;

    let Some(&at) = by_name.get(&*name) else {
        let name = text::sanitize(&String::from_utf8_lossy(name));
        return Err(bad(&format!("number {number} (`{name}`)"), "is none of Whisper's".to_owned()));
    };
    let tensor = &expected[at];
    if seen[at] {
        return Err(bad(&tensor.name, "comes twice".to_owned()));
    }
    let [a, b, c] = tensor.dims;
    if dims.map(i64::from) != [a.into(), b.into(), c.into(), 1] {
        return Err(bad(&tensor.name, format!("has shape {dims:?}, not {:?}", tensor.dims)));
    }
    let (wanted, ..) = tensor.ftype.tensor_type();
    if ttype != wanted {
        return Err(bad(&tensor.name, format!("has type {ttype}, not {wanted} ({})", tensor.ftype)));
    }
    source.skip(tensor.bytes(), || format!("tensor {}", tensor.name))?;
    Ok(at)
}
