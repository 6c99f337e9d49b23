//! Ranges of a guest's linear memory, as the guest names them: hostile until checked here.

use super::SandboxError;

/// Checks that `len` bytes at `address` lie in a memory of `size` bytes.
pub(super) fn range(address: u32, len: u64, size: usize) -> Result<std::ops::Range<usize>, SandboxError> {
    let start = u64::from(address);
    let end = start.checked_add(len).filter(|&end| end <= size as u64);
    match end {
        // Both fit in usize, for they are at most `size`.
        Some(end) => Ok(start as usize..end as usize),
        None => Err(SandboxError::Misbehaved(format!(
            "it named {len} bytes at address {address:#x} of a memory of {size} bytes"
        ))),
    }
}

/// As much of a range as there is.
pub(super) fn clamped<'a>(range: &std::ops::Range<u32>, memory: &'a mut [u8]) -> &'a mut [u8] {
    let end = (range.end as usize).min(memory.len());
    &mut memory[(range.start as usize).min(end)..end]
}

/// Reads a little-endian `u32`.
pub(super) fn read_u32(memory: &[u8], address: u32, offset: u64) -> Result<u32, SandboxError> {
    let range = range(address, offset + 4, memory.len())?;
    let mut word = [0; 4];
    word.copy_from_slice(&memory[range.end - 4..range.end]);
    Ok(u32::from_le_bytes(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_what_there_is() {
        use std::ops::Range;
        let mut memory = [0; 10];
        for (range, len) in [
            (0..0, 0),
            (2..6, 4),
            (Range { start: 6, end: 2 }, 0),
            (8..u32::MAX, 2),
            (u32::MAX..u32::MAX, 0),
            (11..12, 0),
        ] {
            assert_eq!(clamped(&range, &mut memory).len(), len, "{range:?}");
        }
    }

    #[test]
    fn ranges_at_the_end_of_memory_are_exact() {
        assert!(range(65_532, 4, 65_536).is_ok());
        assert!(range(65_533, 4, 65_536).is_err());
        assert!(range(65_536, 0, 65_536).is_ok());
        assert!(range(u32::MAX, u64::MAX, 65_536).is_err());
        assert!(range(u32::MAX, 1, 1 << 32).is_ok());
        assert!(range(u32::MAX, 2, 1 << 32).is_err());
    }
}
