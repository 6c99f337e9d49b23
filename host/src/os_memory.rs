//! Pages of memory.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;

/// Size of a large page in the kernel of most processors, in bytes.
const LARGE: usize = 2 << 20;

/// Prefers large pages for memory that is not touched yet, where whole ones fit in. The kernel
/// decides; the content does not change.
pub(crate) fn prefer_large<T>(memory: &mut [T]) {
    let all = memory.as_mut_ptr_range();
    let start = all.start.map_addr(|address| address.next_multiple_of(LARGE));
    let len = all.end.addr().saturating_sub(start.addr()) / LARGE * LARGE;
    if len > 0 {
        use rustix::mm::{Advice, madvise};
        // SAFETY: whole pages inside memory that is borrowed here; the advice changes neither its
        // content nor its permissions.
        let _ = unsafe { madvise(start.cast(), len, Advice::LinuxHugepage) };
    }
}

/// Moves a file that is kept in memory onto large pages, as far as whole ones are full, and returns
/// the number of bytes moved. Later mappings spend less on page table walks; it takes about as long
/// as a copy.
///
/// This is Linux's `MADV_COLLAPSE` (6.1), which asks no setting of the system, unlike advice on
/// files in memory before they are written.
///
/// # Errors
///
/// Where the kernel cannot, or finds no large pages. What the file holds does not change.
pub(crate) fn collapse(file: &File) -> io::Result<u64> {
    use rustix::fs::{SeekFrom, seek};
    let window = Window::new(file)?;
    let (mut at, mut done) = (0, 0);
    let large = LARGE as u64;
    // There is no more where no data follow.
    while let Ok(start) = seek(file, SeekFrom::Data(at)) {
        at = seek(file, SeekFrom::Hole(start))?;
        let full = start.next_multiple_of(large)..at / large * large;
        if !full.is_empty() {
            window.collapse(&full)?;
            done += full.end - full.start;
        }
    }
    seek(file, SeekFrom::Start(0))?;
    Ok(done)
}

/// A file, mapped at the begin of a large page; it is not read there.
struct Window {
    reserved: *mut c_void,
    reserved_len: usize,
    file: *mut c_void,
    file_len: usize,
}

impl Window {
    fn new(file: &File) -> io::Result<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};
        let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let file_len = usize::try_from(file.metadata()?.len()).map_err(too_large)?.max(1);
        let reserved_len = file_len.checked_add(LARGE).ok_or(io::ErrorKind::FileTooLarge)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: new address space, wherever the kernel has some.
        let reserved = unsafe { mmap_anonymous(ptr::null_mut(), reserved_len, ProtFlags::empty(), flags)? };
        let start = reserved.map_addr(|address| address.next_multiple_of(LARGE));
        let window = Self { reserved, reserved_len, file: start, file_len };
        // SAFETY: `file_len` bytes from there on lie in the reserved range, which no other code
        // knows.
        unsafe { mmap(start, file_len, ProtFlags::READ, flags | MapFlags::FIXED, file, 0)? };
        Ok(window)
    }

    fn collapse(&self, part: &Range<u64>) -> io::Result<()> {
        // The same on all of Linux's architectures but PA-RISC.
        const MADV_COLLAPSE: i32 = 25;
        let part = part.start as usize..part.end as usize;
        assert!(part.end <= self.file_len, "the part lies in the file");
        // SAFETY: mapped pages of this window; the advice changes neither the file's content nor
        // its permissions.
        let failed = unsafe { libc::madvise(self.file.byte_add(part.start), part.len(), MADV_COLLAPSE) };
        if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: this window's own address space, the file in it, and no other pointer into it.
        let _ = unsafe { rustix::mm::munmap(self.reserved, self.reserved_len) };
    }
}

/// Bytes of pages in this part of the address space that are this process's own: written, and not a
/// file's.
///
/// By `/proc/self/pagemap` (Linux 4.2): its flags tell if a page is there and if it is a file's or
/// shared.
///
/// # Errors
///
/// Where the system does not tell.
pub(crate) fn written(range: Range<usize>) -> io::Result<u64> {
    use std::os::unix::fs::FileExt;
    const PRESENT: u64 = 1 << 63;
    const SWAPPED: u64 = 1 << 62;
    const SHARED: u64 = 1 << 61;
    // Kept open: without a free descriptor no sandbox's memory could be measured any more.
    static MAP: OnceLock<File> = OnceLock::new();
    let page = rustix::param::page_size();
    let map = match MAP.get() {
        Some(map) => map,
        None => {
            let map = File::open("/proc/self/pagemap")?;
            MAP.get_or_init(|| map)
        }
    };
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

/// Reads the written memory of several groups of address ranges, by `/proc/self/smaps`: of
/// everything at once, however large and empty the ranges are. `None` where the system does not
/// tell.
#[cfg(feature = "service")]
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

    #[test]
    fn written_pages_are_known() {
        let memory: Vec<u8> = Vec::with_capacity(3 * LARGE);
        let start = memory.as_ptr().addr();
        // The range is untouched; neighbors may share its first and last page.
        assert!(written(start..start + 3 * LARGE).unwrap() <= 2 * 65_536);
        let memory = vec![7u8; 3 * LARGE];
        let start = memory.as_ptr().addr();
        let bytes = written(start..start + 3 * LARGE).unwrap();
        assert!((3 * LARGE as u64..3 * LARGE as u64 + 2 * 65_536).contains(&bytes), "{bytes}");
        assert_eq!(written(0..0).unwrap(), 0);
        assert_eq!(written(0..4096).unwrap(), 0);
    }

    #[cfg(feature = "service")]
    #[test]
    fn written_pages_are_known_of_each_group() {
        let held = vec![1u8; 32 << 20];
        let start = held.as_ptr() as usize;
        let space = start..start + held.len();
        let private = written_in(&[vec![space.clone()], vec![], vec![0..1, space]]).unwrap();
        assert!(private[0] >= 32 << 20 && private[1] == 0 && private[2] == private[0], "{private:?}");
        assert_eq!(written_in(&[]), Some(vec![]));
    }

    #[test]
    fn a_file_keeps_its_bytes_and_its_holes_on_large_pages() {
        use std::os::unix::fs::{FileExt, MetadataExt};
        let file = File::from(rustix::fs::memfd_create(c"test", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
        // Two whole large pages, and parts of others before and after them and a hole.
        let (first, last) = (vec![3u8; 3 * LARGE], [5u8; 8192]);
        file.write_all_at(&first, LARGE as u64 / 2).unwrap();
        file.write_all_at(&last, 6 * LARGE as u64 + 1).unwrap();
        let blocks = file.metadata().unwrap().blocks();
        match collapse(&file) {
            Ok(bytes) => assert_eq!(bytes, 2 * LARGE as u64),
            // A kernel before 6.1, or one without large pages.
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}"),
        }
        assert_eq!(file.metadata().unwrap().blocks(), blocks, "holes stay holes");
        let mut read = vec![0; 6 * LARGE + 8193];
        file.read_exact_at(&mut read, 0).unwrap();
        let holds = |range: Range<usize>, byte| read[range].iter().all(|found| *found == byte);
        assert!(holds(0..LARGE / 2, 0) && holds(LARGE / 2..7 * LARGE / 2, 3));
        assert!(holds(7 * LARGE / 2..6 * LARGE + 1, 0) && holds(6 * LARGE + 1..6 * LARGE + 8193, 5));
        file.set_len(0).unwrap();
        assert_eq!(collapse(&file).unwrap(), 0, "of nothing, nothing");
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
