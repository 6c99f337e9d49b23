//! Reads whisper.cpp's own files, so that they can be quantized.

use std::io::{self, Read};
use std::sync::Arc;

use super::error::ImportError;
use super::input::{Cursor, Input};
use super::tensor::{Element, Tensor};
use crate::model::{self, Ftype, Header, Layout, layout};
use crate::store::StoreError;

/// Content of a file, in its order.
pub(super) struct Parsed {
    pub(super) fields: [i32; 11],
    /// As in the file.
    pub(super) filters: Vec<u8>,
    pub(super) vocabulary: Vec<Vec<u8>>,
    pub(super) tensors: Vec<(Layout, Tensor)>,
}

/// Fails unless the file is one that whisper.cpp loads.
pub(super) fn check(input: &Input) -> Result<Header, StoreError> {
    let reader = Sequential { input, at: 0 };
    let checked = model::check(reader, input.len())
        .map_err(|cause| StoreError::Model { name: input.path().display().to_string(), cause })?;
    Ok(checked.header)
}

/// Takes a file apart that is in half precision. `quantized` are the types and shapes that it is to
/// have.
pub(super) fn read(input: &Arc<Input>, quantized: Ftype) -> Result<Parsed, StoreError> {
    let header = check(input)?;
    if header.ftype() != Ftype::F16 {
        let what = format!("quantized already ({})", header.ftype());
        let remedy = "quantize the file in f16, or import this one as it is, without --quantize";
        return Err(ImportError::unsupported(input.path(), what, remedy));
    }
    // The rest was checked above. If the file changes meanwhile, the bytes are checked where they
    // are used, and the result again.
    let mut cursor = Cursor { input, at: 4 };
    let what = || "the header".to_owned();
    let mut fields = [0; 11];
    for field in &mut fields {
        *field = cursor.u32(what)?.cast_signed();
    }
    fields[10] = quantized.file_number();
    let header = Header::new(fields)
        .map_err(|cause| StoreError::Model { name: input.path().display().to_string(), cause })?;
    let (count, bins) = (cursor.u32(what)?, cursor.u32(what)?);
    let filters =
        cursor.bytes((u64::from(count) * u64::from(bins) * 4).min(1 << 20), || "the filters".to_owned())?;
    let mut vocabulary = Vec::new();
    for _ in 0..cursor.u32(what)?.min(header.dims().n_vocab) {
        let len = cursor.u32(what)?.min(512);
        vocabulary.push(cursor.bytes(len.into(), || "the vocabulary".to_owned())?);
    }
    let layout = layout(&header);
    let mut tensors = Vec::with_capacity(layout.len());
    for _ in 0..layout.len() {
        tensors.push(tensor(&mut cursor, input, &layout)?);
    }
    Ok(Parsed { fields, filters, vocabulary, tensors })
}

fn tensor(
    cursor: &mut Cursor<'_>,
    input: &Arc<Input>,
    layout: &[Layout],
) -> Result<(Layout, Tensor), StoreError> {
    let what = || "a tensor's description".to_owned();
    let (n_dims, len, kind) = (cursor.u32(what)?, cursor.u32(what)?, cursor.u32(what)?);
    let mut shape = Vec::new();
    for _ in 0..n_dims.min(4) {
        shape.insert(0, u64::from(cursor.u32(what)?));
    }
    let name = String::from_utf8_lossy(&cursor.bytes(len.min(64).into(), what)?).into_owned();
    let wanted = layout.iter().find(|tensor| tensor.name == name);
    let wanted = wanted.ok_or_else(|| ImportError::tensor(input.path(), &name, "is none of Whisper's"))?;
    let element = if kind == 0 { Element::F32 } else { Element::F16 };
    let bytes =
        shape.iter().try_fold(element.bytes(), |bytes, &dim| bytes.checked_mul(dim)).unwrap_or(u64::MAX);
    let at = cursor.skip(bytes, || format!("the tensor {name}"))?;
    Ok((wanted.clone(), Tensor::new(input, &name, (at, bytes), element, shape)?))
}

/// A file from its beginning to its end.
pub(super) struct Sequential<'a> {
    pub(super) input: &'a Input,
    pub(super) at: u64,
}

impl Read for Sequential<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let now = (self.input.len() - self.at).min(into.len() as u64) as usize;
        self.input.read(self.at, &mut into[..now], || "the file".to_owned()).map_err(io::Error::other)?;
        self.at += now as u64;
        Ok(now)
    }
}
