//! Nothing is read or written past the last element: matrices end where a page begins that nobody
//! may touch.

use std::ffi::c_void;
use std::ptr::null_mut;

use hearken_proto::compute::Element;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use super::reference::{Random, Weights, all};
use crate::compute::attention::Attention;
use crate::compute::helpers::Helpers;
use crate::compute::product::{Bias, Left, Product};
use crate::compute::rows::{Float, Rows, RowsMut};

const PAGE: usize = 4096;

/// A matrix whose last byte is the last of a page, and before whose first page there is none
/// either.
struct Guarded {
    map: *mut c_void,
    len: usize,
    start: *mut u8,
    rows: usize,
    cols: usize,
    element: Float,
}

impl Guarded {
    fn new(rows: usize, cols: usize, element: Float) -> Self {
        let bytes = rows * cols * element.bytes();
        let len = bytes.next_multiple_of(PAGE) + 2 * PAGE;
        // SAFETY: a new mapping, of which the first and last page are closed.
        let map = unsafe {
            let flags = ProtFlags::READ | ProtFlags::WRITE;
            let map = mmap_anonymous(null_mut(), len, flags, MapFlags::PRIVATE).unwrap();
            mprotect(map, PAGE, MprotectFlags::empty()).unwrap();
            mprotect(map.byte_add(len - PAGE), PAGE, MprotectFlags::empty()).unwrap();
            map
        };
        Self { map, len, start: map.cast::<u8>().wrapping_add(len - PAGE - bytes), rows, cols, element }
    }

    fn rows(&self) -> Rows<'_> {
        // SAFETY: contiguous rows in the mapping.
        unsafe { Rows::new(self.start, self.cols * self.element.bytes(), self.rows, self.cols, self.element) }
    }

    fn rows_mut(&mut self) -> RowsMut<'_> {
        // SAFETY: as above, and borrowed mutably.
        unsafe { RowsMut::new(self.start, self.cols * 4, self.rows, self.cols) }
    }

    fn floats(&self) -> &[f32] {
        // SAFETY: as above, zeroed by the system.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.rows * self.cols) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, to which nothing points any more.
        unsafe { munmap(self.map, self.len).unwrap() }
    }
}

#[test]
fn products_stay_inside() {
    for kernels in all() {
        for element in [Float::F32, Float::F16] {
            for [rows, columns, depth] in [[1, 1, 1], [7, 3, 5], [33, 13, 31], [47, 97, 95], [16, 5, 1030]] {
                let right = Guarded::new(columns, depth, element);
                let left = Guarded::new(rows, depth, element);
                let residual = Guarded::new(columns, rows, Float::F32);
                let bias = [Guarded::new(1, rows, Float::F32), Guarded::new(1, columns, Float::F32)];
                let weights = Weights::new(Element::F32, rows, depth, &mut Random::new(1));
                let packed = weights.packed(&kernels);
                for (left, bias) in [
                    (Left::Memory(left.rows()), Bias::Left(bias[0].floats())),
                    (Left::Weights(&packed), Bias::Right(bias[1].floats())),
                ] {
                    let mut out = Guarded::new(columns, rows, Float::F32);
                    let (residual, out) = (Some(residual.rows()), out.rows_mut());
                    let product = Product { left, right: right.rows(), out, bias, gelu: true, residual };
                    kernels.multiply(&[product], &Helpers::alone(), &|_| true).unwrap();
                }
            }
        }
    }
}

#[test]
fn attention_stays_inside() {
    for kernels in all() {
        for element in [Float::F32, Float::F16] {
            for [queries, keys, width] in [[1, 1, 1], [2, 449, 63], [9, 5, 3], [33, 121, 65], [130, 33, 64]] {
                let query = Guarded::new(queries, width, Float::F32);
                let (key, value) = (Guarded::new(keys, width, element), Guarded::new(width, keys, element));
                let mask = Guarded::new(queries, keys, Float::F32);
                let mut out = Guarded::new(queries, width, Float::F32);
                let head = Attention {
                    query: query.rows(),
                    key: key.rows(),
                    value: value.rows(),
                    mask: Some(mask.rows()),
                    scale: 1.0,
                    out: out.rows_mut(),
                };
                kernels.attend(&[head], &Helpers::alone(), &|_| true).unwrap();
            }
        }
    }
}
