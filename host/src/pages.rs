//! Pages of memory.

/// What the kernel has as a large page on most processors.
const LARGE: usize = 2 << 20;

/// Prefers large pages for memory that is not touched yet, where whole ones fit in. Whether it gets them is the kernel's decision;
/// what it holds does not change.
pub(crate) fn prefer_large<T>(memory: &mut [T]) {
    let all = memory.as_mut_ptr_range();
    let start = all.start.map_addr(|address| address.next_multiple_of(LARGE));
    let len = all.end.addr().saturating_sub(start.addr()) / LARGE * LARGE;
    #[cfg(target_os = "linux")]
    if len > 0 {
        use rustix::mm::{Advice, madvise};
        // SAFETY: whole pages inside memory that is borrowed here; the advice changes neither what it holds nor who may
        // touch it.
        let _ = unsafe { madvise(start.cast(), len, Advice::LinuxHugepage) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = len;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_any_size_and_place_stays_what_it_is() {
        let mut memory = vec![7u8; 3 * LARGE];
        for range in [0..0, 0..3 * LARGE, 1..LARGE, 5..2 * LARGE + 5, LARGE - 1..3 * LARGE, 17..17] {
            prefer_large(&mut memory[range]);
        }
        assert!(memory.iter().all(|byte| *byte == 7));
    }
}
