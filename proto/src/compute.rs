//! Dense operations that the host does for the guest, on the guest's memory.
//!
//! | import of module [`IMPORTS`](crate::abi::IMPORTS) | type | meaning |
//! |---|---|---|
//! | [`IMPORT_PRODUCT`] | `(descriptor: i32)` | one [`Product`] |
//! | [`IMPORT_ATTENTION`] | `(descriptor: i32)` | one [`Attention`] |
//!
//! The guest passes the address of a descriptor: 64-bit little-endian words, in the order of the
//! fields below. All lengths, strides and addresses are bytes unless said. A matrix has rows of
//! contiguous elements; rows and planes lie at any stride. The host checks all of it, in 64 bits,
//! before it touches anything, and a violation traps:
//!
//! 1. every matrix, vector and descriptor lies inside the guest's memory, from its first to its
//!    last byte;
//! 2. addresses and strides are multiples of the element's size;
//! 3. no byte of the output belongs to an input, and no two of its rows share a byte;
//! 4. no extent is 0, none is above [`MAX_EXTENT`], planes are at most [`MAX_PLANES`], an
//!    attention's width at most [`MAX_WIDTH`], and one call has at most [`MAX_WORK`]
//!    multiplications;
//! 5. a weight's number is one that the guest [registered](Weight), and its shape is the product's.
//!
//! What is computed depends on shapes alone: no value, NaN included, changes which instructions run
//! or which bytes are touched. The time is charged to the call, and asked for between tiles.

use serde::{Deserialize, Serialize};

/// Does one [`Product`].
pub const IMPORT_PRODUCT: &str = "product";
/// Does one [`Attention`].
pub const IMPORT_ATTENTION: &str = "attention";

/// Largest extent of a matrix, in elements: more than twice Whisper's vocabulary.
pub const MAX_EXTENT: u64 = 1 << 17;
/// Most matrices of a batch: Whisper's largest model has 20 heads, and no other batch.
pub const MAX_PLANES: u64 = 256;
/// Largest width of a head: four times that of all Whisper models.
pub const MAX_WIDTH: u64 = 256;
/// Maximum number of multiplications of one call: four times the need of the largest product of
/// Whisper's largest model.
pub const MAX_WORK: u64 = 1 << 36;
/// Most weights of one model.
pub const MAX_WEIGHTS: usize = 4096;

/// Storage format of a matrix's elements. Blocks are ggml's: 32 elements each (`ggml-common.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u64)]
pub enum Element {
    /// IEEE 754 binary32.
    F32 = 0,
    /// IEEE 754 binary16.
    F16 = 1,
    /// A binary16 scale, then 32 signed bytes. Weights only, as all that follow.
    Q8_0 = 2,
    /// A binary16 scale, the 32 fifth bits, then 32 nibbles; 16 is subtracted.
    Q5_0 = 3,
    /// A binary16 scale, a binary16 minimum, the 32 fifth bits, then 32 nibbles.
    Q5_1 = 4,
    /// A binary16 scale, then 32 nibbles; 8 is subtracted.
    Q4_0 = 5,
    /// A binary16 scale, a binary16 minimum, then 32 nibbles.
    Q4_1 = 6,
}

impl Element {
    /// Reads one as it came from a guest.
    pub fn from_raw(raw: u64) -> Option<Self> {
        Some(match raw {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q8_0,
            3 => Self::Q5_0,
            4 => Self::Q5_1,
            5 => Self::Q4_0,
            6 => Self::Q4_1,
            _ => return None,
        })
    }

    /// Number of elements of one block: 1 where there are no blocks.
    pub const fn block_len(self) -> u64 {
        match self {
            Self::F32 | Self::F16 => 1,
            _ => 32,
        }
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Q8_0 => 34,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
        }
    }

    /// Alignment of addresses and strides \[bytes\].
    pub fn align(self) -> u64 {
        match self {
            Self::F32 => 4,
            _ => 2,
        }
    }
}

/// A matrix of weights in the guest's memory, registered while the snapshot is made (in
/// [`Event::Loaded`](crate::Event::Loaded)) and not changed after. Its number is its place in the
/// list. The host keeps a packed copy of its own, taken from the snapshot before any guest runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Address of row 0.
    pub address: u64,
    /// Rows.
    pub rows: u64,
    /// Elements of a row: a multiple of the block's.
    pub depth: u64,
    /// Stride of rows. Rows of different weights do not overlap.
    pub row_stride: u64,
    /// Storage format of elements.
    pub element: Element,
}

