//! Pages of memory.

use std::io;
use std::ops::Range;

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

/// Bytes of pages in this part of the address space that are this process's own: written, and not a file's.
///
/// By `/proc/self/pagemap` (Linux 4.2): its flags tell whether a page is there and whether it is a file's or shared.
///
/// # Errors
///
/// Where the system does not tell.
pub(crate) fn written(range: Range<usize>) -> io::Result<u64> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::FileExt;
        const PRESENT: u64 = 1 << 63;
        const SWAPPED: u64 = 1 << 62;
        const SHARED: u64 = 1 << 61;
        let page = rustix::param::page_size();
        let map = std::fs::File::open("/proc/self/pagemap")?;
        let (mut next, end) = (range.start / page, range.end.div_ceil(page));
        let mut entries = vec![0; 128 << 10];
        let mut pages = 0;
        while next < end {
            let len = entries.len().min(8 * (end - next));
            map.read_exact_at(&mut entries[..len], 8 * next as u64)?;
            let entries = entries[..len].as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes));
            pages += entries.filter(|flags| flags & (PRESENT | SWAPPED) != 0 && flags & SHARED == 0).count();
            next += len / 8;
        }
        Ok(pages as u64 * page as u64)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = range;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The same of several groups of parts of the address space, by `/proc/self/smaps`: of everything at once, however large and empty
/// the parts are. `None` where the system does not tell.
#[cfg(feature = "server")]
pub(crate) fn written_in(groups: &[Vec<Range<usize>>]) -> Option<Vec<u64>> {
    let maps = std::fs::read_to_string("/proc/self/smaps").ok()?;
    let mut inside: Vec<usize> = Vec::new();
    let mut bytes = vec![0; groups.len()];
    for line in maps.lines() {
        let (first, rest) = line.split_once(' ')?;
        if let Some((start, end)) = first.split_once('-') {
            let address = |text| usize::from_str_radix(text, 16).ok();
            let (start, end) = (address(start)?, address(end)?);
            let meets = |space: &Range<usize>| start < space.end && space.start < end;
            let groups = groups.iter().enumerate();
            inside = groups.filter(|(_, group)| group.iter().any(meets)).map(|(index, _)| index).collect();
        } else if first == "Anonymous:" {
            let kilobytes: u64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
            inside.iter().for_each(|group| bytes[*group] += kilobytes << 10);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_written_is_known() {
        let memory: Vec<u8> = Vec::with_capacity(3 * LARGE);
        let start = memory.as_ptr().addr();
        // Nothing has touched it; whatever lies beside it may be in its first and last page.
        assert!(written(start..start + 3 * LARGE).unwrap() <= 2 * 65_536);
        let memory = vec![7u8; 3 * LARGE];
        let start = memory.as_ptr().addr();
        let bytes = written(start..start + 3 * LARGE).unwrap();
        assert!((3 * LARGE as u64..3 * LARGE as u64 + 2 * 65_536).contains(&bytes), "{bytes}");
        assert_eq!(written(0..0).unwrap(), 0);
        assert_eq!(written(0..4096).unwrap(), 0);
    }

    #[cfg(all(target_os = "linux", feature = "server"))]
    #[test]
    fn what_is_written_is_known_of_each_group() {
        let held = vec![1u8; 32 << 20];
        let start = held.as_ptr() as usize;
        let space = start..start + held.len();
        let private = written_in(&[vec![space.clone()], vec![], vec![0..1, space]]).unwrap();
        assert!(private[0] >= 32 << 20 && private[1] == 0 && private[2] == private[0], "{private:?}");
        assert_eq!(written_in(&[]), Some(vec![]));
    }

    #[test]
    fn memory_of_any_size_and_place_stays_what_it_is() {
        let mut memory = vec![7u8; 3 * LARGE];
        for range in [0..0, 0..3 * LARGE, 1..LARGE, 5..2 * LARGE + 5, LARGE - 1..3 * LARGE, 17..17] {
            prefer_large(&mut memory[range]);
        }
        assert!(memory.iter().all(|byte| *byte == 7));
    }
}
