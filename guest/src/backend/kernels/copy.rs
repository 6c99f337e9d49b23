//! Copies from one layout or type to another.

use super::super::tensor::Tensor;
use super::half;
use super::simd::F32x4;

/// Rows and columns of a tile that is transposed at once.
const TILE: usize = 8;

/// Copies floats, full or half, between tensors of the same extents, and multiplies them by
/// `factor` on the way.
///
/// # Safety
///
/// Both tensors lie in memory that is theirs, aligned to their elements, and do not overlap.
pub(in crate::backend) unsafe fn copy(from: &Tensor, to: &Tensor, factor: f32) {
    if from.has_whole_rows() && to.has_whole_rows() {
        for row in from.rows() {
            // SAFETY: a row of each lies in its tensor, has whole rows, and is of that format.
            unsafe { copy_row(from.row(row), from, to.row(row), to, factor) }
        }
        return;
    }
    let transposes = from.format.is_f32() && from.stride[1] == 4 && to.has_whole_rows();
    for i3 in 0..from.extent[3] {
        for i2 in 0..from.extent[2] {
            let (from, to) = (from.plane(i2, i3), to.plane(i2, i3));
            // SAFETY: the planes are those of the tensors.
            unsafe {
                if transposes {
                    transpose(&from, &to, factor);
                } else {
                    copy_each(&from, &to, 0..from.extent[0], 0..from.extent[1], factor);
                }
            }
        }
    }
}

/// # Safety
///
/// The rows lie in the tensors' memory, which do not overlap, and their elements lie side by side.
unsafe fn copy_row(from: *const u8, source: &Tensor, to: *mut u8, target: &Tensor, factor: f32) {
    let len = source.extent[0];
    // SAFETY: the caller vouches for rows of that many elements of these formats.
    unsafe {
        match (source.format.is_f32(), target.format.is_f32()) {
            (true, false) => {
                let (from, to) = (slice(from, len), slice_mut(to, len));
                half::narrow_row(from, factor, to);
            }
            (false, true) => {
                half::widen_row(slice(from, len), slice_mut(to, len));
                if factor != 1.0 {
                    slice_mut::<f32>(to, len).iter_mut().for_each(|value| *value *= factor);
                }
            }
            (true, true) if factor != 1.0 => {
                let (from, to): (&[f32], _) = (slice(from, len), slice_mut::<f32>(to, len));
                from.iter().zip(to).for_each(|(from, to)| *to = from * factor);
            }
            (false, false) if factor != 1.0 => {
                let (from, to) = (slice::<u16>(from, len), slice_mut::<u16>(to, len));
                from.iter().zip(to).for_each(|(from, to)| *to = half::narrow(half::widen(*from) * factor));
            }
            _ => std::ptr::copy_nonoverlapping(from, to, source.row_bytes()),
        }
    }
}

/// # Safety
///
/// As many elements lie there, aligned, and nobody writes them for `'a`.
unsafe fn slice<'a, T>(start: *const u8, len: usize) -> &'a [T] {
    // SAFETY: the caller's.
    unsafe { std::slice::from_raw_parts(start.cast(), len) }
}

/// # Safety
///
/// As many elements lie there, aligned, and nobody else uses them for `'a`.
unsafe fn slice_mut<'a, T>(start: *mut u8, len: usize) -> &'a mut [T] {
    // SAFETY: the caller's.
    unsafe { std::slice::from_raw_parts_mut(start.cast(), len) }
}

/// A plane whose columns lie side by side in `from` and whose rows do in `to`, tile by tile.
///
/// # Safety
///
/// As for [`copy`]; `from` has floats.
unsafe fn transpose(from: &Tensor, to: &Tensor, factor: f32) {
    let [rows, columns] = [from.extent[1], from.extent[0]];
    let factors = F32x4::splat(factor);
    let whole = (columns / TILE * TILE, rows / 4 * 4);
    for column in (0..whole.0).step_by(TILE) {
        for row in (0..whole.1).step_by(4) {
            let load = |at: usize| {
                let start = from.data.wrapping_add((column + at) * from.stride[0] + row * 4);
                // SAFETY: four elements of a column follow each other.
                F32x4::load(unsafe { &*start.cast() }).mul(factors)
            };
            let low = F32x4::transpose([load(0), load(1), load(2), load(3)]);
            let high = F32x4::transpose([load(4), load(5), load(6), load(7)]);
            for (at, (low, high)) in low.into_iter().zip(high).enumerate() {
                let start = to.data.wrapping_add((row + at) * to.stride[1]);
                // SAFETY: eight elements of a row follow each other, of the format that is looked
                // at.
                unsafe {
                    if to.format.is_f16() {
                        *start.cast::<u16>().wrapping_add(column).cast() = F32x4::narrow(low, high);
                    } else {
                        let lanes = &mut *start.cast::<f32>().wrapping_add(column).cast::<[[f32; 4]; 2]>();
                        low.store(&mut lanes[0]);
                        high.store(&mut lanes[1]);
                    }
                }
            }
        }
    }
    // SAFETY: as above.
    unsafe {
        copy_each(from, to, whole.0..columns, 0..whole.1, factor);
        copy_each(from, to, 0..columns, whole.1..rows, factor);
    }
}

