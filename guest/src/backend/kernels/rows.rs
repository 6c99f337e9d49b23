//! Matrices as the kernels see them: rows of elements at a stride.

use std::marker::PhantomData;
use std::ops::Range;

use super::super::tensor::Format;
use super::half;

/// Rows that are read.
#[derive(Clone, Copy)]
pub(in crate::backend) struct Rows<'a> {
    base: *const u8,
    stride: usize,
    len: usize,
    format: Format,
    of: PhantomData<&'a [u8]>,
}

/// A row of elements.
#[derive(Clone, Copy)]
pub(super) enum Row<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
    Blocks(&'a [u8]),
}

impl<'a> Rows<'a> {
    /// Rows of `len` elements, `stride` bytes apart.
    ///
    /// # Safety
    ///
    /// Every row that is asked for lies in memory that nobody writes for `'a`, aligned to its
    /// elements. A length of blocks is a multiple of theirs. The format is not [`Format::I32`].
    pub(in crate::backend) unsafe fn new(base: *const u8, stride: usize, len: usize, format: Format) -> Self {
        Self { base, stride, len, format, of: PhantomData }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Elements of a row.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(super) fn row(&self, index: usize) -> Row<'a> {
        let start = self.base.wrapping_add(index * self.stride);
        // SAFETY: `new`'s caller vouches for the row, and for the format.
        unsafe {
            match self.format {
                Format::F32 | Format::I32 => Row::F32(std::slice::from_raw_parts(start.cast(), self.len)),
                Format::F16 => Row::F16(std::slice::from_raw_parts(start.cast(), self.len)),
                Format::Blocks(blocks) => {
                    let bytes = self.len / blocks.len() * blocks.bytes();
                    Row::Blocks(std::slice::from_raw_parts(start, bytes))
                }
            }
        }
    }

    /// Widens elements `range`, whole blocks, of row `index` into `out`.
    pub(in crate::backend) fn widen(&self, index: usize, range: Range<usize>, out: &mut [f32]) {
        match (self.row(index), self.format) {
            (Row::F32(row), _) => out.copy_from_slice(&row[range]),
            (Row::F16(row), _) => half::widen_row(&row[range], out),
            (Row::Blocks(row), Format::Blocks(blocks)) => {
                let at = |element: usize| element / blocks.len() * blocks.bytes();
                blocks.widen(&row[at(range.start)..at(range.end)], out);
            }
            // `row` makes blocks of blocks only.
            (Row::Blocks(_), _) => {}
        }
    }
}

/// Rows of floats that are written.
pub(in crate::backend) struct RowsMut<'a> {
    base: *mut u8,
    stride: usize,
    len: usize,
    of: PhantomData<&'a mut [f32]>,
}

impl RowsMut<'_> {
    /// Rows of `len` floats, `stride` bytes apart.
    ///
    /// # Safety
    ///
    /// Every row that is asked for lies in memory that nobody else uses for `'a`, aligned; rows do
    /// not overlap.
    pub(in crate::backend) unsafe fn new(base: *mut u8, stride: usize, len: usize) -> Self {
        Self { base, stride, len, of: PhantomData }
    }

    #[inline(always)]
    pub(super) fn row(&mut self, index: usize) -> &mut [f32] {
        let start = self.base.wrapping_add(index * self.stride);
        // SAFETY: `new`'s caller vouches for the row; the borrow of `self` keeps it the only one.
        unsafe { std::slice::from_raw_parts_mut(start.cast(), self.len) }
    }
}

#[cfg(test)]
pub(in crate::backend) mod tests {
    use super::*;

    /// Numbers without a pattern, the same each time.
    pub(in crate::backend) struct Noise(u32);

    impl Noise {
        pub(in crate::backend) fn new(seed: u32) -> Self {
            Self(seed)
        }

        pub(in crate::backend) fn bits(&mut self) -> u32 {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            self.0 >> 8
        }

        /// Number from -1 to 1.
        pub(in crate::backend) fn float(&mut self) -> f32 {
            self.bits() as f32 / (1 << 23) as f32 - 1.0
        }

        pub(in crate::backend) fn floats(&mut self, count: usize) -> Vec<f32> {
            (0..count).map(|_| self.float()).collect()
        }
    }

    /// A matrix of floats or halves that owns its memory, with `gap` unused elements after each
    /// row.
    pub(in crate::backend) struct Owned {
        pub(in crate::backend) floats: Vec<f32>,
        halves: Vec<u16>,
        len: usize,
        pitch: usize,
    }

    impl Owned {
        pub(in crate::backend) fn new(rows: usize, len: usize, gap: usize, noise: &mut Noise) -> Self {
            let mut floats = noise.floats(rows * (len + gap));
            let halves: Vec<u16> = floats.iter().map(|value| half::narrow(*value)).collect();
            // Both hold the same values.
            floats.iter_mut().zip(&halves).for_each(|(value, half)| *value = half::widen(*half));
            Self { floats, halves, len, pitch: len + gap }
        }

        pub(in crate::backend) fn rows(&self, format: Format) -> Rows<'_> {
            let base: *const u8 = match format {
                Format::F16 => self.halves.as_ptr().cast(),
                _ => self.floats.as_ptr().cast(),
            };
            // SAFETY: all rows lie in the vectors that `self` owns.
            unsafe { Rows::new(base, self.pitch * format.block_bytes(), self.len, format) }
        }

        pub(in crate::backend) fn rows_mut(&mut self) -> RowsMut<'_> {
            // SAFETY: all rows lie in the vector that is borrowed, one after the other.
            unsafe { RowsMut::new(self.floats.as_mut_ptr().cast(), self.pitch * 4, self.len) }
        }

        pub(in crate::backend) fn row(&self, index: usize) -> &[f32] {
            &self.floats[index * self.pitch..][..self.len]
        }

        /// Reads the floats between the rows.
        pub(in crate::backend) fn gaps(&self) -> Vec<f32> {
            self.floats.chunks(self.pitch).flat_map(|row| row[self.len..].to_vec()).collect()
        }
    }

    #[test]
    fn rows_of_every_format_widen_to_the_same_values() {
        let owned = Owned::new(5, 19, 3, &mut Noise::new(7));
        for format in [Format::F32, Format::F16] {
            for index in 0..5 {
                let mut wide = [0.0; 14];
                owned.rows(format).widen(index, 2..16, &mut wide);
                assert_eq!(wide, owned.row(index)[2..16]);
            }
        }
    }
}
