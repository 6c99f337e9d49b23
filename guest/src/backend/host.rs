//! The dense operations, done by the host.

use hearken_proto::compute::{self, Bias, Left, MAX_EXTENT, MAX_PLANES, MAX_WIDTH, MAX_WORK};

use super::dense::{Addend, Attention, Dense, Guest, Matrix, Product};
use super::tensor::{Format, Tensor};
use super::weights;

#[cfg(all(target_arch = "wasm32", not(feature = "command")))]
#[link(wasm_import_module = "hearken")]
unsafe extern "C" {
    fn product(descriptor: *const u64);
    fn attention(descriptor: *const u64);
}

/// Ends the program: where there is no host, nothing is left to it.
#[cfg(all(target_arch = "wasm32", feature = "command"))]
unsafe fn product(_: *const u64) {
    unreachable!("Kernels::Host without a host");
}

/// Ends the program, as [`product`] does.
#[cfg(all(target_arch = "wasm32", feature = "command"))]
unsafe fn attention(_: *const u64) {
    unreachable!("Kernels::Host without a host");
}

#[cfg(not(target_arch = "wasm32"))]
use tests::{attention, product};

/// The host's kernels, and the guest's for operations that the host does not support: types that it
/// does not know, and sizes beyond its bounds.
#[derive(Default)]
pub(super) struct Host {
    guest: Guest,
}

impl Dense for Host {
    unsafe fn product(&mut self, operation: &Product) {
        match describe_product(operation) {
            // SAFETY: the descriptor is alive, and the caller vouches for its addresses.
            Some(descriptor) => unsafe { product(descriptor.words().as_ptr()) },
            // SAFETY: the caller's.
            None => unsafe { self.guest.product(operation) },
        }
    }

    unsafe fn attention(&mut self, operation: &Attention) {
        match describe_attention(operation) {
            // SAFETY: the descriptor is alive, and the caller vouches for its addresses.
            Some(descriptor) => unsafe { attention(descriptor.words().as_ptr()) },
            // SAFETY: the caller's.
            None => unsafe { self.guest.attention(operation) },
        }
    }
}

/// Returns true if an operation is within the host's bounds.
fn is_within(extents: [usize; 4], factor: u64) -> bool {
    let work = extents.iter().try_fold(factor, |work, extent| work.checked_mul(*extent as u64));
    extents[0] as u64 <= MAX_PLANES
        && extents.iter().all(|extent| *extent as u64 <= MAX_EXTENT)
        && work.is_some_and(|work| work <= MAX_WORK)
}

fn describe_product(product: &Product) -> Option<compute::Product> {
    let Product { planes, rows, columns, depth, left, right, out, bias, gelu, residual } = *product;
    let whole = Tensor { data: left.data, format: left.format, extent: [1; 4], stride: [0; 4] };
    let mut whole = whole.reshaped([depth, rows, 1, 1]);
    whole.stride[1] = left.row;
    let number = if left.plane == 0 { weights::number(&whole) } else { None };
    let left = match number {
        Some(number) => Left::Weight(number),
        None => Left::Memory(matrix(left)?),
    };
    let residual = match residual {
        Some(residual) => Some(matrix(residual)?),
        None => None,
    };
    let [planes_, rows_, columns_, depth_] = [planes, rows, columns, depth].map(|extent| extent as u64);
    let bias = match bias {
        Addend::None => Bias::None,
        Addend::Left(bias) => Bias::Left(bias.addr() as u64),
        Addend::Right(bias) => Bias::Right(bias.addr() as u64),
    };
    let descriptor = compute::Product {
        planes: planes_,
        rows: rows_,
        columns: columns_,
        depth: depth_,
        left,
        right: matrix(right)?,
        out: matrix(out)?,
        bias,
        gelu,
        residual,
    };
    is_within([planes, rows, columns, depth], 1).then_some(descriptor)
}

fn describe_attention(attention: &Attention) -> Option<compute::Attention> {
    let Attention { heads, queries, keys, width, scale, query, key, value, mask, out } = *attention;
    let mask = match mask {
        Some(mask) => Some(matrix(mask)?),
        None => None,
    };
    let descriptor = compute::Attention {
        heads: heads as u64,
        queries: queries as u64,
        keys: keys as u64,
        width: width as u64,
        scale,
        query: matrix(query)?,
        key: matrix(key)?,
        value: matrix(value)?,
        mask,
        out: matrix(out)?,
    };
    (width as u64 <= MAX_WIDTH && is_within([heads, queries, keys, width], 2)).then_some(descriptor)
}

