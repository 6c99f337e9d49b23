//! Does the steps of a plan.

#[cfg(test)]
mod tests;

use super::dense::{self, Addend, Dense, Matrix};
use super::kernels::elementwise::{self, Other};
use super::kernels::rows::Rows;
use super::kernels::{convolution, copy, norm, softmax};
use super::plan::{Attention, Bias, Product, Step};
use super::tensor::Tensor;
use super::{attention_tap, padding};

/// Does steps, the dense ones through `dense`.
#[derive(Default)]
pub(super) struct Runner<D> {
    dense: D,
    /// Results that cannot be made where they belong.
    aside: Vec<f32>,
    convolution: convolution::Scratch,
}

impl<D: Dense> Runner<D> {
    /// # Safety
    ///
    /// All tensors lie in memory that nobody else uses meanwhile. They overlap only where ggml lets
    /// an operation work in place.
    pub(super) unsafe fn run(&mut self, step: &Step) {
        // SAFETY: the caller's, for all that follow.
        unsafe {
            match *step {
                Step::Product(product) => self.product(&product),
                Step::Attention(attention) => self.attention(&attention),
                Step::Norm { from, epsilon, then, out } => {
                    for row in out.rows() {
                        let place = take_row(&from, &out, row);
                        match then {
                            Some([gain, bias]) => {
                                norm::normalize_with(
                                    place,
                                    epsilon,
                                    floats(&gain, [0; 3]),
                                    floats(&bias, [0; 3]),
                                );
                            }
                            None => norm::normalize(place, epsilon),
                        }
                    }
                }
                Step::Add { one, other, out } => combine(&one, &other, &out, elementwise::add),
                Step::Mul { one, other, out } => combine(&one, &other, &out, elementwise::multiply),
                Step::SoftMax { from, scale, mask, out } => {
                    for row in out.rows() {
                        let place = take_row(&from, &out, row);
                        let mask = mask.as_ref().map(|mask| floats(mask, repeated(mask, row)));
                        softmax::softmax(place, scale, mask);
                    }
                }
                Step::Gelu { from, out } => {
                    out.rows().for_each(|row| elementwise::gelu(take_row(&from, &out, row)));
                }
                Step::Scale { from, factor, offset, out } => {
                    out.rows().for_each(|row| elementwise::scale(take_row(&from, &out, row), factor, offset));
                }
                Step::Copy { from, factor, out } => copy::copy(&from, &out, factor),
                Step::Patches { from, window, out } => {
                    convolution::patches(&from, &out, window, &mut self.convolution);
                }
                Step::Rows { table, indices, out } => pick_rows(&table, &indices, &out),
                Step::Concat { one, other, axis, out } => {
                    let after = out.data.wrapping_add(one.extent[axis] * out.stride[axis]);
                    copy::copy(&one, &Tensor { extent: one.extent, ..out }, 1.0);
                    copy::copy(&other, &Tensor { extent: other.extent, data: after, ..out }, 1.0);
                }
            }
        }
    }

    /// # Safety
    ///
    /// [`run`](Self::run)'s.
    unsafe fn product(&mut self, product: &Product) {
        let out = self.place(product.out, product.aside);
        let (left, right) = (product.left, product.right);
        let [depth, columns, planes, batches] = right.extent;
        let share = planes / left.extent[2];
        // Planes that have a left matrix of their own, or the same, are one operation.
        let at_once = if share == 1 || left.extent[2] == 1 { planes } else { 1 };
        for i3 in 0..batches {
            for i2 in (0..planes).step_by(at_once) {
                let at = |tensor: &Tensor| Matrix::from(&Tensor { data: tensor.row([0, i2, i3]), ..*tensor });
                let i3_left = i3 / (batches / left.extent[3]);
                let of_left = Tensor { data: left.row([0, i2 / share, i3_left]), ..left };
                let operation = dense::Product {
                    planes: at_once,
                    rows: left.extent[1],
                    columns,
                    depth,
                    left: Matrix::from(&of_left),
                    right: at(&right),
                    out: at(&out),
                    bias: match product.bias {
                        Bias::None => Addend::None,
                        Bias::Left(bias) => Addend::Left(bias.data.cast()),
                        Bias::Right(bias) => Addend::Right(bias.data.cast()),
                    },
                    gelu: product.gelu,
                    residual: product.residual.as_ref().map(at),
                };
                // SAFETY: the tensors are the caller's, and the output overlaps no input, or lies
                // aside.
                unsafe { self.dense.product(&operation) }
            }
        }
        // SAFETY: as above.
        unsafe { deliver(&out, &product.out) }
    }

