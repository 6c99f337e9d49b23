//! The contract of the compute imports, checked.
//!
//! A guest asks the host for two operations on its linear memory, a matrix product and attention,
//! by the address of a descriptor ([`hearken_proto::compute`]). A guest may be controlled by an
//! attacker, so every number in a descriptor may be anything. This file decides if an operation may
//! run. It is the whole of the decision: the kernels, which are unsafe code, check nothing again.
//!
//! # What is checked
//!
//! For an operation on a memory of `memory` bytes:
//!
//! 1. **Extents.** None is 0 and none is above [`MAX_EXTENT`]; planes are at most [`MAX_PLANES`],
//!    the width of a head at most [`MAX_WIDTH`].
//! 2. **Work.** The number of multiplications is at most [`MAX_WORK`], so that one call ends in
//!    bounded time. (Its CPU time is charged besides, and it can be cancelled between tiles.)
//! 3. **Bounds.** Every matrix and vector lies in memory, from the first byte of its first row to
//!    the last byte of its last. The last byte is `address + (planes - 1) · plane_stride + (rows -
//!    1) · row_stride + row`.
//! 4. **Alignment.** Addresses and strides are multiples of the element's alignment.
//! 5. **No aliasing.** The output's range shares no byte with an input's, gaps between the output's
//!    rows included. Rows of the output share no byte with each other: threads write them
//!    concurrently. Inputs may overlap each other, and a stride of an input may be 0.
//! 6. **Weights.** A weight is named by number. The host has packed it before the guest ran, and
//!    its shape must be the product's. The weights themselves are checked once ([`weights`]): no
//!    byte belongs to two of them, so that the host's memory is bounded by the guest's.
//!
//! A violation is a [`Violation`]; it traps the guest, which costs one utterance.
//!
//! # Why it is sound
//!
//! - All arithmetic is in `u64`, with overflow refused by `checked_add` and `checked_mul`.
//! - Descriptors are copied out of guest memory before they are checked, and used only as that
//!   copy: a guest cannot change them in between. It has one thread, which waits for the call.
//! - Memory cannot shrink, and does not move during a call: the host borrows it for all of the
//!   call.
//! - Shapes alone decide which instructions run and which bytes are touched. No *value* in memory
//!   does, NaN included, so values need no check.
//! - Values of a weight that the guest overwrites are not read: the host multiplies its own copy.
//!
//! The tests below compare every decision with a model that enumerates bytes one by one;
//! `tests/bounds.rs` runs the kernels on operands that end at a page without access; and
//! `tests/fuzz` runs random operations under the address sanitizer.

use std::ops::Range;

use hearken_proto::compute::{
    Attention, Bias, Element, Left, MAX_EXTENT, MAX_PLANES, MAX_WEIGHTS, MAX_WIDTH, MAX_WORK, Matrix,
    Product, Weight,
};

/// Rule that an operation breaks. The text completes "it asked for an operation …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("whose descriptor means nothing")]
    Meaningless,
    #[error("whose {0} lies outside of its memory")]
    Outside(Operand),
    #[error("whose {0} is not aligned")]
    Misaligned(Operand),
    #[error("whose output overlaps its {0}")]
    Overlap(Operand),
    #[error("whose output's rows overlap")]
    OverlappingRows,
    #[error("with an extent out of range")]
    Extent,
    #[error("with too much work for one call")]
    TooMuchWork,
    #[error("on a weight that it did not register in this shape")]
    Weight,
    #[error("with more weights than a model has, or weights that overlap")]
    TooManyWeights,
}

/// A part of an operation, as messages call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    Left,
    Right,
    Output,
    Bias,
    Residual,
    Query,
    Key,
    Value,
    Mask,
    Weight,
}

impl std::fmt::Display for Operand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Left => "left side",
            Self::Right => "right side",
            Self::Output => "output",
            Self::Bias => "bias",
            Self::Residual => "residual",
            Self::Query => "query",
            Self::Key => "key",
            Self::Value => "value",
            Self::Mask => "mask",
            Self::Weight => "weight",
        })
    }
}

