//! One product with its epilogue: bias, GELU, residual.

use super::column::Column;
use super::elementwise::{self, Other};
use super::gemm;
use super::rows::{Row, Rows, RowsMut};

/// Fewest columns for which packing the left rows pays.
const MANY: usize = 8;

/// Left rows that few columns take turns on: as halves of 1280 elements they fit into a
/// second-level cache.
const TURN: usize = 128;

/// Addend before the activation.
#[derive(Clone, Copy)]
pub(in crate::backend) enum Bias<'a> {
    None,
    /// One value for each left row.
    Left(&'a [f32]),
    /// One value for each right row.
    Right(&'a [f32]),
}

/// Epilogue of each output: `gelu(x + bias) + residual`.
#[derive(Clone, Copy)]
pub(in crate::backend) struct Finish<'a> {
    pub(in crate::backend) bias: Bias<'a>,
    pub(in crate::backend) gelu: bool,
    pub(in crate::backend) residual: Option<Rows<'a>>,
}

impl Finish<'_> {
    /// Finishes the elements from `first` on of output row `row`.
    fn apply(&self, row: usize, first: usize, out: &mut [f32]) {
        match self.bias {
            Bias::None => {}
            Bias::Left(bias) => elementwise::add(out, Other::Row(&bias[first..first + out.len()])),
            Bias::Right(bias) => elementwise::add(out, Other::One(bias[row])),
        }
        if self.gelu {
            elementwise::gelu(out);
        }
        if let Some(Row::F32(residual)) = self.residual.map(|rows| rows.row(row)) {
            elementwise::add(out, Other::Row(&residual[first..first + out.len()]));
        }
    }
}

/// Room that is kept between products.
#[derive(Default)]
pub(in crate::backend) struct Scratch {
    gemm: gemm::Scratch,
    columns: Vec<Column>,
    wide: Vec<f32>,
}

/// Multiplies `m` left with `n` right rows: `out[j][i] = finish(left[i] · right[j])`.
pub(in crate::backend) fn multiply(
    (m, n): (usize, usize),
    left: &Rows,
    right: &Rows,
    out: &mut RowsMut,
    finish: &Finish,
    scratch: &mut Scratch,
) {
    if n >= MANY {
        let finish = |row: usize, first: usize, out: &mut [f32]| finish.apply(row, first, out);
        return gemm::multiply((m, n), left, right, out, finish, &mut scratch.gemm);
    }
    let Scratch { columns, wide, .. } = scratch;
    columns.resize_with(columns.len().max(n), Column::default);
    for (j, column) in columns.iter_mut().enumerate().take(n) {
        if let Row::F32(row) = right.row(j) {
            column.prepare(row, left.format());
        } else {
            wide.resize(right.len(), 0.0);
            right.widen(j, 0..right.len(), wide);
            column.prepare(wide, left.format());
        }
    }
    let turn = if n == 1 { m } else { TURN };
    for first in (0..m).step_by(turn) {
        let rows = first..m.min(first + turn);
        for (j, column) in columns.iter_mut().enumerate().take(n) {
            column.dots(left, rows.clone(), &mut out.row(j)[rows.clone()]);
        }
    }
    for j in 0..n {
        finish.apply(j, 0, out.row(j));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tensor::Format;
    use super::super::rows::tests::{Noise, Owned};
    use super::*;

    fn gelu(x: f64) -> f64 {
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
    }

    #[test]
    fn products_and_what_follows_equal_the_definition() {
        let mut noise = Noise::new(8);
        let mut scratch = Scratch::default();
        for (m, n, k) in
            [(1, 1, 1), (5, 1, 64), (300, 1, 33), (131, 3, 40), (9, 7, 20), (9, 8, 20), (140, 13, 530)]
        {
            for (case, format) in [Format::F32, Format::F16, Format::F16].into_iter().enumerate() {
                let (left, right) = (Owned::new(m, k, 1, &mut noise), Owned::new(n, k, 2, &mut noise));
                let (residual, mut out) = (Owned::new(n, m, 3, &mut noise), Owned::new(n, m, 0, &mut noise));
                let (lefts, rights) = (noise.floats(m), noise.floats(n));
                let bias = [Bias::None, Bias::Left(&lefts), Bias::Right(&rights)][case];
                let has_residual = case != 1;
                let residuals = has_residual.then(|| residual.rows(Format::F32));
                let finish = Finish { bias, gelu: case != 0, residual: residuals };
                let of_right = if case == 2 { Format::F16 } else { Format::F32 };
                let (one, two) = (left.rows(format), right.rows(of_right));
                multiply((m, n), &one, &two, &mut out.rows_mut(), &finish, &mut scratch);
                for (j, i) in (0..n).flat_map(|j| (0..m).map(move |i| (j, i))) {
                    let products = left.row(i).iter().zip(right.row(j));
                    let mut exact: f64 = products.map(|(w, a)| f64::from(*w) * f64::from(*a)).sum();
                    exact += f64::from([0.0, lefts[i], rights[j]][case]);
                    exact = if case == 0 { exact } else { gelu(exact) };
                    exact += if has_residual { f64::from(residual.row(j)[i]) } else { 0.0 };
                    let found = out.row(j)[i];
                    assert!(
                        (f64::from(found) - exact).abs() < 2e-5 * (k as f64).sqrt(),
                        "{m}×{n}×{k}: {found}, {exact}"
                    );
                }
            }
        }
    }
}
