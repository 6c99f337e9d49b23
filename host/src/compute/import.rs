//! Operations of the compute imports, done on a guest's memory. [`check`] decides if they may run;
//! this file only follows it.

use std::sync::Arc;
use std::time::Duration;

use hearken_proto::compute::{
    ATTENTION_WORDS, Attention as AskedAttention, Bias as AskedBias, Element, Left as AskedLeft, Matrix,
    PRODUCT_WORDS, Product as AskedProduct, Weight,
};

use super::attention::Attention;
use super::cancel::Stopped;
use super::check::{self, Violation};
use super::helpers::{Busy, Helpers};
#[cfg(fuzzing)]
use super::kernels::Level;
use super::kernels::{Kernels, Precision};
use super::packed::{Packed, Raw};
use super::product::{Bias, Left, Product};
use super::rows::{Float, Rows, RowsMut};

/// Kernels and helpers for the guests of an engine.
#[derive(Clone)]
pub(crate) struct Computing {
    kernels: Arc<Kernels>,
    helpers: Arc<Helpers>,
}

impl Computing {
    /// Starts with this precision, and `helpers` threads that help where one operation is large.
    pub(crate) fn start(precision: Precision, helpers: usize) -> std::io::Result<Self> {
        Ok(Self { kernels: Arc::new(Kernels::new(precision)), helpers: Arc::new(Helpers::start(helpers)?) })
    }

    /// Starts with the kernels of a level.
    #[cfg(fuzzing)]
    pub(crate) fn with(level: Level, precision: Precision, helpers: usize) -> std::io::Result<Self> {
        let kernels = Arc::new(Kernels::with(level, precision));
        Ok(Self { kernels, helpers: Arc::new(Helpers::start(helpers)?) })
    }

    /// The instructions that are used, for people.
    pub(crate) fn describe(&self) -> &'static str {
        self.kernels.describe()
    }

    /// Packs a model's weights out of the memory of an instance in which nothing has run, into at
    /// most `limit` bytes.
    pub(crate) fn prepare(
        &self,
        weights: &[Weight],
        memory: &[u8],
        limit: u64,
    ) -> Result<Prepared, Violation> {
        Prepared::new(self, weights, memory, limit)
    }
}

/// Prepared state for the guests of one model: its packed weights, and the kernels.
pub(crate) struct Prepared {
    computing: Computing,
    weights: Vec<Weight>,
    packed: Vec<Packed>,
}

/// Why an operation was not done, or not to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// The guest broke the contract.
    Violation(Violation),
    /// The call's time is used up.
    Stopped,
}

impl From<Violation> for Rejection {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<Stopped> for Rejection {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

impl Prepared {
    fn new(computing: &Computing, weights: &[Weight], memory: &[u8], limit: u64) -> Result<Self, Violation> {
        let kernels = &computing.kernels;
        check::weights(weights, memory.len() as u64)?;
        let raw = |weight: &Weight| Raw {
            element: weight.element,
            rows: weight.rows as usize,
            depth: weight.depth as usize,
        };
        let matrices: Vec<Raw> = weights.iter().map(raw).collect();
        let mut bytes = 0u64;
        for matrix in &matrices {
            bytes += Packed::size(kernels, *matrix) as u64;
            // Rows are padded, so that many small weights could become a large one.
            if bytes > limit {
                return Err(Violation::TooManyWeights);
            }
        }
        let packed = Packed::pack(kernels, &matrices, |index, row| {
            let weight = &weights[index];
            let len = weight.depth / weight.element.block_len() * weight.element.block_bytes();
            // The range was checked.
            let start = weight.address + row as u64 * weight.row_stride;
            &memory[start as usize..(start + len) as usize]
        });
        Ok(Self { computing: computing.clone(), weights: weights.to_vec(), packed })
    }

    /// Tells that the calling thread decodes: see [`Helpers::busy`].
    pub(crate) fn busy(&self) -> Busy {
        self.computing.helpers.busy()
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        self.packed.iter().map(Packed::bytes).sum()
    }

