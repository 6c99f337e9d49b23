//! Weights in place in a file.

use std::sync::Arc;

use half::{bf16, f16};

use super::error::ImportError;
use super::input::Input;
use crate::store::StoreError;

/// Number of weights read at once: whole blocks of every quantization, and the capacity of one call
/// to the sandbox.
pub(super) const BLOCK: u64 = crate::sandbox::Quantizer::WEIGHTS as u64;

/// Storage format of a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    F16,
    Bf16,
}

impl Element {
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Replaces `weights` by those in `bytes`.
    fn decode(self, bytes: &[u8], weights: &mut Vec<f32>) {
        weights.clear();
        match self {
            Self::F32 => weights.extend(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))),
            Self::F16 => {
                weights.extend(bytes.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()));
            }
            Self::Bf16 => {
                weights.extend(bytes.as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes).to_f32()));
            }
        }
    }
}

/// A tensor that is all in its file.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) input: Arc<Input>,
    /// Name in the file.
    pub(super) name: String,
    at: u64,
    element: Element,
    /// Slowest dimension first.
    shape: Vec<u64>,
}

impl Tensor {
    /// A tensor of `len` bytes from `at` on. Fails if they are not in the file, or contradict the
    /// shape.
    pub(super) fn new(
        input: &Arc<Input>,
        name: &str,
        (at, len): (u64, u64),
        element: Element,
        shape: Vec<u64>,
    ) -> Result<Self, StoreError> {
        input.expect(at, len, || format!("the tensor {name}"))?;
        let count = shape.iter().try_fold(1u64, |count, &dim| count.checked_mul(dim));
        if count.and_then(|count| count.checked_mul(element.bytes())) != Some(len) {
            let problem = format!("has {len} bytes, and its shape {shape:?} takes another number");
            return Err(ImportError::tensor(input.path(), name, problem));
        }
        Ok(Self { input: Arc::clone(input), name: name.to_owned(), at, element, shape })
    }

    pub(super) fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Number of weights.
    pub(super) fn count(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Returns one of `count` equal parts along the first dimension, which it must divide.
    pub(super) fn part(&self, index: u64, count: u64) -> Result<Self, StoreError> {
        let rows = self.shape.first().copied().filter(|rows| rows % count == 0).ok_or_else(|| {
            self.problem(format!("has shape {:?}, whose first dimension is not {count} parts", self.shape))
        })?;
        let mut part = self.clone();
        part.shape[0] = rows / count;
        // Within the bytes that `new` has checked.
        part.at += index * part.count() * part.element.bytes();
        Ok(part)
    }

    pub(super) fn problem(&self, problem: impl Into<String>) -> StoreError {
        ImportError::tensor(self.input.path(), &self.name, problem)
    }

    /// Reads all weights in order, at most [`BLOCK`] at a time, and fails at one that is not
    /// finite.
    pub(super) fn read(
        &self,
        mut each: impl FnMut(&[f32]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (mut bytes, mut weights) = (Vec::new(), Vec::new());
        let (mut at, mut left) = (self.at, self.count());
        while left > 0 {
            let now = left.min(BLOCK);
            // At most 64 KiB.
            bytes.resize((now * self.element.bytes()) as usize, 0);
            self.input.read(at, &mut bytes, || format!("the tensor {}", self.name))?;
            self.element.decode(&bytes, &mut weights);
            if let Some(weight) = weights.iter().find(|weight| !weight.is_finite()) {
                return Err(self.problem(format!("has a weight that is {weight}")));
            }
            each(&weights)?;
            at += bytes.len() as u64;
            left -= now;
        }
        Ok(())
    }

    /// Fails unless all weights are zero.
    pub(super) fn expect_zero(&self) -> Result<(), StoreError> {
        self.read(|weights| match weights.iter().find(|weight| **weight != 0.0) {
            Some(_) => Err(self.problem("is not zero, and Whisper has no such bias")),
            None => Ok(()),
        })
    }

    /// Fails unless the other tensor has the same bytes.
    pub(super) fn expect_same(&self, other: &Self) -> Result<(), StoreError> {
        let differs = || self.problem(format!("is not {}, to which Whisper ties it", other.name));
        if (self.element, &self.shape) != (other.element, &other.shape) {
            return Err(differs());
        }
        let (mut mine, mut others) = (Vec::new(), Vec::new());
        let (mut done, all) = (0, self.count() * self.element.bytes());
        while done < all {
            let now = (all - done).min(BLOCK);
            mine.resize(now as usize, 0);
            others.resize(now as usize, 0);
            self.input.read(self.at + done, &mut mine, || self.name.clone())?;
            other.input.read(other.at + done, &mut others, || other.name.clone())?;
            if mine != others {
                return Err(differs());
            }
            done += now;
        }
        Ok(())
    }
}
