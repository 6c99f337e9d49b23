//! The host's end of the audio ring ([`hearken_proto::ring`] has the layout).

use hearken_proto::ring::{CAPACITY_OFFSET, DATA_OFFSET, MAX_CAPACITY, READ_OFFSET, WRITE_OFFSET};

use super::{SandboxError, memory};

/// A ring that was found sound when it was opened. What the guest owns is checked again at each
/// use.
#[derive(Debug)]
pub(super) struct Ring {
    header: u32,
    data: u32,
    capacity: u32,
    /// The host's own copy: the guest cannot move it.
    write: u32,
}

impl Ring {
    /// Opens the ring with the header at the guest's address `header`.
    pub(super) fn open(memory: &[u8], header: u32) -> Result<Self, SandboxError> {
        let capacity = memory::read_u32(memory, header, CAPACITY_OFFSET)?;
        let data = memory::read_u32(memory, header, DATA_OFFSET)?;
        let write = memory::read_u32(memory, header, WRITE_OFFSET)?;
        if !capacity.is_power_of_two() || capacity > MAX_CAPACITY {
            return Err(SandboxError::Misbehaved(format!("its ring has {capacity} slots")));
        }
        if !data.is_multiple_of(4) || !header.is_multiple_of(4) {
            return Err(SandboxError::Misbehaved(format!("its ring is misaligned (at {data:#x})")));
        }
        memory::range(data, u64::from(capacity) * 4, memory.len())?;
        let ring = Self { header, data, capacity, write };
        ring.free(memory)?;
        Ok(ring)
    }

    /// Slots that may be written.
    fn free(&self, memory: &[u8]) -> Result<u32, SandboxError> {
        let read = memory::read_u32(memory, self.header, READ_OFFSET)?;
        let unread = self.write.wrapping_sub(read);
        self.capacity.checked_sub(unread).ok_or_else(|| {
            SandboxError::Misbehaved(format!(
                "its ring claims {unread} unread samples in {} slots",
                self.capacity
            ))
        })
    }

    /// Returns true if the guest has read everything.
    pub(super) fn is_empty(&self, memory: &[u8]) -> Result<bool, SandboxError> {
        Ok(self.free(memory)? == self.capacity)
    }

    /// Writes as many samples as fit and returns their number.
    pub(super) fn write(&mut self, memory: &mut [u8], samples: &[f32]) -> Result<usize, SandboxError> {
        let count = samples.len().min(self.free(memory)? as usize);
        let slots = memory::range(self.data, u64::from(self.capacity) * 4, memory.len())?;
        let first = (self.write & (self.capacity - 1)) as usize;
        let straight = count.min(self.capacity as usize - first);
        let slots = &mut memory[slots];
        copy(&mut slots[first * 4..], &samples[..straight]);
        copy(slots, &samples[straight..count]);
        self.write = self.write.wrapping_add(count as u32);
        let header = memory::range(self.header, WRITE_OFFSET + 4, memory.len())?;
        memory[header.end - 4..header.end].copy_from_slice(&self.write.to_le_bytes());
        Ok(count)
    }
}

fn copy(slots: &mut [u8], samples: &[f32]) {
    for (slot, sample) in slots.chunks_exact_mut(4).zip(samples) {
        slot.copy_from_slice(&sample.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(capacity: u32, data: u32, write: u32, read: u32) -> Vec<u8> {
        let mut memory = vec![0; 4096];
        for (index, word) in [capacity, data, write, read].into_iter().enumerate() {
            memory[index * 4..index * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
        memory
    }

    #[test]
    fn lying_headers_are_refused() {
        for (capacity, data, write, read) in [
            (0, 16, 0, 0),            // no slots
            (3, 16, 0, 0),            // not a power of two
            (1 << 31, 16, 0, 0),      // absurd
            (16, 17, 0, 0),           // misaligned
            (16, 4096 - 63, 0, 0),    // misaligned and past the end
            (16, 4096 - 60, 0, 0),    // past the end
            (16, u32::MAX - 3, 0, 0), // wraps
            (16, 16, 17, 0),          // more unread than slots
            (16, 16, 0, 1),           // read ahead of write
        ] {
            let memory = memory(capacity, data, write, read);
            assert!(Ring::open(&memory, 0).is_err(), "{capacity} {data} {write} {read}");
        }
        assert!(Ring::open(&memory(16, 16, 0, 0), u32::MAX - 3).is_err());
    }

    #[test]
    fn a_reader_that_never_moves_fills_the_ring_and_no_more() {
        let mut memory = memory(16, 16, 0, 0);
        let mut ring = Ring::open(&memory, 0).unwrap();
        assert_eq!(ring.write(&mut memory, &[1.0; 20]).unwrap(), 16);
        assert_eq!(ring.write(&mut memory, &[1.0; 20]).unwrap(), 0);
    }

    #[test]
    fn a_read_position_out_of_range_is_an_error_later_too() {
        let mut memory = memory(16, 16, 0, 0);
        let mut ring = Ring::open(&memory, 0).unwrap();
        memory[12..16].copy_from_slice(&5u32.to_le_bytes());
        assert!(ring.write(&mut memory, &[1.0]).is_err());
    }

    #[test]
    fn positions_wrap_at_both_ends() {
        let start = u32::MAX - 4;
        let mut memory = memory(16, 16, start, start);
        let mut ring = Ring::open(&memory, 0).unwrap();
        let samples: Vec<f32> = (0..16).map(|i| i as f32).collect();
        assert_eq!(ring.write(&mut memory, &samples).unwrap(), 16);
        for (index, sample) in samples.iter().enumerate() {
            let slot = start.wrapping_add(index as u32) as usize % 16;
            let bytes: [u8; 4] = memory[16 + slot * 4..20 + slot * 4].try_into().unwrap();
            assert_eq!(f32::from_le_bytes(bytes), *sample);
        }
    }
}