    /// Does a product. Asks `go_on` from time to time, with the CPU time of helpers so far; returns
    /// the helpers' CPU time.
    pub(crate) fn product(
        &self,
        memory: &mut [u8],
        words: &[u64; PRODUCT_WORDS],
        go_on: &dyn Fn(Duration) -> bool,
    ) -> Result<Duration, Rejection> {
        let asked = AskedProduct::from_words(words).ok_or(Violation::Meaningless)?;
        check::product(&asked, memory.len() as u64, &self.weights)?;
        let memory = Checked::new(memory)?;
        let AskedProduct { planes, rows, columns, depth, .. } = asked;
        let products: Vec<Product<'_>> = (0..planes)
            // SAFETY: `check::product` accepted these matrices in these shapes: they lie in memory,
            // aligned, and no input shares a byte with the output, all of whose rows lie apart.
            // `memory` is borrowed for all of the call.
            .map(|plane| unsafe {
                Product {
                    left: match asked.left {
                        AskedLeft::Weight(number) => Left::Weights(&self.packed[number as usize]),
                        AskedLeft::Memory(left) => Left::Memory(memory.rows(&left, plane, rows, depth)),
                    },
                    right: memory.rows(&asked.right, plane, columns, depth),
                    out: memory.rows_mut(&asked.out, plane, columns, rows),
                    bias: match asked.bias {
                        AskedBias::None => Bias::None,
                        AskedBias::Left(address) => Bias::Left(memory.floats(address, rows)),
                        AskedBias::Right(address) => Bias::Right(memory.floats(address, columns)),
                    },
                    gelu: asked.gelu,
                    residual: asked.residual.map(|residual| memory.rows(&residual, plane, columns, rows)),
                }
            })
            .collect();
        Ok(self.computing.kernels.multiply(&products, &self.computing.helpers, go_on)?)
    }

    /// Does an attention; otherwise as [`product`](Self::product).
    pub(crate) fn attention(
        &self,
        memory: &mut [u8],
        words: &[u64; ATTENTION_WORDS],
        go_on: &dyn Fn(Duration) -> bool,
    ) -> Result<Duration, Rejection> {
        let asked = AskedAttention::from_words(words).ok_or(Violation::Meaningless)?;
        check::attention(&asked, memory.len() as u64)?;
        let memory = Checked::new(memory)?;
        let AskedAttention { heads, queries, keys, width, .. } = asked;
        let heads: Vec<Attention<'_>> = (0..heads)
            // SAFETY: as in `product`; rows of different heads of the output lie apart, too.
            .map(|head| unsafe {
                Attention {
                    query: memory.rows(&asked.query, head, queries, width),
                    key: memory.rows(&asked.key, head, keys, width),
                    value: memory.rows(&asked.value, head, width, keys),
                    // One value for all heads.
                    mask: asked.mask.map(|mask| memory.rows(&mask, 0, queries, keys)),
                    scale: asked.scale,
                    out: memory.rows_mut(&asked.out, head, queries, width),
                }
            })
            .collect();
        Ok(self.computing.kernels.attend(&heads, &self.computing.helpers, go_on)?)
    }
}

/// A guest's memory, of which an operation is allowed on some parts.
struct Checked<'a> {
    base: *mut u8,
    memory: std::marker::PhantomData<&'a mut [u8]>,
}

impl<'a> Checked<'a> {
    /// Addresses are aligned if the memory is. wasmtime's begin at a page.
    fn new(memory: &'a mut [u8]) -> Result<Self, Violation> {
        let base = memory.as_mut_ptr();
        if !base.cast::<f32>().is_aligned() {
            return Err(Violation::Misaligned(check::Operand::Output));
        }
        Ok(Self { base, memory: std::marker::PhantomData })
    }

    fn at(&self, matrix: &Matrix, plane: u64) -> *mut u8 {
        self.base.wrapping_add((matrix.address + plane * matrix.plane_stride) as usize)
    }

