//! The guest's end of the audio ring ([`hearken_proto::ring`] has the layout).

use hearken_proto::ring::{HEADER_LEN, MAX_CAPACITY};

/// Slots of the ring: 32.8 s, more than the longest context of a Whisper model (30 s).
const CAPACITY: usize = 1 << 19;

const _: () = assert!(CAPACITY.is_power_of_two() && CAPACITY <= MAX_CAPACITY as usize);
const _: () = assert!(size_of::<Header>() as u64 == HEADER_LEN);

#[repr(C)]
struct Header {
    capacity: u32,
    data: u32,
    write: u32,
    read: u32,
}

/// A ring whose writer is the host. It must not move once its address has been given away.
#[repr(C)]
pub(crate) struct Ring {
    header: Header,
    slots: [f32; CAPACITY],
}

impl Ring {
    /// A ring with nothing in it, on the heap: it is too large for the stack.
    pub(crate) fn boxed() -> Box<Self> {
        let mut ring = Box::<Self>::new_uninit();
        // SAFETY: all-zero bytes are a valid `Ring` (integers and floats), and the allocation holds
        // one.
        let mut ring = unsafe {
            ring.as_mut_ptr().write_bytes(0, 1);
            ring.assume_init()
        };
        ring.header.capacity = CAPACITY as u32;
        // Linear memory has 32-bit addresses; natively (tests) nobody follows this field.
        ring.header.data = ring.slots.as_ptr() as usize as u32;
        ring
    }

    /// Appends everything unread to `window`, in order.
    pub(crate) fn drain_into(&mut self, window: &mut Vec<f32>) {
        // SAFETY: `write` is a plain integer of this struct; it is read volatile because the host
        // stores it from outside, between calls.
        let write = unsafe { (&raw const self.header.write).read_volatile() };
        let unread = (write.wrapping_sub(self.header.read) as usize).min(CAPACITY);
        let first = self.header.read as usize % CAPACITY;
        let straight = unread.min(CAPACITY - first);
        window.extend_from_slice(&self.slots[first..first + straight]);
        window.extend_from_slice(&self.slots[..unread - straight]);
        self.header.read = write;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Ring {
        /// Writes as the host does.
        fn write(&mut self, samples: &[f32]) {
            for sample in samples {
                self.slots[self.header.write as usize % CAPACITY] = *sample;
                self.header.write = self.header.write.wrapping_add(1);
            }
        }
    }

    #[test]
    fn samples_come_out_in_order_across_both_wraps() {
        let mut ring = Ring::boxed();
        // Start shortly before the positions themselves wrap.
        let start = u32::MAX - 1000;
        ring.header.write = start;
        ring.header.read = start;
        let mut expected = 0u32;
        for block in [1usize, 480, 1600, CAPACITY, 7, CAPACITY - 1] {
            let samples: Vec<f32> = (0..block).map(|i| (expected as usize + i) as f32).collect();
            ring.write(&samples);
            let mut window = Vec::new();
            ring.drain_into(&mut window);
            assert_eq!(window, samples);
            expected += block as u32;
            expected %= 1 << 23; // stay exact in f32
        }
    }
}
