//! Compiled code, or a snapshot of memory, that cannot be changed or cut short while it is mapped.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

// What is mapped must neither change nor be cut short, which takes files that can be sealed.
#[cfg(not(target_os = "linux"))]
compile_error!("hearken builds for Linux only: its snapshots are sealed files in memory (memfd_create)");

/// Bytes copied at a time; also the grain at which zeroes become holes.
pub(super) const BLOCK: usize = 64 << 10;

/// Sealed bytes. Pages are shared by all that map them.
pub(crate) struct Image(File);

impl Image {
    /// Copies the bytes.
    pub(crate) fn new(bytes: &[u8]) -> io::Result<Self> {
        let draft = Draft::new()?;
        for (index, block) in blocks(bytes) {
            draft.write(index, block)?;
        }
        draft.seal(bytes.len() as u64)
    }

    /// Maps the image over the begin of `memory`, copy on write, in the place of what that holds.
    ///
    /// # Errors
    ///
    /// When the image is longer, or the kernel cannot map it.
    ///
    /// # Safety
    ///
    /// `memory` begins with a page and is private memory of this process, readable and writable.
    /// After an error it may not be there any more: nothing may read or write it.
    pub(super) unsafe fn map_over(&self, memory: &mut [u8]) -> io::Result<()> {
        use rustix::mm::{MapFlags, ProtFlags, mmap};
        let page = rustix::param::page_size();
        let len = usize::try_from(self.0.metadata()?.len()).ok().map(|len| len.next_multiple_of(page));
        let Some(len) = len.filter(|&len| len <= memory.len() && memory.as_ptr().addr().is_multiple_of(page))
        else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the snapshot does not fit its memory"));
        };
        if len > 0 {
            let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
            let start = memory.as_mut_ptr().cast();
            // SAFETY: whole pages inside memory that is borrowed here, and that is as the caller
            // promises. The file's seals keep it as long as it is, so that each of these pages is
            // there, and as it is, so that nothing but this memory's owner changes them.
            unsafe { mmap(start, len, ProtFlags::READ | ProtFlags::WRITE, flags, &self.0, 0)? };
        }
        Ok(())
    }

    /// Bytes of memory that it takes: holes take none.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt;
        Ok(self.0.metadata()?.blocks() * 512)
    }

    /// Brings it onto large pages, where the kernel can: see
    /// [`collapse`](crate::os_memory::collapse).
    pub(super) fn prefer_large(&self) {
        let _ = crate::os_memory::collapse(&self.0);
    }

    /// A descriptor of the same bytes.
    pub(super) fn file(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

/// The blocks of `bytes` that hold anything. A model's state is mostly buffers that are still
/// empty: of half a gigabyte for a small model, some twenty megabytes are left.
pub(super) fn blocks(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    bytes.chunks(BLOCK).zip(0..).filter(|(block, _)| block.iter().any(|&byte| byte != 0)).map(|(b, i)| (i, b))
}

/// An image being put together. What is not written is zero, and takes no memory.
pub(super) struct Draft(File);

impl Draft {
    pub(super) fn new() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        Ok(Self(File::from(memfd_create(c"hearken-snapshot", flags)?)))
    }

    /// Writes block number `index`.
    pub(super) fn write(&self, index: u32, block: &[u8]) -> io::Result<()> {
        self.0.write_all_at(block, u64::from(index) * BLOCK as u64)
    }

    /// Ends the image at `len` bytes, for good.
    pub(super) fn seal(self, len: u64) -> io::Result<Image> {
        self.0.set_len(len)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        fcntl_add_seals(&self.0, seals)?;
        Ok(Image(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn an_image_has_the_same_bytes_holes_included() {
        let mut bytes = vec![0u8; BLOCK * 5 + 17];
        bytes[BLOCK * 2 + 1] = 7;
        bytes[BLOCK * 5 + 16] = 9;
        assert_eq!(blocks(&bytes).count(), 2);
        let image = Image::new(&bytes).unwrap();
        assert!(image.bytes().unwrap() <= 3 * BLOCK as u64);
        let mut copy = Vec::new();
        image.file().unwrap().read_to_end(&mut copy).unwrap();
        assert!(copy == bytes);
    }

    /// Attacks `map_over`: memory that is too small, off a page or empty, what lies behind the
    /// image, and writes, which stay with the mapping that makes them.
    #[test]
    fn an_image_over_memory_is_a_copy_that_nobody_else_sees() {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
        let page = rustix::param::page_size();
        let mut bytes = vec![0u8; BLOCK + 3 * page];
        bytes[5] = 1;
        bytes[BLOCK + 2 * page] = 2;
        let image = Image::new(&bytes).unwrap();
        let size = BLOCK + 5 * page;
        let flags = MapFlags::PRIVATE;
        let fresh = || {
            // SAFETY: new memory, wherever there is some; given back below.
            let memory = unsafe {
                mmap_anonymous(std::ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, flags).unwrap()
            };
            // SAFETY: the whole of that memory, which nothing else knows.
            unsafe { std::slice::from_raw_parts_mut(memory.cast::<u8>(), size) }
        };
        let (one, other) = (fresh(), fresh());
        one.fill(7);
        // SAFETY: memory as it has to be; where it does not fit nothing is mapped.
        unsafe {
            assert!(image.map_over(&mut one[..BLOCK]).is_err());
            assert!(image.map_over(&mut one[1..]).is_err());
            assert!(image.map_over(&mut []).is_err());
            assert!(one.iter().all(|byte| *byte == 7));
            image.map_over(one).unwrap();
            image.map_over(other).unwrap();
        }
        assert!(one[..bytes.len()] == bytes[..] && one[bytes.len()..].iter().all(|byte| *byte == 7));
        one.fill(9);
        assert!(other[..bytes.len()] == bytes[..]);
        let mut copy = Vec::new();
        image.file().unwrap().read_to_end(&mut copy).unwrap();
        assert!(copy == bytes);
        for memory in [one, other] {
            // SAFETY: mapped above, and not used any more.
            unsafe { munmap(memory.as_mut_ptr().cast(), size).unwrap() };
        }
    }

    #[test]
    fn an_image_cannot_be_cut_short_or_changed() {
        let image = Image::new(b"compiled code").unwrap();
        let file = image.file().unwrap();
        assert!(file.set_len(1).is_err(), "truncation would kill every process that has it mapped");
        assert!(file.write_all_at(b"x", 0).is_err());
    }
}