/// Checks a product on a memory of `memory` bytes, by a guest with these weights.
pub(crate) fn product(product: &Product, memory: u64, weights: &[Weight]) -> Result<(), Violation> {
    let &Product { planes, rows, columns, depth, .. } = product;
    extents(&[planes, rows, columns, depth])?;
    at_most(planes, MAX_PLANES)?;
    work(&[planes, rows, columns, depth])?;
    let out = Place { memory, planes, rows: columns, cols: rows };
    let output = out.output(&product.out)?;

    match product.left {
        Left::Weight(number) => {
            let weight = usize::try_from(number).ok().and_then(|number| weights.get(number));
            weight.filter(|weight| (weight.rows, weight.depth) == (rows, depth)).ok_or(Violation::Weight)?;
        }
        Left::Memory(left) => {
            Place { memory, planes, rows, cols: depth }.input(Operand::Left, &left, &output)?;
        }
    }
    Place { memory, planes, rows: columns, cols: depth }.input(Operand::Right, &product.right, &output)?;
    let floats = match product.bias {
        Bias::None => None,
        Bias::Left(address) => Some((address, rows)),
        Bias::Right(address) => Some((address, columns)),
    };
    if let Some((address, cols)) = floats {
        let bias = Matrix { address, row_stride: 0, plane_stride: 0, element: Element::F32 };
        Place { memory, planes: 1, rows: 1, cols }.input(Operand::Bias, &bias, &output)?;
    }
    if let Some(residual) = &product.residual {
        out.input(Operand::Residual, residual, &output)?;
    }
    Ok(())
}

/// Checks an attention on a memory of `memory` bytes.
pub(crate) fn attention(attention: &Attention, memory: u64) -> Result<(), Violation> {
    let &Attention { heads, queries, keys, width, .. } = attention;
    extents(&[heads, queries, keys, width])?;
    at_most(heads, MAX_PLANES)?;
    at_most(width, MAX_WIDTH)?;
    // Two products, each of this many multiplications.
    work(&[heads, queries, keys, width, 2])?;
    let rows_of_width = |rows| Place { memory, planes: heads, rows, cols: width };
    let output = rows_of_width(queries).output(&attention.out)?;
    rows_of_width(queries).input(Operand::Query, &attention.query, &output)?;
    rows_of_width(keys).input(Operand::Key, &attention.key, &output)?;
    let transposed = Place { memory, planes: heads, rows: width, cols: keys };
    transposed.input(Operand::Value, &attention.value, &output)?;
    if let Some(mask) = &attention.mask {
        Place { memory, planes: 1, rows: queries, cols: keys }.input(Operand::Mask, mask, &output)?;
    }
    Ok(())
}

/// Checks the descriptors of a guest's weights.
pub(crate) fn weights(weights: &[Weight], memory: u64) -> Result<(), Violation> {
    if weights.len() > MAX_WEIGHTS {
        return Err(Violation::TooManyWeights);
    }
    let mut places = Vec::with_capacity(weights.len());
    for &Weight { address, rows, depth, row_stride, element } in weights {
        extents(&[rows, depth])?;
        if !depth.is_multiple_of(element.block_len()) {
            return Err(Violation::Extent);
        }
        let matrix = Matrix { address, row_stride, plane_stride: 0, element };
        let place = Place { memory, planes: 1, rows, cols: depth };
        if rows > 1 && row_stride < place.row(element) {
            return Err(Violation::TooManyWeights);
        }
        places.push(place.range(Operand::Weight, &matrix)?);
    }
    // No byte is packed twice: the memory of the host is bounded by the guest's.
    places.sort_by_key(|place| place.start);
    if places.windows(2).any(|pair| pair[0].end > pair[1].start) {
        return Err(Violation::TooManyWeights);
    }
    Ok(())
}

fn extents(extents: &[u64]) -> Result<(), Violation> {
    if extents.iter().all(|extent| (1..=MAX_EXTENT).contains(extent)) {
        Ok(())
    } else {
        Err(Violation::Extent)
    }
}

