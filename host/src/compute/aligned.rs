//! Memory that begins where a cache line does, on large pages where it is large.

use crate::os_memory::prefer_large;

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// Zeroed bytes, aligned to a cache line.
pub(super) struct Aligned(Vec<Line>);

impl Aligned {
    /// Allocates at least `bytes` bytes, all zero.
    pub(super) fn zeroed(bytes: usize) -> Self {
        let count = bytes.div_ceil(LINE);
        let mut lines = Vec::with_capacity(count);
        // Weights are read from first to last for each token: with pages of 4 KiB, a good part of
        // that is looking for pages.
        prefer_large(&mut lines.spare_capacity_mut()[..count]);
        lines.resize(count, Line([0; LINE]));
        Self(lines)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len() * LINE
    }

    pub(super) fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr().cast()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: lines are bytes without gaps, initialized, and borrowed as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), len) }
    }

    /// As floats.
    pub(super) fn floats_mut(&mut self) -> &mut [f32] {
        let len = self.len() / 4;
        // SAFETY: as above; a line is aligned to more than a float, and any bits are one.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast(), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_every_size_is_zero_and_ours() {
        for bytes in [0, 1, 63, 64, 1 << 20, (2 << 20) - 64, 2 << 20, (4 << 20) + 1, 9 << 20] {
            let mut memory = Aligned::zeroed(bytes);
            assert!(memory.len() >= bytes && memory.len() < bytes + LINE);
            assert_eq!(memory.as_ptr().addr() % LINE, 0);
            assert!(memory.bytes_mut().iter().all(|byte| *byte == 0));
            memory.bytes_mut().fill(7);
        }
    }
}
