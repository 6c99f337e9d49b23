use super::*;
use crate::backend::dense::Guest;
use crate::backend::tensor::{Axes, Format};

/// A tensor of whole numbers that grow from `first` on, over memory that the test owns.
fn tensor(memory: &mut Vec<f32>, extent: Axes, first: f32) -> Tensor {
    *memory = (0..extent.iter().product()).map(|at: usize| first + at as f32).collect();
    let data = memory.as_mut_ptr().cast();
    Tensor { data, format: Format::F32, extent, stride: [0; 4] }.reshaped(extent)
}

fn run(step: Step) {
    // SAFETY: every test owns the memory of its tensors.
    unsafe { Runner::<Guest>::default().run(&step) }
}

fn at(tensor: &Tensor, [i0, i1, i2, i3]: Axes) -> f32 {
    // SAFETY: the tests ask for elements of their tensors.
    unsafe { *tensor.row([i1, i2, i3]).cast::<f32>().add(i0) }
}

fn product(left: Tensor, right: Tensor, out: Tensor) -> Product {
    Product { left, right, bias: Bias::None, gelu: false, residual: None, out, aside: false }
}

#[test]
fn left_matrices_are_repeated_over_the_planes_of_the_right() {
    let (depth, rows, columns, planes, batches) = (3, 2, 5, 4, 6);
    // One for all, one for each pair of planes, one for each; the same for batches.
    for (own_planes, own_batches) in [(1, 1), (2, 3), (4, 6), (2, 1), (1, 2), (4, 3)] {
        let [mut one, mut two, mut three] = [const { Vec::new() }; 3];
        let left = tensor(&mut one, [depth, rows, own_planes, own_batches], -7.0);
        let right = tensor(&mut two, [depth, columns, planes, batches], 1.0);
        let out = tensor(&mut three, [rows, columns, planes, batches], 0.5);
        run(Step::Product(product(left, right, out)));
        for [j, p, b] in out.rows() {
            for i in 0..rows {
                let of_left = [p / (planes / own_planes), b / (batches / own_batches)];
                let terms =
                    (0..depth).map(|k| at(&left, [k, i, of_left[0], of_left[1]]) * at(&right, [k, j, p, b]));
                assert_eq!(
                    at(&out, [i, j, p, b]),
                    terms.sum::<f32>(),
                    "{own_planes}, {own_batches}: {p}, {b}"
                );
            }
        }
    }
}

#[test]
fn a_product_over_its_own_input_is_made_aside() {
    let (size, columns) = (8, 9);
    let [mut one, mut two, mut three] = [const { Vec::new() }; 3];
    let left = tensor(&mut one, [size, size, 1, 1], -20.0);
    let right = tensor(&mut two, [size, columns, 1, 1], -3.0);
    let elsewhere = tensor(&mut three, [size, columns, 1, 1], 0.0);
    run(Step::Product(product(left, right, elsewhere)));
    run(Step::Product(Product { residual: Some(right), aside: true, ..product(left, right, right) }));
    let before = |i: usize, j: usize| -3.0 + (j * size + i) as f32;
    for (j, i) in (0..columns).flat_map(|j| (0..size).map(move |i| (j, i))) {
        assert_eq!(at(&right, [i, j, 0, 0]), at(&elsewhere, [i, j, 0, 0]) + before(i, j));
    }
}

#[test]
fn attention_over_its_own_query_is_made_aside() {
    let (width, queries, keys, heads) = (4, 3, 5, 2);
    let [mut one, mut two, mut three, mut four] = [const { Vec::new() }; 4];
    let query = tensor(&mut one, [width, queries, heads, 1], -12.0);
    let key = tensor(&mut two, [width, keys, heads, 1], 3.0);
    let value = tensor(&mut three, [keys, width, heads, 1], 1.0);
    let elsewhere = tensor(&mut four, query.extent, 0.0);
    let attention = Attention { query, key, value, mask: None, scale: 0.01, out: elsewhere, aside: false };
    run(Step::Attention(attention));
    run(Step::Attention(Attention { out: query, aside: true, ..attention }));
    assert_eq!(one, four);
    assert!(one.iter().all(|value| (1.0..=40.0).contains(value)), "means of values: {one:?}");
}

