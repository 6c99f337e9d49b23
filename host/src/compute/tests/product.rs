//! Products.

use half::f16;
use hearken_proto::compute::Element;

use super::reference::{Memory, Random, Weights, all, assert_near, gelu, rounded};
use crate::compute::helpers::Helpers;
use crate::compute::kernels::{Kernels, Level};
use crate::compute::packed::{Content, Packed};
use crate::compute::product::{Bias, Left, Product};
use crate::compute::rows::{Float, RowsMut};

/// Epilogue and strides of a test.
#[derive(Debug, Clone, Copy)]
struct Extras {
    bias: u32,
    gelu: bool,
    residual: bool,
}

const EXTRAS: [Extras; 4] = [
    Extras { bias: 0, gelu: false, residual: false },
    Extras { bias: 1, gelu: true, residual: false },
    Extras { bias: 2, gelu: false, residual: true },
    Extras { bias: 1, gelu: true, residual: true },
];

/// Left rows, right rows, depth.
const SHAPES: [[usize; 3]; 12] = [
    [1, 1, 1],
    [1, 7, 3],
    [5, 1, 17],
    [16, 2, 32],
    [31, 3, 33],
    [33, 13, 64],
    [32, 12, 31],
    [70, 97, 65],
    [64, 25, 513],
    [40, 100, 1100],
    [3, 5, 2085],
    [100, 8, 96],
];

const ELEMENTS: [Element; 7] =
    [Element::F32, Element::F16, Element::Q8_0, Element::Q5_0, Element::Q5_1, Element::Q4_0, Element::Q4_1];

fn run(
    kernels: &Kernels,
    left: Left<'_>,
    right: &Memory,
    rows: usize,
    extras: Extras,
    random: &mut Random,
) -> Vec<f32> {
    let columns = right.rows;
    let bias = random.floats(rows.max(columns));
    let residual = Memory::new(Float::F32, rows, 3, &random.floats(rows * columns));
    // Rows of the output are apart too, and the gaps between them are unchanged.
    let mut out = vec![f32::NAN; (rows + 5) * columns];
    // SAFETY: the rows lie in the vector.
    let to = unsafe { RowsMut::new(out.as_mut_ptr().cast(), 4 * (rows + 5), columns, rows) };
    let product = Product {
        left,
        right: right.rows(),
        out: to,
        bias: [Bias::None, Bias::Left(&bias[..rows]), Bias::Right(&bias[..columns])][extras.bias as usize],
        gelu: extras.gelu,
        residual: extras.residual.then(|| residual.rows()),
    };
    kernels.multiply(&[product], &Helpers::alone(), &|_| true).unwrap();
    assert!(out.chunks(rows + 5).all(|row| row[rows..].iter().all(|x| x.is_nan())), "wrote between rows");
    // The extras are undone in the comparison: returns the product's own part, with them.
    out.chunks(rows + 5).flat_map(|row| &row[..rows]).copied().collect()
}

/// Computes the same epilogue in f64.
fn expect(
    sum: f64,
    i: usize,
    j: usize,
    rows: usize,
    columns: usize,
    extras: Extras,
    mut random: Random,
) -> f64 {
    let bias = random.floats(rows.max(columns));
    let residual = random.floats(rows * columns);
    let sum =
        sum + [0.0, f64::from(bias[i % bias.len()]), f64::from(bias[j % bias.len()])][extras.bias as usize];
    let sum = if extras.gelu { gelu(sum) } else { sum };
    sum + if extras.residual { f64::from(residual[j * rows + i]) } else { 0.0 }
}

#[track_caller]
fn compare(
    kernels: &Kernels,
    left: Left<'_>,
    table: &[Vec<f64>],
    right: &Memory,
    extras: Extras,
    tolerance: f64,
    what: &str,
) {
    let (rows, columns) = (table.len(), right.rows);
    let got = run(kernels, left, right, rows, extras, &mut Random::new(99));
    let mut staged = right.table();
    if let Left::Weights(packed) = left
        && matches!(packed.content(), Content::Bytes { .. })
    {
        staged = staged.iter().map(|row| rounded(row)).collect();
    }
    for j in 0..columns {
        for i in 0..rows {
            let terms = table[i].iter().zip(&staged[j]).map(|(a, b)| a * b);
            let scale: f64 = 1.0 + terms.clone().map(f64::abs).sum::<f64>();
            let expected = expect(terms.sum(), i, j, rows, columns, extras, Random::new(99));
            let what = format!("{} {what} {i} {j} {rows}x{columns} {extras:?}", kernels.describe());
            assert_near(got[j * rows + i], expected, scale, tolerance, &what);
        }
    }
}

#[test]
fn weights_of_every_format() {
    for kernels in all() {
        for (n, [rows, columns, depth]) in SHAPES.into_iter().enumerate() {
            for element in ELEMENTS {
                let blocks = depth.next_multiple_of(element.block_len() as usize);
                let mut random = Random::new(n as u32);
                let weights = Weights::new(element, rows, blocks, &mut random);
                let packed = weights.packed(&kernels);
                let right_element = [Float::F32, Float::F16][n % 2];
                let right = Memory::new(right_element, blocks, n, &random.floats(blocks * columns));
                let tolerance = match (element, packed.content()) {
                    (Element::F32 | Element::F16, Content::Bytes { .. }) => 8e-3,
                    (_, Content::Fixed) => 8e-5,
                    _ => 2e-6,
                };
                let what = format!("{element:?} {blocks}");
                let extras = EXTRAS[n % 4];
                compare(&kernels, Left::Weights(&packed), &weights.table(), &right, extras, tolerance, &what);
            }
        }
    }
}