    /// # Safety
    ///
    /// The matrix lies in memory in this shape, aligned, and shares no byte with the result of
    /// [`Self::rows_mut`].
    unsafe fn rows(&self, matrix: &Matrix, plane: u64, rows: u64, cols: u64) -> Rows<'a> {
        let element = if matrix.element == Element::F16 { Float::F16 } else { Float::F32 };
        // SAFETY: the caller's promise.
        unsafe {
            Rows::new(
                self.at(matrix, plane),
                matrix.row_stride as usize,
                rows as usize,
                cols as usize,
                element,
            )
        }
    }

    /// # Safety
    ///
    /// As for [`Self::rows`]; and its rows lie apart.
    unsafe fn rows_mut(&self, matrix: &Matrix, plane: u64, rows: u64, cols: u64) -> RowsMut<'a> {
        // SAFETY: the caller's promise.
        unsafe {
            RowsMut::new(self.at(matrix, plane), matrix.row_stride as usize, rows as usize, cols as usize)
        }
    }

    /// # Safety
    ///
    /// Borrows `len` floats, which lie in memory, aligned, and share no byte with the result of
    /// [`Self::rows_mut`].
    unsafe fn floats(&self, address: u64, len: u64) -> &'a [f32] {
        // SAFETY: the caller's promise; every pattern of bits is a float.
        unsafe { std::slice::from_raw_parts(self.base.wrapping_add(address as usize).cast(), len as usize) }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;
    use proptest::prelude::*;

    use super::super::kernels::Level;
    use super::*;
    use crate::noise::Noise;

    /// Lays matrices into a memory that ends with the last of them.
    #[derive(Default)]
    struct Layout {
        end: u64,
    }

    impl Layout {
        /// Reserves room for a matrix, with gaps of `gap` elements after rows and planes.
        fn place(&mut self, element: Element, [planes, rows, cols]: [u64; 3], gaps: [u64; 2]) -> Matrix {
            let size = element.block_bytes();
            let row_stride = (cols + gaps[0]) * size;
            let plane_stride = rows * row_stride + gaps[1] * size;
            let address = self.end.next_multiple_of(4);
            self.end = address + (planes - 1) * plane_stride + (rows - 1) * row_stride + cols * size;
            Matrix { address, row_stride, plane_stride, element }
        }
    }

    fn read(memory: &[u8], matrix: &Matrix, [plane, row, col]: [u64; 3]) -> f64 {
        let size = matrix.element.block_bytes();
        let at =
            (matrix.address + plane * matrix.plane_stride + row * matrix.row_stride + col * size) as usize;
        match matrix.element {
            Element::F32 => f32::from_le_bytes(memory[at..at + 4].try_into().unwrap()).into(),
            _ => f16::from_le_bytes(memory[at..at + 2].try_into().unwrap()).into(),
        }
    }

    /// Small numbers everywhere, whatever is laid over them: halves of both signs, whose pairs are
    /// small floats, too.
    fn memory(len: u64, seed: u32) -> Vec<u8> {
        let mut noise = Noise(seed | 1);
        let mut half = || f16::from_f32((noise.next() >> 16) as f32 / 32_768.0 - 1.0);
        // A vector of floats begins where floats may.
        let mut bytes: Vec<u8> = Vec::with_capacity(len as usize);
        while (bytes.len() as u64) < len {
            bytes.extend_from_slice(&half().to_le_bytes());
        }
        bytes.truncate(len as usize);
        bytes
    }

    /// Writes a matrix of floats that are neither tiny nor large.
    fn fill(memory: &mut [u8], matrix: &Matrix, [planes, rows, cols]: [u64; 3], seed: u64) {
        if matrix.element != Element::F32 {
            return;
        }
        for plane in 0..planes {
            for row in 0..rows {
                for col in 0..cols {
                    let at =
                        (matrix.address + plane * matrix.plane_stride + row * matrix.row_stride + 4 * col)
                            as usize;
                    let mixed = (seed + 31 * plane + 17 * row + 7 * col).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let value = (mixed >> 40) as f32 / (1 << 23) as f32 - 1.0;
                    memory[at..at + 4].copy_from_slice(&value.to_le_bytes());
                }
            }
        }
    }

    fn element() -> impl Strategy<Value = Element> {
        prop_oneof![Just(Element::F32), Just(Element::F16)]
    }

    /// Mostly small, sometimes more than a tile or a block.
    fn extent() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 1u64..9, 2 => 1u64..40, 1 => 1u64..150]
    }

    fn computings() -> Vec<Computing> {
        let mut all = Vec::new();
        for level in Level::available() {
            for precision in [Precision::Exact, Precision::Fast] {
                let kernels = Arc::new(Kernels::with(level, precision));
                all.push(Computing { kernels, helpers: Arc::new(Helpers::start(1).unwrap()) });
            }
        }
        all
    }

    #[test]
    fn weights_that_padding_makes_too_large_are_refused() {
        for computing in computings() {
            let weight = Weight { address: 0, rows: 1, depth: 1024, row_stride: 4096, element: Element::F32 };
            let weights = [weight.clone(), Weight { address: 4096, ..weight }];
            let memory = vec![0; 8192];
            let whole = computing.prepare(&weights, &memory, u64::MAX).unwrap().bytes() as u64;
            assert!(computing.prepare(&weights, &memory, whole).is_ok());
            assert!(matches!(
                computing.prepare(&weights, &memory, whole - 1),
                Err(Violation::TooManyWeights)
            ));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::default())]

        #[test]
        fn products_are_what_the_contract_says_and_nothing_else_is_written(
            (planes, rows, columns, depth) in (1u64..3, extent(), extent(), extent()),
            (left, right) in (element(), element()),
            gaps in [[0u64..5, 0u64..5], [0u64..5, 0u64..5], [0u64..5, 0u64..5], [0u64..5, 0u64..5]],
            (bias, gelu, residual) in (0u8..3, any::<bool>(), any::<bool>()),
            (seed, out_last) in (any::<u32>(), any::<bool>()),
        ) {
            let mut layout = Layout::default();
            let out_shape = [planes, columns, rows];
            let first = (!out_last).then(|| layout.place(Element::F32, out_shape, gaps[0]));
            let left_matrix = layout.place(left, [planes, rows, depth], gaps[1]);
            let right_matrix = layout.place(right, [planes, columns, depth], gaps[2]);
            let residual = residual.then(|| layout.place(Element::F32, out_shape, gaps[3]));
            let floats = layout.place(Element::F32, [1, 1, rows.max(columns)], [0, 0]);
            let out = first.unwrap_or_else(|| layout.place(Element::F32, out_shape, gaps[0]));
            let asked = AskedProduct {
                planes, rows, columns, depth, left: AskedLeft::Memory(left_matrix), right: right_matrix, out,
                bias: match bias {
                    0 => AskedBias::None,
                    1 => AskedBias::Left(floats.address),
                    _ => AskedBias::Right(floats.address),
                },
                gelu, residual,
            };
            let mut before = memory(layout.end, seed);
            fill(&mut before, &left_matrix, [planes, rows, depth], 1);
            fill(&mut before, &right_matrix, [planes, columns, depth], 2);
            fill(&mut before, &floats, [1, 1, rows.max(columns)], 3);
            if let Some(residual) = &residual {
                fill(&mut before, residual, out_shape, 4);
            }
            for computing in computings() {
                let prepared = Prepared::new(&computing, &[], &before, u64::MAX).unwrap();
                let mut after = before.clone();
                prepared.product(&mut after, &asked.words(), &|_| true).unwrap();
                let fast = computing.kernels.describe().contains("BF16");
                let tolerance = if fast { 2e-2 } else { 1e-5 } * (depth as f64).sqrt();
                for plane in 0..planes {
                    for j in 0..columns {
                        for i in 0..rows {
                            let sum: f64 = (0..depth)
                                .map(|k| read(&before, &left_matrix, [plane, i, k]) * read(&before, &right_matrix, [plane, j, k]))
                                .sum();
                            let bias = match bias { 0 => 0.0, 1 => read(&before, &floats, [0, 0, i]), _ => read(&before, &floats, [0, 0, j]) };
                            let x = sum + bias;
                            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                            let y = if gelu { 0.5 * x * (1.0 + inner.tanh()) } else { x };
                            let expected = y + residual.as_ref().map_or(0.0, |residual| read(&before, residual, [plane, j, i]));
                            let found = read(&after, &out, [plane, j, i]);
                            prop_assert!((found - expected).abs() <= tolerance, "{}: {found} for {expected}", computing.describe());
                        }
                    }
                }
                // All other bytes are unchanged.
                for plane in 0..planes {
                    for j in 0..columns {
                        let at = (out.address + plane * out.plane_stride + j * out.row_stride) as usize;
                        let row = at..at + 4 * rows as usize;
                        let old = before[row.clone()].to_vec();
                        after[row].copy_from_slice(&old);
                    }
                }
                prop_assert!(after == before, "{}: something else was written", computing.describe());
            }
        }

        #[test]
        fn attention_is_what_the_contract_says_and_nothing_else_is_written(
            (heads, queries, keys, width) in (1u64..3, extent(), extent(), prop_oneof![1u64..20, Just(64), Just(80)]),
            (key, value) in (element(), element()),
            gaps in [[0u64..5, 0u64..5], [0u64..5, 0u64..5], [0u64..5, 0u64..5], [0u64..5, 0u64..5]],
            (masked, out_last, seed) in (any::<bool>(), any::<bool>(), any::<u32>()),
        ) {
            let mut layout = Layout::default();
            let shape = [heads, queries, width];
            let first = (!out_last).then(|| layout.place(Element::F32, shape, gaps[0]));
            let query = layout.place(Element::F32, shape, gaps[1]);
            let key = layout.place(key, [heads, keys, width], gaps[2]);
            let value = layout.place(value, [heads, width, keys], gaps[3]);
            let mask = masked.then(|| layout.place(Element::F32, [1, queries, keys], gaps[3]));
            let out = first.unwrap_or_else(|| layout.place(Element::F32, shape, gaps[0]));
            let scale = 0.5f32;
            let asked = AskedAttention { heads, queries, keys, width, scale, query, key, value, mask, out };
            let mut before = memory(layout.end, seed);
            fill(&mut before, &query, shape, 1);
            fill(&mut before, &key, [heads, keys, width], 2);
            fill(&mut before, &value, [heads, width, keys], 3);
            if let Some(mask) = &mask {
                fill(&mut before, mask, [1, queries, keys], 4);
            }
            for computing in computings() {
                let prepared = Prepared::new(&computing, &[], &before, u64::MAX).unwrap();
                let mut after = before.clone();
                prepared.attention(&mut after, &asked.words(), &|_| true).unwrap();
                let tolerance = if computing.kernels.describe().contains("BF16") { 3e-2 } else { 1e-4 };
                for head in 0..heads {
                    for q in 0..queries {
                        let scores: Vec<f64> = (0..keys)
                            .map(|k| {
                                let dot: f64 = (0..width)
                                    .map(|c| read(&before, &query, [head, q, c]) * read(&before, &key, [head, k, c]))
                                    .sum();
                                f64::from(scale) * dot + mask.as_ref().map_or(0.0, |mask| read(&before, mask, [0, q, k]))
                            })
                            .collect();
                        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                        let weights: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
                        let mass: f64 = weights.iter().sum();
                        for c in 0..width {
                            let expected: f64 =
                                (0..keys).map(|k| weights[k as usize] / mass * read(&before, &value, [head, c, k])).sum();
                            let found = read(&after, &out, [head, q, c]);
                            prop_assert!((found - expected).abs() <= tolerance, "{}: {found} for {expected}", computing.describe());
                        }
                        let at = (out.address + head * out.plane_stride + q * out.row_stride) as usize;
                        let row = at..at + 4 * width as usize;
                        let old = before[row.clone()].to_vec();
                        after[row].copy_from_slice(&old);
                    }
                }
                prop_assert!(after == before, "{}: something else was written", computing.describe());
            }
        }
    }
}
