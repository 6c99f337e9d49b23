//! Tensors as plain data: the address and the storage format of elements.

use std::ops::Range;

use super::kernels::quant::Blocks;

/// Storage format of elements.
#[derive(Debug, Clone, Copy)]
pub(super) enum Format {
    F32,
    F16,
    I32,
    /// Quantized in blocks.
    Blocks(Blocks),
}

impl Format {
    /// Number of elements of one block: 1 where there are no blocks.
    pub(super) fn block_len(self) -> usize {
        match self {
            Self::Blocks(blocks) => blocks.len(),
            _ => 1,
        }
    }

    /// Bytes of one block.
    pub(super) fn block_bytes(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::F16 => 2,
            Self::Blocks(blocks) => blocks.bytes(),
        }
    }

    pub(super) fn is_f32(self) -> bool {
        matches!(self, Self::F32)
    }

    pub(super) fn is_f16(self) -> bool {
        matches!(self, Self::F16)
    }

    /// Returns true if elements are single floats.
    pub(super) fn is_float(self) -> bool {
        self.is_f32() || self.is_f16()
    }
}

/// Four axes, the first of which runs fastest in ggml.
pub(super) type Axes = [usize; 4];

/// A tensor, or a view of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tensor {
    pub(super) data: *mut u8,
    pub(super) format: Format,
    /// Elements along each axis, none of them 0.
    pub(super) extent: Axes,
    /// Bytes from one element (along the first axis: block) to the next.
    pub(super) stride: Axes,
}

impl Tensor {
    /// Elements of all axes.
    pub(super) fn len(&self) -> usize {
        self.extent.iter().product()
    }

    /// Size of a row whose elements are contiguous, in bytes.
    pub(super) fn row_bytes(&self) -> usize {
        self.extent[0] / self.format.block_len() * self.format.block_bytes()
    }

    /// Returns true if the elements of a row are contiguous.
    pub(super) fn has_whole_rows(&self) -> bool {
        self.stride[0] == self.format.block_bytes()
    }

    /// Returns true if all elements are contiguous, in order.
    pub(super) fn is_contiguous(&self) -> bool {
        let mut expected = self.row_bytes();
        self.has_whole_rows()
            && (1..4).all(|axis| {
                let fits = self.extent[axis] == 1 || self.stride[axis] == expected;
                expected *= self.extent[axis];
                fits
            })
    }

    /// Row (`i1`, `i2`, `i3`).
    pub(super) fn row(&self, [i1, i2, i3]: [usize; 3]) -> *mut u8 {
        self.data.wrapping_add(i1 * self.stride[1] + i2 * self.stride[2] + i3 * self.stride[3])
    }

    /// Matrix (`i2`, `i3`), as a tensor.
    pub(super) fn plane(&self, i2: usize, i3: usize) -> Self {
        let [n0, n1, ..] = self.extent;
        Self { data: self.row([0, i2, i3]), extent: [n0, n1, 1, 1], ..*self }
    }

    /// The indices of all rows, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = [usize; 3]> + use<> {
        let [_, n1, n2, n3] = self.extent;
        (0..n3).flat_map(move |i3| (0..n2).flat_map(move |i2| (0..n1).map(move |i1| [i1, i2, i3])))
    }

    /// Addresses from the first byte to the last, gaps between rows included.
    pub(super) fn span(&self) -> Range<usize> {
        let blocks =
            [self.extent[0] / self.format.block_len(), self.extent[1], self.extent[2], self.extent[3]];
        let last: usize = blocks.iter().zip(self.stride).map(|(count, stride)| (count - 1) * stride).sum();
        let start = self.data.addr();
        start..start + last + self.format.block_bytes()
    }

    /// Returns true if the tensors share a byte.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let (one, two) = (self.span(), other.span());
        one.start < two.end && two.start < one.end
    }

    /// Returns true if every element has the address of the other's.
    pub(super) fn coincides(&self, other: &Self) -> bool {
        self.data == other.data && self.same_layout(other)
    }

    /// Returns true if they differ in nothing but the address.
    pub(super) fn same_layout(&self, other: &Self) -> bool {
        self.extent == other.extent
            && self.format.block_bytes() == other.format.block_bytes()
            && (0..4).all(|axis| self.extent[axis] == 1 || self.stride[axis] == other.stride[axis])
    }

    /// Returns the same elements in the shape of `extent`, for a tensor that is contiguous.
    pub(super) fn reshaped(&self, extent: Axes) -> Self {
        let mut stride = [self.format.block_bytes(); 4];
        stride[1] = extent[0] / self.format.block_len() * self.format.block_bytes();
        stride[2] = stride[1] * extent[1];
        stride[3] = stride[2] * extent[2];
        Self { extent, stride, ..*self }
    }
}