/// Elements one by one.
///
/// # Safety
///
/// As for [`copy`].
unsafe fn copy_each(
    from: &Tensor,
    to: &Tensor,
    columns: std::ops::Range<usize>,
    rows: std::ops::Range<usize>,
    factor: f32,
) {
    for row in rows {
        for column in columns.clone() {
            let at = |tensor: &Tensor| {
                tensor.data.wrapping_add(column * tensor.stride[0] + row * tensor.stride[1])
            };
            // SAFETY: the element is in its tensor, of its format.
            unsafe {
                let value =
                    if from.format.is_f32() { *at(from).cast() } else { half::widen(*at(from).cast()) };
                if to.format.is_f32() {
                    *at(to).cast() = value * factor;
                } else {
                    *at(to).cast() = half::narrow(value * factor);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tensor::{Axes, Format};
    use super::super::rows::tests::Noise;
    use super::*;

    /// Memory for `extent`, whose axes lie in `order`, fastest first.
    fn tensor(extent: Axes, order: Axes, format: Format, noise: &mut Noise) -> (Vec<u32>, Tensor) {
        let size = format.block_bytes();
        let mut stride = [0; 4];
        let mut step = size;
        for axis in order {
            stride[axis] = step;
            step *= extent[axis];
        }
        let count = extent.iter().product::<usize>();
        let mut memory = vec![0u32; (count * size).div_ceil(4)];
        let data: *mut u8 = memory.as_mut_ptr().cast();
        for at in 0..count {
            let value = noise.float();
            // SAFETY: `memory` has room for `count` elements.
            unsafe {
                if format.is_f32() {
                    *data.cast::<f32>().add(at) = half::widen(half::narrow(value));
                } else {
                    *data.cast::<u16>().add(at) = half::narrow(value);
                }
            }
        }
        (memory, Tensor { data, format, extent, stride })
    }

    fn value(tensor: &Tensor, at: Axes) -> f32 {
        let element = tensor.row([at[1], at[2], at[3]]).wrapping_add(at[0] * tensor.stride[0]);
        // SAFETY: the tests ask for elements of the tensor.
        unsafe { if tensor.format.is_f32() { *element.cast() } else { half::widen(*element.cast()) } }
    }

    #[test]
    fn every_element_arrives_from_any_layout_and_type() {
        let mut noise = Noise::new(12);
        let orders = [[0, 1, 2, 3], [1, 0, 2, 3], [2, 0, 1, 3], [0, 2, 1, 3], [3, 1, 0, 2]];
        for extent in [[1, 1, 1, 1], [8, 4, 1, 1], [17, 9, 3, 2], [64, 6, 5, 1], [9, 64, 2, 1]] {
            for (source, target) in orders.into_iter().flat_map(|one| orders.map(|two| (one, two))) {
                for formats in [
                    [Format::F32; 2],
                    [Format::F32, Format::F16],
                    [Format::F16, Format::F32],
                    [Format::F16; 2],
                ] {
                    for factor in [1.0, 0.5] {
                        let (_one, from) = tensor(extent, source, formats[0], &mut noise);
                        let (_two, to) = tensor(extent, target, formats[1], &mut noise);
                        // SAFETY: both own their memory.
                        unsafe { copy(&from, &to, factor) }
                        for [i1, i2, i3] in from.rows() {
                            for i0 in 0..extent[0] {
                                let at = [i0, i1, i2, i3];
                                assert_eq!(value(&to, at), value(&from, at) * factor, "{extent:?} {at:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}
