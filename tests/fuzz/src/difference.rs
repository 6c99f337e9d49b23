//! One operation by the kernels of every instruction set, in both precisions: they must agree.

use std::cell::RefCell;

use half::f16;
use hearken_proto::compute::{ATTENTION_WORDS, Bias, Element, Left, Matrix, PRODUCT_WORDS, Weight};

use crate::compute::{Computing, Level, Precision};
use crate::descriptors::{MEMORY, Numbers};
use crate::random::SplitMix64;

thread_local! {
    /// The portable, exact ones are the first.
    static COMPUTING: RefCell<Vec<(Precision, Computing)>> = RefCell::new(
        Level::available()
            .flat_map(|level| [Precision::Exact, Precision::Fast].map(|precision| (level, precision)))
            .map(|(level, precision)| (precision, Computing::with(level, precision, 1).expect("a thread")))
            .collect(),
    );
}

/// An operation, as a guest writes it.
enum Asked {
    Product([u64; PRODUCT_WORDS]),
    Attention([u64; ATTENTION_WORDS]),
}

/// Numbers from -1 to 1.
struct Random(SplitMix64);

impl Random {
    fn float(&mut self) -> f32 {
        (self.0.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Fills a matrix.
    fn fill(&mut self, memory: &mut [u8], matrix: &Matrix, planes: u64, rows: u64, cols: u64) {
        let bytes = matrix.element.block_bytes();
        for (plane, row) in (0..planes).flat_map(|plane| (0..rows).map(move |row| (plane, row))) {
            for col in 0..cols {
                let at = matrix.address + plane * matrix.plane_stride + row * matrix.row_stride + col * bytes;
                let value = self.float();
                // Beyond the memory the operation is to be refused.
                let Some(place) = memory.get_mut(at as usize..(at + bytes) as usize) else { return };
                match matrix.element {
                    Element::F16 => place.copy_from_slice(&f16::from_f32(value).to_le_bytes()),
                    _ => place.copy_from_slice(&value.to_le_bytes()),
                }
            }
        }
    }

    /// Fills a weight. Of blocks all bytes are possible, but for the scale and the minimum, with
    /// which values are from -1 to 1.
    fn fill_weight(&mut self, memory: &mut [u8], weight: &Weight) {
        let (scale, minimum) = match weight.element {
            Element::F32 | Element::F16 => {
                let matrix = Matrix {
                    address: weight.address,
                    row_stride: weight.row_stride,
                    plane_stride: 0,
                    element: weight.element,
                };
                return self.fill(memory, &matrix, 1, weight.rows, weight.depth);
            }
            Element::Q8_0 => (1.0 / 128.0, None),
            Element::Q5_0 => (1.0 / 16.0, None),
            Element::Q5_1 => (1.0 / 16.0, Some(-1.0)),
            Element::Q4_0 => (1.0 / 8.0, None),
            Element::Q4_1 => (1.0 / 8.0, Some(-1.0)),
        };
        let blocks = weight.rows * weight.row_stride / weight.element.block_bytes();
        let place = &mut memory[weight.address as usize..];
        for block in place.chunks_exact_mut(weight.element.block_bytes() as usize).take(blocks as usize) {
            block.fill_with(|| self.0.next_u64() as u8);
            block[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
            if let Some(minimum) = minimum {
                block[2..4].copy_from_slice(&f16::from_f32(minimum).to_le_bytes());
            }
        }
    }
}

/// Runs an operation that is in order.
///
/// # Panics
///
/// When one kernel refuses what another does, or their results are further apart than rounding
/// explains.
pub fn compare(data: &[u8]) {
    let mut numbers = Numbers(data);
    let is_product = numbers.next() % 3 > 0;
    let mut random = Random(SplitMix64::new(numbers.next()));
    let mut loaded = vec![0; MEMORY];
    let weights: Vec<Weight> = (0..1).filter_map(|index| numbers.weight(index)).collect();
    weights.iter().for_each(|weight| random.fill_weight(&mut loaded, weight));
    let mut memory = vec![0; MEMORY];
    let (asked, out, extents, tolerances) = if is_product {
        let asked = numbers.product(&weights);
        let [planes, rows, columns, depth] = [asked.planes, asked.rows, asked.columns, asked.depth];
        let mut is_quantized = false;
        match &asked.left {
            Left::Memory(left) => random.fill(&mut memory, left, planes, rows, depth),
            Left::Weight(index) => is_quantized = weights[*index as usize].element.block_len() > 1,
        }
        random.fill(&mut memory, &asked.right, planes, columns, depth);
        if let Some(residual) = &asked.residual {
            random.fill(&mut memory, residual, planes, columns, rows);
        }
        if let Bias::Left(address) | Bias::Right(address) = asked.bias {
            let matrix = Matrix { address, row_stride: 0, plane_stride: 0, element: Element::F32 };
            random.fill(&mut memory, &matrix, 1, 1, rows.max(columns));
        }
        // A term of two numbers rounded to 11 bits, or to 8.
        let (floats, bytes) = (1e-3 + 3e-4 * depth as f32, 0.02 + 4e-3 * depth as f32);
        let tolerances = [if is_quantized { bytes } else { floats }, bytes];
        (Asked::Product(asked.words()), asked.out, [planes, columns, rows], tolerances)
    } else {
        let asked = numbers.attention();
        let [heads, queries, keys, width] = [asked.heads, asked.queries, asked.keys, asked.width];
        random.fill(&mut memory, &asked.query, heads, queries, width);
        random.fill(&mut memory, &asked.key, heads, keys, width);
        random.fill(&mut memory, &asked.value, heads, width, keys);
        if let Some(mask) = &asked.mask {
            random.fill(&mut memory, mask, 1, queries, keys);
        }
        (Asked::Attention(asked.words()), asked.out, [heads, queries, width], [2e-3, 3e-2])
    };
    COMPUTING.with_borrow(|all| {
        let mut first: Option<Result<Vec<f32>, String>> = None;
        for (precision, computing) in all {
            let prepared = computing.prepare(&weights, &loaded, 1 << 24).expect("weights in order");
            let mut memory = memory.clone();
            let done = match &asked {
                Asked::Product(words) => prepared.product(&mut memory, words, &|_| true),
                Asked::Attention(words) => prepared.attention(&mut memory, words, &|_| true),
            };
            let result = done.map(|_| read(&memory, &out, extents)).map_err(|error| format!("{error:?}"));
            let Some(first) = &first else {
                first = Some(result);
                continue;
            };
            let name = computing.describe();
            match (first, &result) {
                (Ok(first), Ok(result)) => {
                    let tolerance = tolerances[usize::from(*precision == Precision::Fast)];
                    for (index, (first, result)) in first.iter().zip(result).enumerate() {
                        assert!(
                            (first - result).abs() <= tolerance,
                            "{name}, {precision:?}, {extents:?}, {index}: {result} instead of {first}, more than {tolerance}"
                        );
                    }
                }
                (first, result) => assert_eq!(first, result, "{name}, {precision:?}"),
            }
        }
    });
}

/// The numbers of a result.
fn read(memory: &[u8], out: &Matrix, [planes, rows, cols]: [u64; 3]) -> Vec<f32> {
    let mut all = Vec::new();
    for (plane, row) in (0..planes).flat_map(|plane| (0..rows).map(move |row| (plane, row))) {
        let at = (out.address + plane * out.plane_stride + row * out.row_stride) as usize;
        let (floats, _) = memory[at..at + 4 * cols as usize].as_chunks();
        all.extend(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)));
    }
    all
}
