//! Products with few columns: every left row is read once, in place, and multiplied in its storage
//! format.

use std::ops::Range;

use super::super::tensor::Format;
use super::half;
use super::quant::Rounded;
use super::rows::{Row, Rows};
use super::simd::F32x4;

/// Columns of halves are multiplied by this, so that products with halves as
/// [`F32x4::widen_shrunk`] leaves them are far from both ends of a float's range: the square root
/// of what these were divided by.
const LIFT: f32 = f32::from_bits((127 + 56) << 23);

/// A column, prepared for left rows of one format.
#[derive(Default)]
pub(super) struct Column {
    /// For floats: the column. For halves: widened, and of each eight those at even places before
    /// those at odd ones.
    floats: Vec<f32>,
    /// For blocks: the rounded column.
    rounded: Rounded,
    /// A left row of a format that is widened first.
    wide: Vec<f32>,
}

impl Column {
    pub(super) fn prepare(&mut self, column: &[f32], format: Format) {
        self.floats.clear();
        match format {
            Format::Blocks(blocks) if blocks.has_integers() => self.rounded.round(column),
            Format::F16 => {
                // Sixteens, as they are multiplied: the rest stays in order.
                let (turns, rest) = column.as_chunks::<16>();
                for eight in turns.as_flattened().as_chunks::<8>().0 {
                    self.floats.extend([0, 2, 4, 6, 1, 3, 5, 7].map(|place| eight[place] * LIFT));
                }
                self.floats.extend(rest.iter().map(|value| value * LIFT));
            }
            _ => self.floats.extend_from_slice(column),
        }
    }

    /// The dot products with left rows `rows`.
    pub(super) fn dots(&mut self, left: &Rows, rows: Range<usize>, out: &mut [f32]) {
        if let Format::Blocks(blocks) = left.format() {
            for (index, out) in rows.zip(out) {
                *out = match left.row(index) {
                    Row::Blocks(row) if blocks.has_integers() => blocks.dot(row, &self.rounded),
                    _ => {
                        self.wide.resize(left.len(), 0.0);
                        left.widen(index, 0..left.len(), &mut self.wide);
                        float_dot(&self.wide, &self.floats)
                    }
                };
            }
            return;
        }
        for (index, out) in rows.zip(out) {
            *out = match left.row(index) {
                Row::F16(row) => half_dot(row, &self.floats),
                Row::F32(row) => float_dot(row, &self.floats),
                Row::Blocks(_) => 0.0,
            };
        }
    }
}

/// Dot product with a row of floats.
#[inline(always)]
fn float_dot(row: &[f32], column: &[f32]) -> f32 {
    let (turns, column_rest) = column.as_chunks::<16>();
    let (weights, row_rest) = row.as_chunks::<16>();
    let mut sums = [F32x4::zero(); 4];
    for (values, weights) in turns.iter().zip(weights) {
        let (values, weights) = (values.as_chunks::<4>().0, weights.as_chunks::<4>().0);
        for (sum, (value, weight)) in sums.iter_mut().zip(values.iter().zip(weights)) {
            *sum = sum.madd(F32x4::load(weight), F32x4::load(value));
        }
    }
    let tail: f32 = row_rest.iter().zip(column_rest).map(|(weight, value)| weight * value).sum();
    sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum() + tail
}

/// Dot product of a row of halves with a lifted column.
#[inline(always)]
fn half_dot(row: &[u16], column: &[f32]) -> f32 {
    let (turns, column_rest) = column.as_chunks::<16>();
    let (weights, row_rest) = row.as_chunks::<16>();
    let mut sums = [F32x4::zero(); 4];
    for (values, weights) in turns.iter().zip(weights) {
        let (values, weights) = (values.as_chunks::<8>().0, weights.as_chunks::<8>().0);
        for pair in 0..2 {
            let (values, _) = values[pair].as_chunks::<4>();
            let [even, odd] = F32x4::widen_shrunk(&weights[pair]);
            sums[2 * pair] = sums[2 * pair].madd(even, F32x4::load(&values[0]));
            sums[2 * pair + 1] = sums[2 * pair + 1].madd(odd, F32x4::load(&values[1]));
        }
    }
    let products = row_rest.iter().zip(column_rest).map(|(weight, value)| half::widen(*weight) * value);
    let tail: f32 = products.sum();
    sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum() * LIFT + tail / LIFT
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::{Noise, Owned};
    use super::*;

    #[test]
    fn dot_products_of_any_length_equal_the_definition() {
        let mut noise = Noise::new(4);
        for len in (1..40).chain([64, 384, 1500]) {
            for rows in [1, 2, 4, 5, 11] {
                let left = Owned::new(rows, len, 5, &mut noise);
                let values = noise.floats(len);
                for format in [Format::F32, Format::F16] {
                    let mut column = Column::default();
                    column.prepare(&values, format);
                    let mut out = vec![f32::NAN; rows];
                    column.dots(&left.rows(format), 0..rows, &mut out);
                    for (row, out) in out.iter().enumerate() {
                        let products = left.row(row).iter().zip(&values);
                        let exact: f64 = products.map(|(w, v)| f64::from(*w) * f64::from(*v)).sum();
                        assert!((f64::from(*out) - exact).abs() < 1e-5, "{format:?}, {len}: {out}, {exact}");
                    }
                }
            }
        }
    }

    #[test]
    fn columns_of_any_size_keep_their_precision() {
        let left = Owned::new(4, 64, 0, &mut Noise::new(9));
        for exponent in [-60, -20, 0, 20, 60] {
            let values = vec![2f32.powi(exponent); 64];
            let mut column = Column::default();
            column.prepare(&values, Format::F16);
            let mut out = [0.0; 4];
            column.dots(&left.rows(Format::F16), 0..4, &mut out);
            for (row, out) in out.iter().enumerate() {
                let exact = left.row(row).iter().map(|w| f64::from(*w)).sum::<f64>() * 2f64.powi(exponent);
                assert!((f64::from(*out) - exact).abs() < 1e-5 * 2f64.powi(exponent), "{out}, {exact}");
            }
        }
    }
}