fn at_most(extent: u64, most: u64) -> Result<(), Violation> {
    if extent <= most { Ok(()) } else { Err(Violation::Extent) }
}

fn work(factors: &[u64]) -> Result<(), Violation> {
    let work = factors.iter().try_fold(1u64, |work, &factor| work.checked_mul(factor));
    if work.is_some_and(|work| work <= MAX_WORK) { Ok(()) } else { Err(Violation::TooMuchWork) }
}

/// Shape of a matrix in an operation, and the memory that must contain it.
#[derive(Clone, Copy)]
struct Place {
    memory: u64,
    planes: u64,
    rows: u64,
    cols: u64,
}

impl Place {
    /// Bytes of a row.
    fn row(self, element: Element) -> u64 {
        // An extent is at most `MAX_EXTENT`, so this is far from the end of u64.
        self.cols / element.block_len() * element.block_bytes()
    }

    /// Range of the matrix, from its first byte to its last.
    fn range(self, operand: Operand, matrix: &Matrix) -> Result<Range<u64>, Violation> {
        let &Matrix { address, row_stride, plane_stride, element } = matrix;
        if [address, row_stride, plane_stride].iter().any(|bytes| !bytes.is_multiple_of(element.align())) {
            return Err(Violation::Misaligned(operand));
        }
        let last = || {
            let plane = (self.planes - 1).checked_mul(plane_stride)?;
            let row = (self.rows - 1).checked_mul(row_stride)?;
            address.checked_add(plane)?.checked_add(row)?.checked_add(self.row(element))
        };
        match last() {
            Some(end) if end <= self.memory => Ok(address..end),
            _ => Err(Violation::Outside(operand)),
        }
    }

    /// Checks an input: it may lie anywhere but in the output's bytes, gaps between its rows
    /// included.
    fn input(self, operand: Operand, matrix: &Matrix, output: &Range<u64>) -> Result<(), Violation> {
        let range = self.range(operand, matrix)?;
        if range.start < output.end && output.start < range.end {
            return Err(Violation::Overlap(operand));
        }
        Ok(())
    }