    /// # Safety
    ///
    /// [`run`](Self::run)'s.
    unsafe fn attention(&mut self, attention: &Attention) {
        // SAFETY: the caller's.
        let attention = &unsafe { padding::pass(attention) };
        let out = self.place(attention.out, attention.aside);
        let [width, queries, heads, _] = attention.query.extent;
        let operation = dense::Attention {
            heads,
            queries,
            keys: attention.key.extent[1],
            width,
            scale: attention.scale,
            query: Matrix::from(&attention.query),
            key: Matrix::from(&attention.key),
            value: Matrix::from(&attention.value),
            mask: attention.mask.as_ref().map(Matrix::from),
            out: Matrix::from(&out),
        };
        // SAFETY: the tensors are the caller's, and the output overlaps no input, or lies aside.
        unsafe {
            self.dense.attention(&operation);
            attention_tap::see(attention, &mut self.dense);
            deliver(&out, &attention.out);
        }
    }

    /// Returns the tensor for a result: `out` itself, or scratch memory.
    fn place(&mut self, out: Tensor, aside: bool) -> Tensor {
        if !aside {
            return out;
        }
        self.aside.resize(out.len(), 0.0);
        Tensor { data: self.aside.as_mut_ptr().cast(), ..out }.reshaped(out.extent)
    }
}

/// Brings a result to where it belongs.
///
/// # Safety
///
/// Both are tensors of floats in memory, of the same shape, the same or not overlapping.
unsafe fn deliver(made: &Tensor, out: &Tensor) {
    if made.data != out.data {
        // SAFETY: the caller's.
        unsafe { copy::copy(made, out, 1.0) }
    }
}

/// # Safety
///
/// A row of floats that nobody writes for `'a`.
unsafe fn floats<'a>(tensor: &Tensor, row: [usize; 3]) -> &'a [f32] {
    // SAFETY: the caller's.
    unsafe { std::slice::from_raw_parts(tensor.row(row).cast(), tensor.extent[0]) }
}

/// The output's row, holding the input's values: the same row, if the operation works in place.
///
/// # Safety
///
/// Both are tensors of floats in memory, of the same shape, the same or not overlapping; nobody
/// else uses the output for `'a`.
unsafe fn take_row<'a>(from: &Tensor, out: &Tensor, row: [usize; 3]) -> &'a mut [f32] {
    let (source, target) = (from.row(row), out.row(row));
    // SAFETY: the caller's.
    unsafe {
        if source != target {
            std::ptr::copy_nonoverlapping(source, target, out.row_bytes());
        }
        std::slice::from_raw_parts_mut(target.cast(), out.extent[0])
    }
}

/// The row of a tensor that is repeated to a larger shape.
fn repeated(tensor: &Tensor, [i1, i2, i3]: [usize; 3]) -> [usize; 3] {
    [i1 % tensor.extent[1], i2 % tensor.extent[2], i3 % tensor.extent[3]]
}

/// Applies `f` to each row of `one` and the matching row of `other`, repeated. `f` is commutative.
///
/// # Safety
///
/// [`Runner::run`]'s; all are tensors of floats.
unsafe fn combine(one: &Tensor, other: &Tensor, out: &Tensor, f: fn(&mut [f32], Other)) {
    // In place of the second operand: the same with the operands swapped.
    let swap = other.coincides(out) && other.same_layout(one);
    let (one, other) = if swap { (other, one) } else { (one, other) };
    for row in out.rows() {
        // SAFETY: the caller's; `other` is not the output, which `swap` saw to.
        unsafe {
            let place = take_row(one, out, row);
            let values = floats(other, repeated(other, row));
            f(
                place,
                if let ([value], true) = (values, place.len() > 1) {
                    Other::One(*value)
                } else {
                    Other::Row(values)
                },
            );
        }
    }
}

/// The rows of `table` that `indices` names, widened.
///
/// # Safety
///
/// [`Runner::run`]'s; `indices` are integers, `out` floats.
unsafe fn pick_rows(table: &Tensor, indices: &Tensor, out: &Tensor) {
    for place in 0..indices.extent[0] {
        // SAFETY: the caller's.
        let index: i32 = unsafe { *indices.data.cast::<i32>().wrapping_add(place) };
        // As in ggml, which ends the program: there is no such row.
        assert!((0..table.extent[1] as i32).contains(&index), "row {index} of {}", table.extent[1]);
        let len = table.extent[0];
        // SAFETY: the row is one of the table's; the output has one for each index.
        unsafe {
            let rows = Rows::new(table.data, table.stride[1], len, table.format);
            let out = std::slice::from_raw_parts_mut(out.row([place, 0, 0]).cast(), len);
            rows.widen(index as usize, 0..len, out);
        }
    }
}
