//! Reference implementation of the operations, in f64, and the matrices that tests give them.

use half::f16;
use hearken_proto::compute::Element;

use crate::compute::blocks;
use crate::compute::kernels::{BLOCK, Kernels, Level, Precision};
use crate::compute::packed::{Packed, Raw};
use crate::compute::rows::{Float, Rows};

/// A generator of test data: xorshift.
pub(super) struct Random(u32);

impl Random {
    pub(super) fn new(seed: u32) -> Self {
        Self(seed.wrapping_mul(2_654_435_761) | 1)
    }

    pub(super) fn next(&mut self) -> u32 {
        for shift in [13_i32, -17, 5] {
            self.0 ^= if shift > 0 { self.0 << shift } else { self.0 >> -shift };
        }
        self.0
    }

    /// Number in −1..1.
    pub(super) fn float(&mut self) -> f32 {
        self.next() as i32 as f32 / 2_147_483_648.0
    }

    pub(super) fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }
}

/// Kernels of all levels and precisions.
pub(super) fn all() -> impl Iterator<Item = Kernels> {
    Level::available().flat_map(|level| {
        [Precision::Exact, Precision::Fast].map(|precision| Kernels::with(level, precision))
    })
}

/// A matrix in memory: rows that are further apart than they are long, with NaN between them.
pub(super) struct Memory {
    bytes: Vec<u32>,
    pub(super) rows: usize,
    pub(super) cols: usize,
    stride: usize,
    pub(super) element: Float,
}

impl Memory {
    pub(super) fn new(element: Float, cols: usize, gap: usize, values: &[f32]) -> Self {
        let rows = values.len() / cols;
        let stride = (cols + gap) * element.bytes();
        let stride = if element == Float::F32 { stride } else { stride.next_multiple_of(2) };
        let mut bytes = vec![u32::MAX; (rows * stride).div_ceil(4)];
        // SAFETY: words as bytes.
        let room =
            unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast::<u8>(), 4 * bytes.len()) };
        for (n, value) in values.iter().enumerate() {
            let at = n / cols * stride + n % cols * element.bytes();
            match element {
                Float::F32 => room[at..at + 4].copy_from_slice(&value.to_le_bytes()),
                Float::F16 => room[at..at + 2].copy_from_slice(&f16::from_f32(*value).to_le_bytes()),
            }
        }
        Self { bytes, rows, cols, stride, element }
    }

    pub(super) fn rows(&self) -> Rows<'_> {
        // SAFETY: the rows lie in the vector, which is borrowed.
        unsafe { Rows::new(self.bytes.as_ptr().cast(), self.stride, self.rows, self.cols, self.element) }
    }

    /// An element, as it is stored.
    pub(super) fn at(&self, row: usize, col: usize) -> f64 {
        let at = self.rows().at(row, col);
        // SAFETY: an element of the matrix.
        unsafe {
            match self.element {
                Float::F32 => f64::from(at.cast::<f32>().read()),
                Float::F16 => f16::from_bits(at.cast::<u16>().read()).to_f64(),
            }
        }
    }

    pub(super) fn table(&self) -> Vec<Vec<f64>> {
        (0..self.rows).map(|row| (0..self.cols).map(|col| self.at(row, col)).collect()).collect()
    }
}

/// Weights as a model file has them.
pub(super) struct Weights {
    pub(super) element: Element,
    pub(super) rows: usize,
    pub(super) depth: usize,
    bytes: Vec<u8>,
}

impl Weights {
    pub(super) fn new(element: Element, rows: usize, depth: usize, random: &mut Random) -> Self {
        let mut bytes = Vec::new();
        for _ in 0..rows * depth / element.block_len() as usize {
            match element {
                Element::F32 => bytes.extend(random.float().to_le_bytes()),
                Element::F16 => bytes.extend(f16::from_f32(random.float()).to_le_bytes()),
                _ => {
                    let at = bytes.len();
                    bytes.extend((0..element.block_bytes()).map(|_| random.next() as u8));
                    bytes[at..at + 2].copy_from_slice(&f16::from_f32(random.float() / 64.0).to_le_bytes());
                    if blocks::has_minimum(element) {
                        bytes[at + 2..at + 4].copy_from_slice(&f16::from_f32(random.float()).to_le_bytes());
                    }
                }
            }
        }
        Self { element, rows, depth, bytes }
    }