#[test]
fn additions_repeat_the_second_and_work_in_the_place_of_either() {
    let extent = [5, 3, 2, 1];
    for other_extent in [extent, [5, 1, 1, 1], [5, 3, 1, 1], [1, 3, 2, 1], [1, 1, 1, 1]] {
        for place in 0..3 {
            if place == 2 && other_extent != extent {
                continue;
            }
            let [mut a, mut b, mut c] = [const { Vec::new() }; 3];
            let one = tensor(&mut a, extent, 1.0);
            let other = tensor(&mut b, other_extent, 100.0);
            let out = [tensor(&mut c, extent, 0.0), one, other][place];
            let expected: Vec<f32> = out
                .rows()
                .flat_map(|[i1, i2, i3]| (0..5).map(move |i0| [i0, i1, i2, i3]))
                .map(|index| {
                    let place: Axes = std::array::from_fn(|axis| index[axis] % other_extent[axis]);
                    at(&one, index) + at(&other, place)
                })
                .collect();
            run(Step::Add { one, other, out });
            let found: Vec<f32> = out
                .rows()
                .flat_map(|[i1, i2, i3]| (0..5).map(move |i0| at(&out, [i0, i1, i2, i3])))
                .collect();
            assert_eq!(found, expected, "{other_extent:?} in place {place}");
        }
    }
}

#[test]
fn masks_are_repeated_over_planes() {
    let [mut a, mut b, mut c] = [const { Vec::new() }; 3];
    let from = tensor(&mut a, [3, 2, 4, 1], 0.0);
    let mask = tensor(&mut b, [3, 2, 1, 1], 0.0);
    let out = tensor(&mut c, from.extent, 0.0);
    b[4] = f32::NEG_INFINITY;
    run(Step::SoftMax { from, scale: 1.0, mask: Some(mask), out });
    for [i1, i2, i3] in out.rows() {
        let row: Vec<f32> = (0..3).map(|i0| at(&out, [i0, i1, i2, i3])).collect();
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(row[1] == 0.0, i1 == 1, "{row:?}");
    }
}

#[test]
fn rows_are_picked_and_tensors_joined() {
    let [mut a, mut b, mut c, mut d] = [const { Vec::new() }; 4];
    let table = tensor(&mut a, [4, 6, 1, 1], 0.0);
    let mut indices = [5i32, 0, 5];
    let names =
        Tensor { data: indices.as_mut_ptr().cast(), format: Format::I32, ..table }.reshaped([3, 1, 1, 1]);
    let out = tensor(&mut b, [4, 3, 1, 1], -1.0);
    run(Step::Rows { table, indices: names, out });
    assert_eq!(b, [20.0, 21.0, 22.0, 23.0, 0.0, 1.0, 2.0, 3.0, 20.0, 21.0, 22.0, 23.0]);
    let one = tensor(&mut c, [4, 2, 1, 1], 50.0);
    for (axis, extent) in [(0, [6, 2, 1, 1]), (1, [4, 3, 1, 1])] {
        let mut rest = Vec::new();
        let other = tensor(&mut rest, if axis == 0 { [2, 2, 1, 1] } else { [4, 1, 1, 1] }, 90.0);
        let out = tensor(&mut d, extent, 0.0);
        run(Step::Concat { one, other, axis, out });
        for [i1, ..] in out.rows() {
            for i0 in 0..extent[0] {
                let mut place = [i0, i1, 0, 0];
                let is_first = place[axis] < one.extent[axis];
                place[axis] -= if is_first { 0 } else { one.extent[axis] };
                assert_eq!(at(&out, [i0, i1, 0, 0]), at(if is_first { &one } else { &other }, place));
            }
        }
    }
}
