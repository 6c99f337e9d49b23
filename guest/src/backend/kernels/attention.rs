//! Attention: `out[q] = Σₖ softmaxₖ(scale · query[q]·key[k] + mask[q][k]) · value[k]`, without the
//! whole matrix of scores in between.

use super::column::Column;
use super::elementwise::{self, Other};
use super::gemm::{self, MR, NR};
use super::rows::{Row, Rows, RowsMut};
use super::softmax::exponentials;

/// Queries that are worked on at once. Their scores, with 1500 keys 96 KB, stay in a second-level
/// cache.
const BLOCK: usize = 16;

/// Fewest queries for which packing keys and values pays.
const MANY: usize = 8;

/// Keys of one head that are read before those of the next one. Heads' keys lie side by side: in
/// turns, memory is read from one end to the other.
const TURN: usize = 4;

/// One attention head.
pub(in crate::backend) struct Head<'a> {
    /// Rows of `query` and of the output.
    pub(in crate::backend) queries: usize,
    /// Rows of `key`.
    pub(in crate::backend) keys: usize,
    /// Factor of the products, before the mask.
    pub(in crate::backend) scale: f32,
    /// Floats, as many in a row as in one of `key`.
    pub(in crate::backend) query: Rows<'a>,
    pub(in crate::backend) key: Rows<'a>,
    /// Transposed: a row for each element of the output's rows.
    pub(in crate::backend) value: Rows<'a>,
    /// Floats: a row for each query, an element for each key.
    pub(in crate::backend) mask: Option<Rows<'a>>,
}

/// Room that is kept between heads.
#[derive(Default)]
pub(in crate::backend) struct Scratch {
    keys: Vec<f32>,
    values: Vec<f32>,
    wide: Vec<f32>,
    scores: Vec<f32>,
    /// One column for each head.
    columns: Vec<Column>,
}