    /// Weights whose bytes are at hand.
    pub(super) fn of(element: Element, rows: usize, depth: usize, bytes: Vec<u8>) -> Self {
        Self { element, rows, depth, bytes }
    }

    /// Blocks whose every byte is `byte`, but for scales, and minima of 0.
    pub(super) fn uniform(element: Element, rows: usize, depth: usize, byte: u8) -> Self {
        let mut bytes = Vec::new();
        for _ in 0..rows * depth / BLOCK {
            let at = bytes.len();
            bytes.resize(at + element.block_bytes() as usize, byte);
            bytes[at..at + 2].copy_from_slice(&f16::from_f32(0.25).to_le_bytes());
            if blocks::has_minimum(element) {
                bytes[at + 2..at + 4].fill(0);
            }
        }
        Self { element, rows, depth, bytes }
    }

    pub(super) fn row(&self, row: usize) -> &[u8] {
        let bytes = self.bytes.len() / self.rows;
        &self.bytes[bytes * row..bytes * (row + 1)]
    }

    pub(super) fn packed(&self, kernels: &Kernels) -> Packed {
        let raw = Raw { element: self.element, rows: self.rows, depth: self.depth };
        Packed::pack(kernels, &[raw], |_, row| self.row(row)).remove(0)
    }

    /// Values of the elements. The minimum of each block, where blocks have one, comes after the
    /// row's end and not in its elements, since ggml multiplies it by a moment of its own; see
    /// [`rounded`].
    pub(super) fn table(&self) -> Vec<Vec<f64>> {
        (0..self.rows).map(|row| self.dequantized(self.row(row))).collect()
    }

    fn dequantized(&self, row: &[u8]) -> Vec<f64> {
        let half = |bytes: &[u8]| f16::from_le_bytes([bytes[0], bytes[1]]).to_f64();
        match self.element {
            Element::F32 => row.as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect(),
            Element::F16 => row.chunks(2).map(half).collect(),
            element => {
                let (mut all, mut minima) = (Vec::new(), Vec::new());
                for block in row.chunks(element.block_bytes() as usize) {
                    let scale = half(block);
                    let quants = &block[block.len() - if element == Element::Q8_0 { 32 } else { 16 }..];
                    for i in 0..32 {
                        let nibble = i64::from(if i < 16 { quants[i] & 15 } else { quants[i - 16] >> 4 });
                        let fifths = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap());
                        let fifth = |at: usize| i64::from(fifths(at) >> i & 1) * 16;
                        let quant = match element {
                            Element::Q8_0 => i64::from(quants[i] as i8),
                            Element::Q5_0 => nibble + fifth(2) - 16,
                            Element::Q5_1 => nibble + fifth(4),
                            Element::Q4_0 => nibble - 8,
                            _ => nibble,
                        };
                        all.push(scale * quant as f64);
                    }
                    if blocks::has_minimum(element) {
                        minima.push(half(&block[2..]));
                    }
                }
                [all, minima].concat()
            }
        }
    }
}

/// Activations as ggml rounds them for quantized weights (`quantize_row_q8_0`,
/// `quantize_row_q8_1`), then each block's moment: its sum, rounded to binary16.
pub(super) fn rounded(row: &[f64]) -> Vec<f64> {
    let (mut all, mut moments) = (Vec::new(), Vec::new());
    for block in row.chunks(32) {
        let greatest = block.iter().fold(0.0_f32, |most, &x| most.max((x as f32).abs()));
        let scale = greatest / 127.0;
        let factor = if greatest > 0.0 { 127.0 / greatest } else { 0.0 };
        let quants = block.iter().map(|&x| (x as f32 * factor).round_ties_even());
        moments.push(f16::from_f32(scale * quants.clone().sum::<f32>()).to_f64());
        all.extend(quants.map(|quant| f16::from_f32(scale).to_f64() * f64::from(quant)));
    }
    [all, moments].concat()
}

pub(super) fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
}

/// Asserts that numbers are near, relative to the magnitude of the sum.
#[track_caller]
pub(super) fn assert_near(got: f32, expected: f64, scale: f64, tolerance: f64, what: &str) {
    let error = (f64::from(got) - expected).abs() / scale.max(1e-30);
    assert!(error <= tolerance, "{what}: {got} instead of {expected}, off by {error:e} of {scale}");
}
