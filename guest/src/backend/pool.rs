//! A share of the dense operations of another instance.
//!
//! A host without kernels of its own, such as a browser's page, can give the
//! operations that a guest asks of it to several instances of this module, each with a copy of the
//! weights. The host divides an operation and writes descriptors for the parts; each instance does
//! its part on its own memory. Results do not depend on the division: each output is computed as
//! it is by one instance alone.

use std::cell::RefCell;

use hearken_proto::compute::{self, ATTENTION_WORDS, Bias, Left, PRODUCT_WORDS, Weight};

use super::dense::{Addend, Attention, Dense, Guest, Matrix, Product};
use super::weights::{self, format};

thread_local! {
    // The guest has one thread, so this is a plain static. It is not the executor's own, which is
    // in use while the host is asked.
    static DENSE: RefCell<Guest> = RefCell::default();
}

/// Does a product of this descriptor. Returns false if the descriptor means nothing.
///
/// # Safety
///
/// The descriptor names what lies in memory as [`Dense::product`] demands.
pub(crate) unsafe fn product(words: &[u64; PRODUCT_WORDS]) -> bool {
    let Some(product) = compute::Product::from_words(words).as_ref().and_then(located) else { return false };
    // SAFETY: the caller's.
    DENSE.with_borrow_mut(|dense| unsafe { dense.product(&product) });
    true
}

/// Does an attention of this descriptor. Returns false if the descriptor means nothing.
///
/// # Safety
///
/// The descriptor names what lies in memory as [`Dense::attention`] demands.
pub(crate) unsafe fn attention(words: &[u64; ATTENTION_WORDS]) -> bool {
    let Some(attention) = compute::Attention::from_words(words) else { return false };
    let compute::Attention { heads, queries, keys, width, scale, query, key, value, mask, out } = attention;
    let attention = Attention {
        heads: heads as usize,
        queries: queries as usize,
        keys: keys as usize,
        width: width as usize,
        scale,
        query: matrix(&query),
        key: matrix(&key),
        value: matrix(&value),
        mask: mask.as_ref().map(matrix),
        out: matrix(&out),
    };
    // SAFETY: the caller's.
    DENSE.with_borrow_mut(|dense| unsafe { dense.attention(&attention) });
    true
}

fn located(product: &compute::Product) -> Option<Product> {
    let left = match product.left {
        Left::Memory(left) => matrix(&left),
        Left::Weight(number) => {
            let Weight { address, row_stride, element, .. } = weights::get(number)?;
            Matrix { data: pointer(address), format: format(element), row: row_stride as usize, plane: 0 }
        }
    };
    Some(Product {
        planes: product.planes as usize,
        rows: product.rows as usize,
        columns: product.columns as usize,
        depth: product.depth as usize,
        left,
        right: matrix(&product.right),
        out: matrix(&product.out),
        bias: match product.bias {
            Bias::None => Addend::None,
            Bias::Left(address) => Addend::Left(pointer(address).cast()),
            Bias::Right(address) => Addend::Right(pointer(address).cast()),
        },
        gelu: product.gelu,
        residual: product.residual.as_ref().map(matrix),
    })
}

fn matrix(matrix: &compute::Matrix) -> Matrix {
    Matrix {
        data: pointer(matrix.address),
        format: format(matrix.element),
        row: matrix.row_stride as usize,
        plane: matrix.plane_stride as usize,
    }
}

/// An address of linear memory, which the host names.
fn pointer(address: u64) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(address as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(values: &mut [f32], row: usize) -> compute::Matrix {
        let address = values.as_mut_ptr().expose_provenance() as u64;
        compute::Matrix {
            address,
            row_stride: 4 * row as u64,
            plane_stride: 0,
            element: compute::Element::F32,
        }
    }

    /// `out[j][i] = left[i] · right[j] + bias[i]` of two parts, one of which starts at column 3.
    #[test]
    fn a_product_in_parts_is_the_product() {
        let number = |index: usize| (index * 7 % 11) as f32 - 5.0;
        let (rows, columns, depth) = (5, 8, 12);
        let mut left: Vec<f32> = (0..rows * depth).map(number).collect();
        let mut right: Vec<f32> = (0..columns * depth).map(number).collect();
        let mut bias = vec![0.5; rows];
        let mut out = [vec![0.0; rows * columns], vec![0.0; rows * columns]];
        let mut whole = compute::Product {
            planes: 1,
            rows: rows as u64,
            columns: columns as u64,
            depth: depth as u64,
            left: Left::Weight(0),
            right: at(&mut right, depth),
            out: at(&mut out[0], rows),
            bias: Bias::Left(bias.as_mut_ptr().expose_provenance() as u64),
            gelu: true,
            residual: None,
        };
        // SAFETY: the vectors above hold what the descriptors name.
        assert!(!unsafe { product(&whole.words()) }, "there is no such weight");
        let compute::Matrix { address, row_stride, element, .. } = at(&mut left, depth);
        weights::adopt(vec![Weight { address, rows: rows as u64, depth: depth as u64, row_stride, element }]);
        // SAFETY: as above.
        assert!(unsafe { product(&whole.words()) });
        for (from, to) in [(0, 3), (3, columns)] {
            whole.columns = (to - from) as u64;
            whole.right = at(&mut right[from * depth..], depth);
            whole.out = at(&mut out[1][from * rows..], rows);
            // SAFETY: as above.
            assert!(unsafe { product(&whole.words()) });
        }
        assert_eq!(out[0], out[1]);
        assert!(out[0].iter().any(|value| *value > 1.0));
        // SAFETY: nothing is computed.
        assert!(!unsafe { product(&[u64::MAX; PRODUCT_WORDS]) }, "a descriptor without meaning");
    }

    #[test]
    fn attention_of_one_head_is_that_of_both() {
        let number = |index: usize| (index * 5 % 13) as f32 / 6.0 - 1.0;
        let (queries, keys, width) = (3, 7, 4);
        let mut query: Vec<f32> = (0..2 * queries * width).map(number).collect();
        let mut key: Vec<f32> = (0..2 * keys * width).map(number).collect();
        let mut value: Vec<f32> = (0..2 * keys * width).map(number).collect();
        let mut out = [vec![0.0; 2 * queries * width], vec![0.0; 2 * queries * width]];
        let planes = |values: &mut [f32], rows: usize, row: usize| compute::Matrix {
            plane_stride: (4 * rows * row) as u64,
            ..at(values, row)
        };
        let mut all = compute::Attention {
            heads: 2,
            queries: queries as u64,
            keys: keys as u64,
            width: width as u64,
            scale: 0.5,
            query: planes(&mut query, queries, width),
            key: planes(&mut key, keys, width),
            value: planes(&mut value, width, keys),
            mask: None,
            out: planes(&mut out[0], queries, width),
        };
        // SAFETY: the vectors above hold what the descriptors name.
        assert!(unsafe { attention(&all.words()) });
        all.out.address = out[1].as_mut_ptr().expose_provenance() as u64;
        all.heads = 1;
        for _ in 0..2 {
            // SAFETY: as above.
            assert!(unsafe { attention(&all.words()) });
            for matrix in [&mut all.query, &mut all.key, &mut all.value, &mut all.out] {
                matrix.address += matrix.plane_stride;
            }
        }
        assert_eq!(out[0], out[1]);
        // SAFETY: nothing is computed.
        assert!(!unsafe { attention(&[u64::MAX; ATTENTION_WORDS]) });
    }
}
