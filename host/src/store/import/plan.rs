//! Plan of the output file, made before anything is written.

use std::path::Path;
use std::sync::Arc;

use super::error::ImportError;
use super::input::Input;
use super::quantization::Quantization;
use super::source::{self, Source};
use super::tensor::Tensor;
use super::vocabulary::{self, Wanted};
use super::weights::Weights;
use super::{ggml, mel};
use crate::model::{Ftype, Header, Layout, ModelError, layout};
use crate::store::StoreError;

/// A file to be written. Every tensor is there and has its shape; its weights were not read.
pub(super) enum Plan {
    /// A ggml file as it is.
    Copy(Arc<Input>),
    /// A file that is put together.
    Make(Make),
}

/// The parts of a ggml file.
pub(super) struct Make {
    pub(super) fields: [i32; 11],
    pub(super) filters: Vec<u8>,
    pub(super) vocabulary: Vec<Vec<u8>>,
    pub(super) tensors: Vec<(Layout, Tensor)>,
}

impl Plan {
    /// Reads everything of a source but its weights.
    pub(super) fn new(
        source: &Source,
        vocabulary: Option<&Path>,
        quantize: Option<Quantization>,
    ) -> Result<Self, StoreError> {
        match (source, source::weights(source)?, quantize) {
            (_, Some(weights), _) => {
                let read = |wanted| vocabulary::find(source.folder(), vocabulary, wanted);
                Make::new(weights, quantize, read).map(Self::Make)
            }
            (Source::Ggml(input), None, Some(quantize)) => {
                let ggml::Parsed { fields, filters, vocabulary, tensors } =
                    ggml::read(input, quantize.ftype())?;
                Ok(Self::Make(Make { fields, filters, vocabulary, tensors }))
            }
            (source, None, _) => {
                let Source::Ggml(input) = source else { unreachable!("only ggml files are no weights") };
                ggml::check(input)?;
                Ok(Self::Copy(Arc::clone(input)))
            }
        }
    }

    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Copy(input) => input.len(),
            Self::Make(make) => make.bytes(),
        }
    }
}

impl Make {
    /// Puts weights in order, and asks for the vocabulary that belongs to them.
    pub(super) fn new(
        weights: Weights,
        quantize: Option<Quantization>,
        vocabulary: impl FnOnce(Wanted) -> Result<Vec<Vec<u8>>, StoreError>,
    ) -> Result<Self, StoreError> {
        let path = weights.path().to_owned();
        let ftype = quantize.map_or(Ftype::F16, Quantization::ftype);
        let fields = weights.fields(ftype.file_number())?;
        let header = Header::new(fields).map_err(|cause| refused(&path, fields, cause))?;
        let tensors = weights.in_order(layout(&header))?;
        let dims = header.dims();
        let vocabulary = vocabulary(Wanted::new(dims.n_vocab.into()))?;
        Ok(Self { fields, filters: mel::filters(dims.n_mels), vocabulary, tensors })
    }

    /// The header's fields, in their form before ggml's version 2 of its layouts, which left those
    /// of 5 bits as they were.
    pub(super) fn fields_before_version_2(
        &self,
        quantization: Quantization,
    ) -> Option<([i32; 11], [i32; 11])> {
        let mut older = self.fields;
        older[10] -= 1000;
        matches!(quantization, Quantization::Q5_0 | Quantization::Q5_1).then_some((self.fields, older))
    }

    /// Bytes of the file.
    fn bytes(&self) -> u64 {
        // Magic number, header, the filters' two numbers, and the vocabulary's.
        let fixed = 4 + 44 + 8 + 4;
        let vocabulary: u64 = self.vocabulary.iter().map(|entry| 4 + entry.len() as u64).sum();
        let tensors: u64 = self.tensors.iter().map(|(layout, _)| layout.file_bytes()).sum();
        fixed + self.filters.len() as u64 + vocabulary + tensors
    }
}

/// Error of a header that no model has. For models that are too large it says if quantizing helps.
fn refused(path: &Path, mut fields: [i32; 11], cause: ModelError) -> StoreError {
    if matches!(cause, ModelError::TooLarge { .. }) {
        fields[10] = Ftype::Q5_0.file_number();
        if Header::new(fields).is_ok() {
            let remedy = "make it smaller with --quantize q5_0";
            return ImportError::unsupported(path, "too large for the sandbox as it is", remedy);
        }
    }
    StoreError::Model { name: path.display().to_string(), cause }
}