/// A matrix of floats, full or half.
fn matrix(matrix: Matrix) -> Option<compute::Matrix> {
    let element = match matrix.format {
        Format::F32 => compute::Element::F32,
        Format::F16 => compute::Element::F16,
        Format::I32 | Format::Blocks(_) => return None,
    };
    Some(compute::Matrix {
        address: matrix.data.addr() as u64,
        row_stride: matrix.row as u64,
        plane_stride: matrix.plane as u64,
        element,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use hearken_proto::compute::{ATTENTION_WORDS, PRODUCT_WORDS};

    use super::super::tensor::Format;
    use super::*;

    thread_local! {
        /// Latest descriptor that reached the host.
        static PRODUCT: Cell<Option<compute::Product>> = const { Cell::new(None) };
        static ATTENTION: Cell<Option<compute::Attention>> = const { Cell::new(None) };
    }

    pub(super) unsafe fn product(descriptor: *const u64) {
        // SAFETY: the address of that number of words.
        let words = unsafe { &*descriptor.cast::<[u64; PRODUCT_WORDS]>() };
        PRODUCT.set(compute::Product::from_words(words));
    }

    pub(super) unsafe fn attention(descriptor: *const u64) {
        // SAFETY: the address of that number of words.
        let words = unsafe { &*descriptor.cast::<[u64; ATTENTION_WORDS]>() };
        ATTENTION.set(compute::Attention::from_words(words));
    }

    fn at(values: &mut [f32], format: Format, row: usize) -> Matrix {
        Matrix { data: values.as_mut_ptr().cast(), format, row, plane: 0 }
    }

    /// Computes a product of ones, `rows × columns × depth`, on the host and in the guest.
    fn run(host: &mut Host, [rows, columns, depth]: [usize; 3], left: Matrix, right: Matrix) -> Vec<f32> {
        let mut out = vec![0.0; rows * columns];
        let operation = Product {
            planes: 1,
            rows,
            columns,
            depth,
            left,
            right,
            out: at(&mut out, Format::F32, 4 * rows),
            bias: Addend::None,
            gelu: false,
            residual: None,
        };
        // SAFETY: all lie in vectors that are long enough.
        unsafe { host.product(&operation) }
        out
    }

    #[test]
    fn weights_cross_by_number_and_all_else_by_address() {
        let mut host = Host::default();
        let (mut weight, mut right) = (vec![1.0; 12], vec![1.0; 8]);
        let left = at(&mut weight, Format::F32, 16);
        let known = Tensor { data: left.data, format: Format::F32, extent: [1; 4], stride: [0; 4] };
        weights::open();
        weights::note(&known.reshaped([4, 3, 1, 1]));
        weights::close();
        let right = at(&mut right, Format::F32, 16);
        assert_eq!(run(&mut host, [3, 2, 4], left, right), [0.0; 6], "the host, not the guest, multiplies");
        let crossed = PRODUCT.take().expect("a descriptor");
        assert_eq!((crossed.left, crossed.rows, crossed.columns, crossed.depth), (Left::Weight(0), 3, 2, 4));
        assert_eq!(crossed.right.address, right.data.addr() as u64);
        run(&mut host, [2, 2, 4], left, right);
        let crossed = PRODUCT.take().expect("a descriptor");
        assert!(matches!(crossed.left, Left::Memory(_)), "part of a weight is no weight");
    }

    #[test]
    fn operations_that_the_host_does_not_take_stay_with_the_guest() {
        let mut host = Host::default();
        let rows = MAX_EXTENT as usize + 1;
        let (mut left, mut right) = (vec![1.0; rows], vec![1.0; 1]);
        let (left, right) = (at(&mut left, Format::F32, 4), at(&mut right, Format::F32, 4));
        assert!(run(&mut host, [rows, 1, 1], left, right).iter().all(|out| *out == 1.0));
        assert_eq!(PRODUCT.take(), None);
        let side = 1 << 12;
        assert!(
            is_within([1, side, side, side], 1) && !is_within([1, 2 * side, side, side], 1),
            "too much work"
        );
        assert!(is_within([256, 1, 1, 1], 1) && !is_within([257, 1, 1, 1], 1), "too many planes");
    }

    #[test]
    fn attention_crosses_whole() {
        let mut values = vec![0.0; 64];
        let matrix = at(&mut values, Format::F32, 16);
        let half = at(&mut values, Format::F16, 16);
        let operation = Attention {
            heads: 1,
            queries: 2,
            keys: 3,
            width: 4,
            scale: 0.5,
            query: matrix,
            key: half,
            value: half,
            mask: Some(matrix),
            out: matrix,
        };
        // SAFETY: nothing is computed here.
        unsafe { Host::default().attention(&operation) }
        let crossed = ATTENTION.take().expect("a descriptor");
        assert_eq!((crossed.queries, crossed.keys, crossed.width, crossed.scale), (2, 3, 4, 0.5));
        assert_eq!((crossed.key.element, crossed.mask.is_some()), (compute::Element::F16, true));
    }
}
