//! Writes a ggml file.

use std::io::Read;

use half::f16;

use super::error::ImportError;
use super::ggml::Sequential;
use super::plan::{Make, Plan};
use super::quantization::Quantization;
use crate::model::{Ftype, Layout};
use crate::sandbox::Quantizer;
use crate::store::StoreError;

/// `ggml` as whisper.cpp compares it.
const MAGIC: u32 = 0x6767_6d6c;
/// Offset of the header's last field, after the magic number and ten others, in bytes.
pub(super) const FTYPE_AT: u64 = 4 + 10 * 4;
/// Bytes of a file that is copied at once.
const COPY: usize = 256 << 10;

/// Output file: writes, counts, and checks for cancellation.
pub(super) struct Output<'a> {
    /// Takes the bytes.
    pub(super) file: &'a mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    /// Quantizes large weights, where that is asked for.
    pub(super) quantizer: Option<(Quantization, Quantizer)>,
}

impl Output<'_> {
    /// Writes the whole file.
    pub(super) fn write(&mut self, plan: &Plan) -> Result<(), StoreError> {
        match plan {
            Plan::Copy(input) => {
                let mut source = Sequential { input, at: 0 };
                let mut block = vec![0; COPY];
                loop {
                    match source.read(&mut block).map_err(ImportError::read(input.path()))? {
                        0 => return Ok(()),
                        count => (self.file)(&block[..count])?,
                    }
                }
            }
            Plan::Make(make) => self.make(make),
        }
    }

    fn make(&mut self, make: &Make) -> Result<(), StoreError> {
        let Make { fields, filters, vocabulary, tensors } = make;
        let mut start = Vec::with_capacity(1 << 20);
        start.extend(MAGIC.to_le_bytes());
        integers(&mut start, fields);
        // The header's check made these few.
        let (n_mels, bins) = (fields[9], filters.len() as i32 / 4 / fields[9]);
        integers(&mut start, &[n_mels, bins]);
        start.extend(filters);
        integers(&mut start, &[vocabulary.len() as i32]);
        for entry in vocabulary {
            integers(&mut start, &[entry.len() as i32]);
            start.extend(entry);
        }
        (self.file)(&start)?;
        for (layout, tensor) in tensors {
            self.describe(layout)?;
            let mut block = Vec::new();
            tensor.read(|weights| {
                block.clear();
                match layout.ftype {
                    Ftype::F32 => block.extend(weights.iter().flat_map(|weight| weight.to_le_bytes())),
                    Ftype::F16 => {
                        for weight in weights {
                            block.extend(
                                half(*weight).map_err(|()| out_of_range(tensor, *weight))?.to_le_bytes(),
                            );
                        }
                    }
                    _ => self.quantize(tensor, weights, &mut block)?,
                }
                (self.file)(&block)
            })?;
        }
        Ok(())
    }

    fn describe(&mut self, layout: &Layout) -> Result<(), StoreError> {
        let (number, ..) = layout.ftype.tensor_type();
        let n_dims = layout.n_dims();
        let mut bytes = Vec::new();
        integers(&mut bytes, &[n_dims as i32, layout.name.len() as i32, number]);
        for dim in &layout.dims[..n_dims] {
            bytes.extend(dim.to_le_bytes());
        }
        bytes.extend(layout.name.as_bytes());
        (self.file)(&bytes)
    }

    /// Rounds to half precision first, as whisper.cpp's converter does: its quantizer reads files
    /// in half precision.
    fn quantize(
        &mut self,
        tensor: &super::tensor::Tensor,
        weights: &[f32],
        block: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let rounded: Result<Vec<f32>, StoreError> = weights
            .iter()
            .map(|weight| half(*weight).map(f16::to_f32).map_err(|()| out_of_range(tensor, *weight)))
            .collect();
        let (kind, quantizer) = self.quantizer.as_mut().expect("a plan to quantize comes with who does it");
        quantizer.quantize(kind.block(), &rounded?, block).map_err(ImportError::Quantize)?;
        Ok(())
    }
}

/// The nearest number in half precision, if there is one.
fn half(weight: f32) -> Result<f16, ()> {
    Some(f16::from_f32(weight)).filter(|half| half.is_finite()).ok_or(())
}

fn out_of_range(tensor: &super::tensor::Tensor, weight: f32) -> StoreError {
    tensor.problem(format!("has the weight {weight}, and half precision ends at 65504"))
}

fn integers(bytes: &mut Vec<u8>, values: &[i32]) {
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}