/// Sums of pairs of bytes may not be cut off at 16 bits.
#[test]
fn the_greatest_bytes() {
    let (rows, columns, depth) = (33, 7, 96);
    for kernels in all() {
        for element in &ELEMENTS[2..] {
            for byte in [0, 0x7f, 0x80, 0xff] {
                let weights = Weights::uniform(*element, rows, depth, byte);
                for value in [1.0, -1.0] {
                    let right = Memory::new(Float::F32, depth, 0, &vec![value; depth * columns]);
                    compare(
                        &kernels,
                        Left::Weights(&weights.packed(&kernels)),
                        &weights.table(),
                        &right,
                        EXTRAS[0],
                        1e-6,
                        &format!("{element:?} {byte:#x} {value}"),
                    );
                }
            }
        }
    }
}

/// No block overflows its sums, and none is rounded more than binary16 would round the right side
/// alone.
#[test]
fn fixed_point_is_no_less_exact_than_binary16() {
    let (rows, columns, depth) = (33, 14, 700);
    let mut random = Random::new(5);
    let mut spiky = random.floats(depth);
    spiky[300] = 400.0;
    let noise = random.floats(depth);
    let shapes: [(&str, &dyn Fn(usize) -> f32); 6] = [
        ("equal", &|_| 1.0),
        ("alternating", &|k| if k % 2 == 0 { 1.0 } else { -1.0 }),
        ("noise", &|k| noise[k]),
        ("a spike", &|k| spiky[k]),
        ("only a spike", &|k| if k == 511 { -3.0 } else { 0.0 }),
        ("nothing", &|_| 0.0),
    ];
    for kernels in all() {
        for (what, shape) in shapes {
            for factor in [6e-5_f32, 1.0, 100.0] {
                // Both sides alike: the greatest sum that there can be.
                let values: Vec<f32> =
                    (0..depth).map(|k| f16::from_f32(shape(k)).to_f32() * factor).collect();
                let bytes =
                    values.repeat(rows).iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
                let weights = Weights::of(Element::F16, rows, depth, bytes);
                let packed = weights.packed(&kernels);
                let fixed = kernels.level() >= Level::Avx512Vnni && !kernels.prefers_bytes();
                assert_eq!(packed.content() == Content::Fixed, fixed, "{}", kernels.describe());
                if !fixed {
                    continue;
                }
                let right = Memory::new(Float::F32, depth, 0, &values.repeat(columns));
                let got =
                    run(&kernels, Left::Weights(&packed), &right, rows, EXTRAS[0], &mut Random::new(99));
                let expected: f64 =
                    weights.table()[0].iter().zip(&values).map(|(a, b)| a * f64::from(*b)).sum();
                for got in got {
                    assert_near(got, expected, expected.abs(), 1.0 / 2048.0, &format!("{what} {factor}"));
                }
            }
        }
    }
}

#[test]
fn matrices_in_memory() {
    for kernels in all() {
        for (n, [rows, columns, depth]) in SHAPES.into_iter().enumerate() {
            for element in [Float::F32, Float::F16] {
                let mut random = Random::new(n as u32);
                let left = Memory::new(element, depth, n, &random.floats(depth * rows));
                let right = Memory::new(element, depth, 1, &random.floats(depth * columns));
                let tolerance = if kernels.bf16().is_some() { 4e-3 } else { 2e-6 };
                let extras = EXTRAS[(n + 1) % 4];
                let what = format!("{element:?} {depth}");
                compare(&kernels, Left::Memory(left.rows()), &left.table(), &right, extras, tolerance, &what);
            }
        }
    }
}

#[test]
fn values_that_are_no_numbers_reach_only_their_row_and_column() {
    for kernels in all() {
        for element in ELEMENTS {
            let (rows, columns, depth) = (40, 14, 64);
            let mut random = Random::new(1);
            let weights = Weights::new(element, rows, depth, &mut random);
            let packed: Packed = weights.packed(&kernels);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
                let mut values = random.floats(depth * columns);
                let good = Memory::new(Float::F32, depth, 0, &values);
                values[3 * depth + 5] = bad;
                let spoiled = Memory::new(Float::F32, depth, 0, &values);
                let run = |right| {
                    run(&kernels, Left::Weights(&packed), right, rows, EXTRAS[0], &mut Random::new(3))
                };
                let (good, spoiled) = (run(&good), run(&spoiled));
                let same = |row: usize| {
                    let part = row * rows..(row + 1) * rows;
                    good[part.clone()].iter().zip(&spoiled[part]).all(|(a, b)| a.to_bits() == b.to_bits())
                };
                assert!((0..columns).filter(|&row| row != 3).all(same), "{element:?} {bad}");
            }
        }
    }
}

#[test]
fn helpers_change_no_bit() {
    let helpers = Helpers::start(3).unwrap();
    for kernels in all() {
        for [rows, columns, depth] in [[384, 300, 384], [1200, 5, 1100], [4000, 1, 640], [65, 700, 1300]] {
            let mut random = Random::new(7);
            let weights = Weights::new(Element::F16, rows, depth, &mut random);
            let packed = weights.packed(&kernels);
            let right = Memory::new(Float::F32, depth, 0, &random.floats(depth * columns));
            let run = |helpers: &Helpers| {
                let mut out = vec![0.0; rows * columns];
                let product = Product {
                    left: Left::Weights(&packed),
                    right: right.rows(),
                    out: RowsMut::of(&mut out, rows),
                    bias: Bias::None,
                    gelu: true,
                    residual: None,
                };
                kernels.multiply(&[product], helpers, &|_| true).unwrap();
                out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            assert!(run(&helpers) == run(&Helpers::alone()), "{rows}x{columns}x{depth}");
        }
    }
}
