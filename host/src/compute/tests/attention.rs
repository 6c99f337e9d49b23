//! Attention.

use super::reference::{Memory, Random, all, assert_near};
use crate::compute::attention::Attention;
use crate::compute::helpers::Helpers;
use crate::compute::kernels::Kernels;
use crate::compute::rows::{Float, RowsMut};

/// Queries, keys, width.
const SHAPES: [[usize; 3]; 10] = [
    [1, 1, 1],
    [1, 1500, 64],
    [5, 448, 64],
    [8, 4000, 7],
    [9, 1, 5],
    [40, 119, 64],
    [130, 121, 33],
    [33, 500, 64],
    [150, 240, 80],
    [16, 77, 256],
];

struct Head {
    query: Memory,
    key: Memory,
    value: Memory,
    mask: Option<Memory>,
}

impl Head {
    fn new([queries, keys, width]: [usize; 3], element: Float, masked: bool, random: &mut Random) -> Self {
        let mask = masked.then(|| {
            // Causal, with whole stretches masked before it; each query keeps a key.
            let values = (0..queries * keys).map(|n| {
                let (q, k) = (n / keys, n % keys);
                let hidden = k != keys - 1 && (k < keys / 2 || k > keys / 2 + q);
                if hidden { f32::NEG_INFINITY } else { random.float() }
            });
            Memory::new(Float::F32, keys, 2, &values.collect::<Vec<_>>())
        });
        let scores: Vec<f32> = random.floats(queries * width).iter().map(|x| 2.0 * x).collect();
        Self {
            query: Memory::new(Float::F32, width, 1, &scores),
            key: Memory::new(element, width, 3, &random.floats(keys * width)),
            value: Memory::new(element, keys, 5, &random.floats(keys * width)),
            mask,
        }
    }

    fn run(&self, kernels: &Kernels, helpers: &Helpers) -> Vec<f32> {
        attend(std::slice::from_ref(self), kernels, helpers)
    }

    fn reference(&self) -> Vec<f64> {
        let (query, key, value) = (self.query.table(), self.key.table(), self.value.table());
        let mut out = Vec::new();
        for (q, query) in query.iter().enumerate() {
            let scores: Vec<f64> = (key.iter().enumerate())
                .map(|(k, key)| {
                    let dot: f64 = query.iter().zip(key).map(|(a, b)| a * b).sum();
                    f64::from(0.3_f32) * dot + self.mask.as_ref().map_or(0.0, |mask| mask.at(q, k))
                })
                .collect();
            let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - greatest).exp()).collect();
            let sum: f64 = weights.iter().sum();
            out.extend(
                value.iter().map(|row| row.iter().zip(&weights).map(|(v, w)| v * w).sum::<f64>() / sum),
            );
        }
        out
    }
}

/// The outputs of some heads, one after the other.
fn attend(heads: &[Head], kernels: &Kernels, helpers: &Helpers) -> Vec<f32> {
    let (queries, width) = (heads[0].query.rows, heads[0].query.cols);
    let len = queries * (width + 1);
    let mut out = vec![f32::NAN; heads.len() * len];
    let asked: Vec<Attention<'_>> = (heads.iter().zip(out.chunks_exact_mut(len)))
        .map(|(head, out)| Attention {
            query: head.query.rows(),
            key: head.key.rows(),
            value: head.value.rows(),
            mask: head.mask.as_ref().map(Memory::rows),
            scale: 0.3,
            // SAFETY: the rows lie in the vector.
            out: unsafe { RowsMut::new(out.as_mut_ptr().cast(), 4 * (width + 1), queries, width) },
        })
        .collect();
    kernels.attend(&asked, helpers, &|_| true).unwrap();
    assert!(out.chunks(width + 1).all(|row| row[width].is_nan()), "wrote between rows");
    out.chunks(width + 1).flat_map(|row| &row[..width]).copied().collect()
}

#[test]
fn heads_that_are_read_together_are_what_each_is_by_itself() {
    let helpers = Helpers::start(2).unwrap();
    let bits = |floats: Vec<f32>| floats.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    for kernels in all() {
        for (heads, shape) in [(3, [1, 1500, 64]), (20, [8, 1600, 64]), (45, [5, 77, 33])] {
            let mut random = Random::new(7);
            let heads: Vec<Head> =
                (0..heads).map(|_| Head::new(shape, Float::F16, true, &mut random)).collect();
            let each = heads.iter().flat_map(|head| head.run(&kernels, &Helpers::alone()));
            let each = bits(each.collect());
            for helpers in [&helpers, &Helpers::alone()] {
                assert!(bits(attend(&heads, &kernels, helpers)) == each, "{} {shape:?}", kernels.describe());
            }
        }
    }
}

#[test]
fn every_shape_with_and_without_a_mask() {
    for kernels in all() {
        for (n, shape) in SHAPES.into_iter().enumerate() {
            for (element, masked) in
                [(Float::F32, false), (Float::F16, true), (Float::F16, false), (Float::F32, true)]
            {
                let head = Head::new(shape, element, masked, &mut Random::new(n as u32));
                let tolerance = if kernels.bf16().is_some() { 2e-2 } else { 5e-6 };
                for (got, expected) in head.run(&kernels, &Helpers::alone()).into_iter().zip(head.reference())
                {
                    let what = format!("{} {shape:?} {element:?} {masked}", kernels.describe());
                    assert_near(got, expected, 1.0, tolerance, &what);
                }
            }
        }
    }
}

#[test]
fn helpers_change_no_bit() {
    let helpers = Helpers::start(2).unwrap();
    for kernels in all() {
        let head = Head::new([400, 300, 64], Float::F16, false, &mut Random::new(5));
        let bits = |helpers| head.run(&kernels, helpers).into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert!(bits(&helpers) == bits(&Helpers::alone()));
    }
}