/// A batch of matrices in the guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matrix {
    /// Address of row 0 of plane 0.
    pub address: u64,
    /// Stride of rows.
    pub row_stride: u64,
    /// Stride of planes; 0 gives all planes the same matrix (inputs only).
    pub plane_stride: u64,
    /// [`Element::F32`] or [`Element::F16`].
    pub element: Element,
}

/// The left side of a [`Product`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// A registered weight, by number; the same for all planes.
    Weight(u64),
    /// `rows` rows of `depth` elements.
    Memory(Matrix),
}

/// Addend of each output before its activation: floats in the guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bias {
    /// No addend.
    None,
    /// `rows` floats at this address: one for each left row.
    Left(u64),
    /// `columns` floats at this address: one for each right row.
    Right(u64),
}

/// `out[p][j][i] = f(Σₖ left[p][i][k] · right[p][j][k] + bias) + residual[p][j][i]`, where `f` is
/// the identity or GELU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// Matrices in the batch.
    pub planes: u64,
    /// Left rows: elements of an output row.
    pub rows: u64,
    /// Right rows: rows of the output.
    pub columns: u64,
    /// Elements of a left or right row.
    pub depth: u64,
    /// `rows × depth`.
    pub left: Left,
    /// `columns × depth`.
    pub right: Matrix,
    /// `columns × rows`, f32.
    pub out: Matrix,
    /// Added before `f`.
    pub bias: Bias,
    /// True if `f` is GELU in its tanh form (Hendrycks and Gimpel, arXiv:1606.08415).
    pub gelu: bool,
    /// `columns × rows`, f32; added after `f`.
    pub residual: Option<Matrix>,
}

/// `out[h][q][c] = Σₖ softmaxₖ(scale · query[h][q]·key[h][k] + mask[q][k]) · value[h][c][k]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    /// Planes of every matrix but the mask.
    pub heads: u64,
    /// Rows of `query` and `out`.
    pub queries: u64,
    /// Rows of `key`, elements of a row of `value` and `mask`.
    pub keys: u64,
    /// Elements of a row of `query`, `key` and `out`; rows of `value`.
    pub width: u64,
    /// Factor of the products, before the mask.
    pub scale: f32,
    /// `queries × width`, f32.
    pub query: Matrix,
    /// `keys × width`.
    pub key: Matrix,
    /// `width × keys`: transposed, as whisper.cpp keeps it.
    pub value: Matrix,
    /// `queries × keys`, f32, the same for all heads.
    pub mask: Option<Matrix>,
    /// `queries × width`, f32.
    pub out: Matrix,
}

/// Words of a [`Product`].
pub const PRODUCT_WORDS: usize = 24;
/// Words of an [`Attention`].
pub const ATTENTION_WORDS: usize = 25;

/// An address that no matrix has stands for one that is not there.
const ABSENT: Matrix = Matrix { address: 0, row_stride: 0, plane_stride: 0, element: Element::F32 };

impl Matrix {
    fn words(self) -> [u64; 4] {
        [self.address, self.row_stride, self.plane_stride, self.element as u64]
    }

    fn from_words(words: [u64; 4]) -> Option<Self> {
        let [address, row_stride, plane_stride, element] = words;
        let element = Element::from_raw(element).filter(|element| element.block_len() == 1)?;
        Some(Self { address, row_stride, plane_stride, element })
    }

    /// As [`from_words`](Self::from_words), where address 0 means that there is none.
    fn optional(words: [u64; 4]) -> Option<Option<Self>> {
        Self::from_words(words).map(|matrix| Some(matrix).filter(|matrix| matrix.address != 0))
    }
}

/// Takes words off a descriptor, in order.
struct Words<'a>(&'a [u64]);

impl Words<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u64; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }
}

impl Product {
    /// The descriptor.
    pub fn words(&self) -> [u64; PRODUCT_WORDS] {
        let (weight, left) = match self.left {
            Left::Weight(number) => (number + 1, ABSENT),
            Left::Memory(matrix) => (0, matrix),
        };
        let bias = match self.bias {
            Bias::None => [0, 0],
            Bias::Left(address) => [1, address],
            Bias::Right(address) => [2, address],
        };
        let mut words = [0; PRODUCT_WORDS];
        let fields = [self.planes, self.rows, self.columns, self.depth, weight];
        let rest = [left.words(), self.right.words(), self.out.words()];
        let last = self.residual.unwrap_or(ABSENT).words();
        let all = (fields.into_iter()).chain(rest.into_iter().flatten());
        let all = all.chain(bias).chain([u64::from(self.gelu)]).chain(last);
        words.iter_mut().zip(all).for_each(|(word, value)| *word = value);
        words
    }

