//! The dense operations, and the guest's own way to do them.
//!
//! The operations of [`hearken_proto::compute`], which defines them, on pointers.

use super::kernels::attention::{self, Head};
use super::kernels::product::{self, Bias, Finish};
use super::kernels::rows::{Rows, RowsMut};
use super::tensor::{Format, Tensor};

/// A batch of matrices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix {
    pub(super) data: *mut u8,
    pub(super) format: Format,
    /// Bytes from one row to the next.
    pub(super) row: usize,
    /// Bytes from one plane to the next; 0 gives all planes the same matrix.
    pub(super) plane: usize,
}

impl From<&Tensor> for Matrix {
    /// The first three axes: elements, rows, planes.
    fn from(tensor: &Tensor) -> Self {
        let plane = if tensor.extent[2] == 1 { 0 } else { tensor.stride[2] };
        Self { data: tensor.data, format: tensor.format, row: tensor.stride[1], plane }
    }
}

impl Matrix {
    /// Plane `index`, of rows of `len` elements.
    ///
    /// # Safety
    ///
    /// [`Rows::new`]'s.
    unsafe fn rows<'a>(&self, index: usize, len: usize) -> Rows<'a> {
        // SAFETY: the caller's.
        unsafe { Rows::new(self.data.wrapping_add(index * self.plane), self.row, len, self.format) }
    }

    /// # Safety
    ///
    /// [`RowsMut::new`]'s.
    unsafe fn rows_mut<'a>(&self, index: usize, len: usize) -> RowsMut<'a> {
        // SAFETY: the caller's.
        unsafe { RowsMut::new(self.data.wrapping_add(index * self.plane), self.row, len) }
    }
}

/// Addend before the activation: contiguous floats.
#[derive(Debug, Clone, Copy)]
pub(super) enum Addend {
    None,
    Left(*const f32),
    Right(*const f32),
}

/// See [`hearken_proto::compute::Product`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    pub(super) planes: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) depth: usize,
    pub(super) left: Matrix,
    pub(super) right: Matrix,
    pub(super) out: Matrix,
    pub(super) bias: Addend,
    pub(super) gelu: bool,
    pub(super) residual: Option<Matrix>,
}

/// See [`hearken_proto::compute::Attention`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Attention {
    pub(super) heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) width: usize,
    pub(super) scale: f32,
    pub(super) query: Matrix,
    pub(super) key: Matrix,
    pub(super) value: Matrix,
    pub(super) mask: Option<Matrix>,
    pub(super) out: Matrix,
}

/// Backend of the dense operations.
pub(super) trait Dense {
    /// # Safety
    ///
    /// All matrices and vectors lie in memory, aligned to their elements; `out` overlaps no input,
    /// nor its rows each other; lengths of blocks are multiples of theirs. The same goes for
    /// [`attention`](Self::attention).
    unsafe fn product(&mut self, product: &Product);

    /// # Safety
    ///
    /// As for [`product`](Self::product).
    unsafe fn attention(&mut self, attention: &Attention);
}

/// The kernels of this module's sibling.
#[derive(Default)]
pub(super) struct Guest {
    products: product::Scratch,
    heads: attention::Scratch,
}

impl Dense for Guest {
    unsafe fn product(&mut self, product: &Product) {
        let Product { rows, columns, depth, .. } = *product;
        // SAFETY: the caller vouches for all of them.
        let bias = unsafe {
            match product.bias {
                Addend::None => Bias::None,
                Addend::Left(bias) => Bias::Left(std::slice::from_raw_parts(bias, rows)),
                Addend::Right(bias) => Bias::Right(std::slice::from_raw_parts(bias, columns)),
            }
        };
        for plane in 0..product.planes {
            // SAFETY: as above; planes of the output do not overlap.
            let (left, right, residual, mut out) = unsafe {
                let residual = product.residual.map(|residual| residual.rows(plane, rows));
                let (left, right) = (product.left.rows(plane, depth), product.right.rows(plane, depth));
                (left, right, residual, product.out.rows_mut(plane, rows))
            };
            let finish = Finish { bias, gelu: product.gelu, residual };
            product::multiply((rows, columns), &left, &right, &mut out, &finish, &mut self.products);
        }
    }

    unsafe fn attention(&mut self, attention: &Attention) {
        let Attention { queries, keys, width, scale, .. } = *attention;
        let planes = (0..attention.heads).map(|plane| {
            // SAFETY: the caller vouches for all of them; planes of the output do not overlap.
            unsafe {
                let head = Head {
                    queries,
                    keys,
                    scale,
                    query: attention.query.rows(plane, width),
                    key: attention.key.rows(plane, width),
                    value: attention.value.rows(plane, keys),
                    mask: attention.mask.map(|mask| mask.rows(plane, keys)),
                };
                (head, attention.out.rows_mut(plane, width))
            }
        });
        let (heads, mut outs): (Vec<_>, Vec<_>) = planes.unzip();
        attention::attend(&heads, width, &mut outs, &mut self.heads);
    }
}