    /// The output: all its rows apart, either plane after plane or plane beside plane.
    fn output(self, matrix: &Matrix) -> Result<Range<u64>, Violation> {
        let range = self.range(Operand::Output, matrix)?;
        let row = self.row(matrix.element);
        // In range, so the products are, too.
        let apart = |count: u64, stride: u64, size: u64| count == 1 || stride >= size;
        let all = |count: u64, stride: u64, size: u64| (count - 1) * stride + size;
        let rows = (self.rows, matrix.row_stride);
        let planes = (self.planes, matrix.plane_stride);
        let nested = |inner: (u64, u64), outer: (u64, u64)| {
            apart(inner.0, inner.1, row) && apart(outer.0, outer.1, all(inner.0, inner.1, row))
        };
        if nested(rows, planes) || nested(planes, rows) { Ok(range) } else { Err(Violation::OverlappingRows) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const MEMORY: u64 = 96;

    fn matrix(elements: &'static [Element]) -> impl Strategy<Value = Matrix> {
        let stride = || prop_oneof![8 => 0u64..40, 1 => Just(u64::MAX), 1 => Just(1 << 63)];
        (prop_oneof![16 => 0u64..110, 1 => Just(u64::MAX - 3)], stride(), stride(), 0..elements.len())
            .prop_map(|(address, row_stride, plane_stride, element)| {
                let element = elements[element];
                // Mostly aligned, or nothing would come through.
                let round =
                    |bytes: u64| if bytes.is_multiple_of(5) { bytes } else { bytes & !(element.align() - 1) };
                Matrix {
                    address: round(address),
                    row_stride: round(row_stride),
                    plane_stride: round(plane_stride),
                    element,
                }
            })
    }

    /// Every byte of every row, by the book; `None` if one is not in memory.
    fn bytes(matrix: &Matrix, [planes, rows, cols]: [u64; 3]) -> Option<Vec<Vec<u64>>> {
        let size = u128::from(matrix.element.block_bytes());
        let mut all = Vec::new();
        for plane in 0..u128::from(planes) {
            for row in 0..u128::from(rows) {
                let start = u128::from(matrix.address)
                    + plane * u128::from(matrix.plane_stride)
                    + row * u128::from(matrix.row_stride);
                let end = start + u128::from(cols) * size;
                if end > u128::from(MEMORY) {
                    return None;
                }
                all.push((start as u64..end as u64).collect());
            }
        }
        Some(all)
    }

    /// Checks an output and inputs byte by byte.
    fn sound(output: (&Matrix, [u64; 3]), inputs: &[(&Matrix, [u64; 3])]) -> bool {
        let Some(rows) = bytes(output.0, output.1) else { return false };
        let mut written = HashSet::new();
        if !rows.into_iter().flatten().all(|byte| written.insert(byte)) {
            return false;
        }
        let mut all = inputs.to_vec();
        all.push(output);
        let aligned = |matrix: &Matrix| {
            [matrix.address, matrix.row_stride, matrix.plane_stride]
                .iter()
                .all(|bytes| bytes.is_multiple_of(matrix.element.align()))
        };
        all.iter().all(|(matrix, _)| aligned(matrix))
            && inputs.iter().all(|(matrix, shape)| {
                bytes(matrix, *shape)
                    .is_some_and(|rows| rows.into_iter().flatten().all(|byte| !written.contains(&byte)))
            })
    }

    const FLOATS: &[Element] = &[Element::F32];
    const BOTH: &[Element] = &[Element::F32, Element::F16];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn an_accepted_product_touches_only_what_it_may(
            shape in [1u64..4, 1u64..4, 1u64..4, 1u64..4],
            left in matrix(BOTH), right in matrix(BOTH), out in matrix(FLOATS),
            residual in proptest::option::of(matrix(FLOATS)),
            bias in prop_oneof![
                Just(Bias::None), (0u64..100).prop_map(Bias::Left), (0u64..100).prop_map(Bias::Right),
            ],
        ) {
            let [planes, rows, columns, depth] = shape;
            let asked = Product {
                planes, rows, columns, depth, left: Left::Memory(left), right, out, bias, gelu: false, residual,
            };
            if product(&asked, MEMORY, &[]).is_ok() {
                let float = |address| Matrix { address, row_stride: 0, plane_stride: 0, element: Element::F32 };
                let mut inputs =
                    vec![(left, [planes, rows, depth]), (right, [planes, columns, depth])];
                inputs.extend(residual.map(|residual| (residual, [planes, columns, rows])));
                inputs.extend(match bias {
                    Bias::None => None,
                    Bias::Left(address) => Some((float(address), [1, 1, rows])),
                    Bias::Right(address) => Some((float(address), [1, 1, columns])),
                });
                let inputs: Vec<_> = inputs.iter().map(|(matrix, shape)| (matrix, *shape)).collect();
                prop_assert!(sound((&out, [planes, columns, rows]), &inputs));
            }
        }

        #[test]
        fn an_accepted_attention_touches_only_what_it_may(
            shape in [1u64..3, 1u64..3, 1u64..3, 1u64..3],
            query in matrix(FLOATS), key in matrix(BOTH), value in matrix(BOTH), out in matrix(FLOATS),
            mask in proptest::option::of(matrix(FLOATS)),
        ) {
            let [heads, queries, keys, width] = shape;
            let asked = Attention { heads, queries, keys, width, scale: 1.0, query, key, value, mask, out };
            if attention(&asked, MEMORY).is_ok() {
                let mut inputs = vec![
                    (&query, [heads, queries, width]), (&key, [heads, keys, width]), (&value, [heads, width, keys]),
                ];
                inputs.extend(mask.as_ref().map(|mask| (mask, [1, queries, keys])));
                prop_assert!(sound((&out, [heads, queries, width]), &inputs));
            }
        }
    }

    /// A product that is in order: everything in its place, row after row.
    fn good() -> Product {
        let matrix =
            |address, row_stride| Matrix { address, row_stride, plane_stride: 0, element: Element::F32 };
        Product {
            planes: 1,
            rows: 2,
            columns: 2,
            depth: 1,
            left: Left::Memory(matrix(0, 4)),
            right: matrix(8, 4),
            out: matrix(16, 8),
            bias: Bias::Left(32),
            gelu: true,
            residual: Some(matrix(40, 8)),
        }
    }

    #[test]
    fn each_rule_has_its_violation() {
        let refused = |change: fn(&mut Product)| {
            let mut asked = good();
            change(&mut asked);
            product(&asked, 56, &[]).expect_err("one rule is broken")
        };
        assert_eq!(product(&good(), 56, &[]), Ok(()));
        assert_eq!(product(&good(), 55, &[]), Err(Violation::Outside(Operand::Residual)));
        assert_eq!(refused(|p| p.right.address = 56), Violation::Outside(Operand::Right));
        assert_eq!(refused(|p| p.right.row_stride = u64::MAX - 3), Violation::Outside(Operand::Right));
        assert_eq!(refused(|p| p.right.address = 9), Violation::Misaligned(Operand::Right));
        assert_eq!(refused(|p| p.right.row_stride = 2), Violation::Misaligned(Operand::Right));
        assert_eq!(refused(|p| p.right.address = 16), Violation::Overlap(Operand::Right));
        assert_eq!(refused(|p| p.bias = Bias::Right(28)), Violation::Overlap(Operand::Bias));
        assert_eq!(refused(|p| p.out.row_stride = 4), Violation::OverlappingRows);
        assert_eq!(refused(|p| p.planes = 2), Violation::OverlappingRows);
        assert_eq!(refused(|p| p.rows = 0), Violation::Extent);
        assert_eq!(refused(|p| p.depth = MAX_EXTENT + 1), Violation::Extent);
        assert_eq!(refused(|p| p.left = Left::Weight(0)), Violation::Weight);
        let large = |p: &mut Product| (p.rows, p.columns, p.depth) = (1 << 13, 1 << 13, 1 << 13);
        assert_eq!(refused(large), Violation::TooMuchWork);
    }

    #[test]
    fn a_product_takes_a_weight_only_in_its_own_shape() {
        let weight = Weight { address: 0, rows: 2, depth: 1, row_stride: 4, element: Element::F32 };
        let asked = Product { left: Left::Weight(0), ..good() };
        assert_eq!(product(&asked, 56, std::slice::from_ref(&weight)), Ok(()));
        for other in [Weight { rows: 3, ..weight.clone() }, Weight { depth: 2, ..weight.clone() }] {
            assert_eq!(product(&asked, 56, &[other]), Err(Violation::Weight));
        }
        let asked = Product { left: Left::Weight(u64::MAX), ..good() };
        assert_eq!(product(&asked, 56, &[weight]), Err(Violation::Weight));
    }

    #[test]
    fn weights_lie_apart_and_inside() {
        let weight =
            |address, rows| Weight { address, rows, depth: 32, row_stride: 34, element: Element::Q8_0 };
        assert_eq!(weights(&[weight(34, 2), weight(0, 1)], 102), Ok(()));
        assert_eq!(weights(&[weight(34, 2), weight(0, 1)], 101), Err(Violation::Outside(Operand::Weight)));
        assert_eq!(weights(&[weight(34, 2), weight(2, 1)], 102), Err(Violation::TooManyWeights));
        assert_eq!(weights(&[weight(33, 1)], 102), Err(Violation::Misaligned(Operand::Weight)));
        let odd = Weight { depth: 33, ..weight(0, 1) };
        assert_eq!(weights(&[odd], 102), Err(Violation::Extent));
        assert_eq!(weights(&vec![weight(0, 1); MAX_WEIGHTS + 1], 102), Err(Violation::TooManyWeights));
    }

    // The arithmetic, exhaustively over small numbers and the edges of u64.

    /// Small numbers, and those at which sums and products of 64 bits wrap.
    const NUMBERS: [u64; 22] = [
        0,
        1,
        2,
        3,
        4,
        6,
        8,
        12,
        16,
        20,
        24,
        28,
        (1 << 32) - 4,
        1 << 32,
        1 << 46,
        1 << 47,
        1 << 62,
        (1 << 63) - 4,
        1 << 63,
        u64::MAX - 7,
        u64::MAX - 3,
        u64::MAX,
    ];

    /// Calls `visit` with each choice of `N` of the numbers.
    fn each<const N: usize>(numbers: &[u64], mut visit: impl FnMut([u64; N])) {
        for mut index in 0..numbers.len().pow(N as u32) {
            visit(std::array::from_fn(|_| {
                let number = numbers[index % numbers.len()];
                index /= numbers.len();
                number
            }));
        }
    }

    #[test]
    fn a_range_is_accepted_if_and_only_if_it_is_aligned_and_inside() {
        let mut accepted = 0;
        for element in [Element::F32, Element::F16] {
            each(&NUMBERS, |[address, row_stride, plane_stride]| {
                let matrix = Matrix { address, row_stride, plane_stride, element };
                for planes in [1, 2, 3, MAX_PLANES] {
                    each(&[1, 2, 3, MAX_EXTENT], |[rows, cols]| {
                        let place = Place { memory: 26, planes, rows, cols };
                        let wide = u128::from;
                        let end = wide(address)
                            + wide(planes - 1) * wide(plane_stride)
                            + wide(rows - 1) * wide(row_stride)
                            + wide(cols) * wide(element.block_bytes());
                        let aligned = [address, row_stride, plane_stride]
                            .iter()
                            .all(|bytes| bytes.is_multiple_of(element.align()));
                        let expected = (aligned && end <= 26).then_some(address..end as u64);
                        accepted += u32::from(expected.is_some());
                        assert_eq!(place.range(Operand::Left, &matrix).ok(), expected, "{matrix:?}");
                    });
                }
            });
        }
        assert!(accepted > 1_000, "{accepted}");
    }

    #[test]
    fn no_two_rows_of_an_accepted_output_share_a_byte_and_no_input_reaches_into_it() {
        const SMALL: [u64; 8] = [0, 4, 8, 12, 16, 20, 24, 48];
        let mut accepted = 0;
        each(&SMALL, |[row_stride, plane_stride]| {
            let out = Matrix { address: 4, row_stride, plane_stride, element: Element::F32 };
            each(&[1, 2, 3], |shape: [u64; 3]| {
                let [planes, rows, cols] = shape;
                let place = Place { memory: MEMORY, planes, rows, cols };
                let Ok(output) = place.output(&out) else { return };
                accepted += 1;
                let alone: [(&Matrix, [u64; 3]); 0] = [];
                assert!(sound((&out, shape), &alone), "{out:?} {shape:?}");
                for address in (0..MEMORY).step_by(4) {
                    for cols in 1..=(MEMORY - address) / 4 {
                        let input = Matrix { address, row_stride: 0, plane_stride: 0, element: Element::F32 };
                        let place = Place { memory: MEMORY, planes: 1, rows: 1, cols };
                        let apart = address + 4 * cols <= output.start || output.end <= address;
                        assert_eq!(place.input(Operand::Left, &input, &output).is_ok(), apart);
                    }
                }
            });
        });
        assert!(accepted > 100, "{accepted}");
    }

    #[test]
    fn work_and_extents_are_counted_without_wrapping() {
        let numbers = [1, 2, 3, 1 << 9, 1 << 16, MAX_EXTENT, MAX_EXTENT + 1, 1 << 32, 1 << 63, u64::MAX, 0];
        each(&numbers, |factors: [u64; 4]| {
            let product = factors.iter().try_fold(1u128, |all, factor| all.checked_mul(u128::from(*factor)));
            let small = product.is_some_and(|product| product <= u128::from(MAX_WORK));
            // A factor of 0 may follow one that wraps; extents refuse it before.
            if !factors.contains(&0) {
                assert_eq!(work(&factors).is_ok(), small, "{factors:?}");
            }
            let in_range = factors.iter().all(|factor| *factor >= 1 && *factor <= MAX_EXTENT);
            assert_eq!(extents(&factors).is_ok(), in_range, "{factors:?}");
        });
    }
}