    /// Reads a descriptor; `None` if a word means nothing. Bounds are the host's to check.
    pub fn from_words(words: &[u64; PRODUCT_WORDS]) -> Option<Self> {
        let mut words = Words(words);
        let [planes, rows, columns, depth, weight] = words.take()?;
        let left = words.take()?;
        let left = match weight.checked_sub(1) {
            Some(number) => Left::Weight(number),
            None => Left::Memory(Matrix::from_words(left)?),
        };
        let right = Matrix::from_words(words.take()?)?;
        let out = Matrix::from_words(words.take()?).filter(|out| out.element == Element::F32)?;
        let bias = match words.take()? {
            [0, _] => Bias::None,
            [1, address] => Bias::Left(address),
            [2, address] => Bias::Right(address),
            _ => return None,
        };
        let gelu = match words.take()? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let residual = Matrix::optional(words.take()?)?;
        if residual.is_some_and(|residual| residual.element != Element::F32) {
            return None;
        }
        Some(Self { planes, rows, columns, depth, left, right, out, bias, gelu, residual })
    }
}

impl Attention {
    /// The descriptor.
    pub fn words(&self) -> [u64; ATTENTION_WORDS] {
        let mut words = [0; ATTENTION_WORDS];
        let scale = u64::from(self.scale.to_bits());
        let fields = [self.heads, self.queries, self.keys, self.width, scale];
        let mask = self.mask.unwrap_or(ABSENT);
        let rest = [self.query, self.key, self.value, mask, self.out].map(Matrix::words);
        let all = fields.into_iter().chain(rest.into_iter().flatten());
        words.iter_mut().zip(all).for_each(|(word, value)| *word = value);
        words
    }

    /// Reads a descriptor; `None` if a word means nothing. Bounds are the host's to check.
    pub fn from_words(words: &[u64; ATTENTION_WORDS]) -> Option<Self> {
        let mut words = Words(words);
        let [heads, queries, keys, width, scale] = words.take()?;
        let scale = f32::from_bits(u32::try_from(scale).ok()?);
        let query = Matrix::from_words(words.take()?)?;
        let key = Matrix::from_words(words.take()?)?;
        let value = Matrix::from_words(words.take()?)?;
        let mask = Matrix::optional(words.take()?)?;
        let out = Matrix::from_words(words.take()?)?;
        let floats = [Some(query), mask, Some(out)];
        if floats.into_iter().flatten().any(|matrix| matrix.element != Element::F32) {
            return None;
        }
        Some(Self { heads, queries, keys, width, scale, query, key, value, mask, out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(seed: u64, element: Element) -> Matrix {
        Matrix { address: seed * 64, row_stride: seed * 8, plane_stride: seed * 16, element }
    }

    fn product() -> Product {
        Product {
            planes: 2,
            rows: 3,
            columns: 4,
            depth: 5,
            left: Left::Memory(matrix(1, Element::F16)),
            right: matrix(2, Element::F32),
            out: matrix(3, Element::F32),
            bias: Bias::Right(96),
            gelu: true,
            residual: Some(matrix(4, Element::F32)),
        }
    }

    fn attention() -> Attention {
        Attention {
            heads: 2,
            queries: 3,
            keys: 4,
            width: 5,
            scale: 0.125,
            query: matrix(1, Element::F32),
            key: matrix(2, Element::F16),
            value: matrix(3, Element::F16),
            mask: None,
            out: matrix(4, Element::F32),
        }
    }

    #[test]
    fn descriptors_survive_the_crossing() {
        let weight = Product { left: Left::Weight(7), bias: Bias::None, residual: None, ..product() };
        for product in [product(), weight] {
            assert_eq!(Product::from_words(&product.words()), Some(product));
        }
        let masked = Attention { mask: Some(matrix(5, Element::F32)), ..attention() };
        for attention in [attention(), masked] {
            assert_eq!(Attention::from_words(&attention.words()), Some(attention));
        }
    }

    #[test]
    fn words_without_a_meaning_are_refused() {
        let good = product().words();
        // The elements of left, right, out and residual; the kinds of bias and activation.
        for at in [8, 12, 16, 17, 19, 23] {
            let mut bad = good;
            bad[at] = 9;
            assert_eq!(Product::from_words(&bad), None, "word {at}");
        }
        let mut quantized = good;
        quantized[12] = Element::Q8_0 as u64;
        assert_eq!(Product::from_words(&quantized), None, "only weights have blocks");
        let mut wide = attention().words();
        wide[4] = 1 << 32;
        assert_eq!(Attention::from_words(&wide), None, "a scale has 32 bits");
    }
}
