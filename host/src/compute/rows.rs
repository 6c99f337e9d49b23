//! Matrices in place: in a guest's memory, or anywhere else.

use std::marker::PhantomData;

/// Storage format of the elements of [`Rows`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Float {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
}

impl Float {
    /// Bytes of an element.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// Rows to read, each of contiguous elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    base: *const u8,
    stride: usize,
    rows: usize,
    cols: usize,
    element: Float,
    memory: PhantomData<&'a [u8]>,
}

// SAFETY: the constructor's caller promised that nobody writes this memory for 'a.
unsafe impl Send for Rows<'_> {}
// SAFETY: as above.
unsafe impl Sync for Rows<'_> {}

impl<'a> Rows<'a> {
    /// `rows` rows of `cols` elements, `stride` bytes from one to the next.
    ///
    /// # Safety
    ///
    /// For `'a`, every element of every row is readable memory that nobody writes, and lies at a
    /// multiple of its size.
    pub(super) unsafe fn new(
        base: *const u8,
        stride: usize,
        rows: usize,
        cols: usize,
        element: Float,
    ) -> Self {
        Self { base, stride, rows, cols, element, memory: PhantomData }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes from one row to the next.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// Returns true if an element is two bytes.
    pub(super) fn half(&self) -> bool {
        self.element == Float::F16
    }

    /// Address of an element, which is one of this matrix.
    pub(super) fn at(&self, row: usize, col: usize) -> *const u8 {
        debug_assert!(row < self.rows && col < self.cols, "{row}, {col} of {self:?}");
        self.base.wrapping_add(row * self.stride + col * self.element.bytes())
    }
}

/// Rows of floats to write.
#[derive(Debug)]
pub(super) struct RowsMut<'a> {
    base: *mut u8,
    stride: usize,
    rows: usize,
    cols: usize,
    memory: PhantomData<&'a mut [u8]>,
}

// SAFETY: the memory is nobody else's for 'a, and threads are given different elements of it.
unsafe impl Send for RowsMut<'_> {}
// SAFETY: as above; sharing it gives pointers only.
unsafe impl Sync for RowsMut<'_> {}

impl<'a> RowsMut<'a> {
    /// `rows` rows of `cols` floats, `stride` bytes from one to the next.
    ///
    /// # Safety
    ///
    /// For `'a`, every element of every row is writable memory, at a multiple of 4, that nobody
    /// else reads or writes; no two rows share a byte.
    pub(super) unsafe fn new(base: *mut u8, stride: usize, rows: usize, cols: usize) -> Self {
        Self { base, stride, rows, cols, memory: PhantomData }
    }

    /// Contiguous rows of `cols` floats.
    #[cfg(test)]
    pub(super) fn of(floats: &'a mut [f32], cols: usize) -> Self {
        let rows = floats.len() / cols;
        // SAFETY: a slice that is borrowed mutably is writable, aligned, and nobody else's;
        // contiguous rows are disjoint.
        unsafe { Self::new(floats.as_mut_ptr().cast(), 4 * cols, rows, cols) }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes from one row to the next.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// Address of an element, which is one of this matrix.
    pub(super) fn at(&self, row: usize, col: usize) -> *mut f32 {
        debug_assert!(row < self.rows && col < self.cols, "{row}, {col} of {self:?}");
        self.base.wrapping_add(row * self.stride + 4 * col).cast()
    }
}