/// Writes the outputs of heads of one shape: of each `queries` rows, as long as there are rows of
/// `value`, which is `width`.
pub(in crate::backend) fn attend(
    heads: &[Head<'_>],
    width: usize,
    outs: &mut [RowsMut<'_>],
    scratch: &mut Scratch,
) {
    let Some(one) = heads.first() else { return };
    if one.queries < MANY {
        (0..one.queries).for_each(|query| attend_one(heads, query, width, outs, scratch));
    } else {
        heads.iter().zip(outs).for_each(|(head, out)| head.attend_blocks(width, out, scratch));
    }
}

/// One query of each head.
fn attend_one(
    heads: &[Head<'_>],
    query: usize,
    width: usize,
    outs: &mut [RowsMut<'_>],
    Scratch { scores, columns, .. }: &mut Scratch,
) {
    let keys = heads[0].keys;
    scores.resize(heads.len() * keys, 0.0);
    columns.resize_with(columns.len().max(heads.len()), Column::default);
    for (head, column) in heads.iter().zip(columns.iter_mut()) {
        column.prepare(head.query(query), head.key.format());
    }
    for first in (0..keys).step_by(TURN) {
        let turn = first..keys.min(first + TURN);
        for ((head, column), scores) in
            heads.iter().zip(columns.iter_mut()).zip(scores.chunks_exact_mut(keys))
        {
            column.dots(&head.key, turn.clone(), &mut scores[turn.clone()]);
        }
    }
    for (((head, column), scores), out) in
        heads.iter().zip(columns).zip(scores.chunks_exact_mut(keys)).zip(outs)
    {
        let sum = exponentials(scores, head.scale, head.mask(query));
        column.prepare(scores, head.value.format());
        let out = out.row(query);
        column.dots(&head.value, 0..width, out);
        elementwise::multiply(out, Other::One(sum.recip()));
    }
}

impl Head<'_> {
    fn query(&self, index: usize) -> &[f32] {
        floats(self.query.row(index.min(self.queries - 1)))
    }

    fn mask(&self, query: usize) -> Option<&[f32]> {
        self.mask.as_ref().map(|mask| floats(mask.row(query)))
    }

    fn attend_blocks(&self, width: usize, out: &mut RowsMut, scratch: &mut Scratch) {
        let Scratch { keys, values, wide, scores, .. } = scratch;
        let depth = self.key.len();
        gemm::pack(&self.key, 0..self.keys, 0..depth, keys, wide);
        gemm::pack(&self.value, 0..width, 0..self.keys, values, wide);
        scores.resize(BLOCK * self.keys, 0.0);
        for first in (0..self.queries).step_by(BLOCK) {
            let block = first..self.queries.min(first + BLOCK);
            for (panel, key) in keys.chunks_exact(depth * MR).zip((0..self.keys).step_by(MR)) {
                for group in block.clone().step_by(NR) {
                    let tile = gemm::kernel(panel, std::array::from_fn(|query| self.query(group + query)));
                    let end = self.keys.min(key + MR);
                    for (query, sums) in (group - first..block.len()).zip(tile) {
                        gemm::write(sums, &mut scores[query * self.keys..][key..end]);
                    }
                }
            }
            let mut factors = [0.0; BLOCK];
            for ((query, row), factor) in
                block.clone().zip(scores.chunks_exact_mut(self.keys)).zip(&mut factors)
            {
                *factor = exponentials(row, self.scale, self.mask(query)).recip();
            }
            for group in block.clone().step_by(NR) {
                let row = |query: usize| &scores[query.min(block.len() - 1) * self.keys..][..self.keys];
                let weights = std::array::from_fn(|query| row(group - first + query));
                for (panel, element) in values.chunks_exact(self.keys * MR).zip((0..width).step_by(MR)) {
                    let tile = gemm::kernel(panel, weights);
                    let end = width.min(element + MR);
                    for (query, sums) in (group..block.end).zip(tile) {
                        gemm::write(sums, &mut out.row(query)[element..end]);
                    }
                }
            }
            for (query, factor) in block.zip(factors) {
                elementwise::multiply(out.row(query), Other::One(factor));
            }
        }
    }
}

/// Queries and masks are floats.
fn floats(row: Row<'_>) -> &[f32] {
    if let Row::F32(row) = row { row } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::super::super::tensor::Format;
    use super::super::rows::tests::{Noise, Owned};
    use super::*;

    #[test]
    fn heads_of_all_shapes_equal_the_definition() {
        let mut noise = Noise::new(6);
        let mut scratch = Scratch::default();
        let shapes = [(1, 1, 1), (1, 37, 64), (5, 9, 20), (8, 8, 8), (9, 21, 7), (33, 100, 64), (17, 5, 66)];
        for (queries, keys, width) in shapes {
            for (masked, format) in [(false, Format::F16), (true, Format::F32), (true, Format::F16)] {
                let query = Owned::new(queries, width, 5, &mut noise);
                let (key, value) =
                    (Owned::new(keys, width, 2, &mut noise), Owned::new(width, keys, 1, &mut noise));
                let mut mask = Owned::new(queries, keys, 0, &mut noise);
                // Key 0 stays, or nothing would be left.
                mask.floats.iter_mut().enumerate().for_each(|(at, value)| {
                    *value = if at % keys > at % 7 { f32::NEG_INFINITY } else { 0.0 };
                });
                let mut out = Owned::new(queries, width, 4, &mut noise);
                let gaps = out.gaps();
                let head = Head {
                    queries,
                    keys,
                    scale: 3.0,
                    query: query.rows(Format::F32),
                    key: key.rows(format),
                    value: value.rows(format),
                    mask: masked.then(|| mask.rows(Format::F32)),
                };
                attend(&[head], width, &mut [out.rows_mut()], &mut scratch);
                for q in 0..queries {
                    let score = |k: usize| -> f64 {
                        let products = query.row(q).iter().zip(key.row(k));
                        let sum: f64 = products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                        3.0 * sum + if masked { f64::from(mask.row(q)[k]) } else { 0.0 }
                    };
                    let scores: Vec<f64> = (0..keys).map(score).collect();
                    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
                    for c in 0..width {
                        let terms = scores.iter().zip(value.row(c));
                        let exact: f64 = terms.map(|(s, v)| (s - largest).exp() / sum * f64::from(*v)).sum();
                        let found = out.row(q)[c];
                        assert!(
                            (f64::from(found) - exact).abs() < 1e-5,
                            "{queries}×{keys}×{width}: {found}, {exact}"
                        );
                    }
                }
                assert_eq!(out.gaps(), gaps, "nothing is written between rows");
            }
        }
    }

    #[test]
    fn heads_together_are_what_each_is_by_itself() {
        let mut noise = Noise::new(8);
        let (queries, keys, width) = (2, 37, 20);
        let mut make = |rows, len| Owned::new(rows, len, 1, &mut noise);
        let parts: Vec<[Owned; 3]> =
            (0..3).map(|_| [make(queries, width), make(keys, width), make(width, keys)]).collect();
        let heads: Vec<Head<'_>> = (parts.iter())
            .map(|[query, key, value]| Head {
                queries,
                keys,
                scale: 0.5,
                query: query.rows(Format::F32),
                key: key.rows(Format::F16),
                value: value.rows(Format::F16),
                mask: None,
            })
            .collect();
        let mut outs: Vec<Owned> = (0..6).map(|_| make(queries, width)).collect();
        let mut scratch = Scratch::default();
        let (together, alone) = outs.split_at_mut(3);
        let mut rows: Vec<_> = together.iter_mut().map(Owned::rows_mut).collect();
        attend(&heads, width, &mut rows, &mut scratch);
        for ((head, together), alone) in heads.iter().zip(together).zip(alone) {
            attend(std::slice::from_ref(head), width, &mut [alone.rows_mut()], &mut scratch);
            (0..queries).for_each(|query| assert_eq!(together.row(query), alone.row(query)));
        }
    }
}
