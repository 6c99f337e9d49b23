//! Memory that begins where a cache line does.

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// Zeroed bytes, aligned to a cache line.
pub(super) struct Aligned(Vec<Line>);

impl Aligned {
    /// At least `bytes` bytes, all zero.
    pub(super) fn zeroed(bytes: usize) -> Self {
        Self(vec![Line([0; LINE]); bytes.div_ceil(LINE)])
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
        // SAFETY: lines are bytes without gaps, initialised, and borrowed as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), len) }
    }

    /// As floats.
    pub(super) fn floats_mut(&mut self) -> &mut [f32] {
        let len = self.len() / 4;
        // SAFETY: as above; a line is aligned to more than a float, and any bits are one.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast(), len) }
    }
}
