//! A compiled snapshot in memory that cannot be changed or cut short while it is mapped.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// Bytes copied at a time; also the grain at which zeroes become holes.
pub(super) const BLOCK: usize = 64 << 10;

/// The bytes of a compiled module, sealed. Pages are shared by all instances that map it.
pub(crate) struct Image(File);

impl Image {
    /// Copies a compiled module.
    pub(crate) fn new(compiled: &[u8]) -> io::Result<Self> {
        let draft = Draft::new()?;
        for (index, block) in blocks(compiled) {
            draft.write(index, block)?;
        }
        draft.seal(compiled.len() as u64)
    }

    /// Bytes of memory that it takes: holes take none.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt;
        Ok(self.0.metadata()?.blocks() * 512)
    }

    /// Brings it onto large pages, where the kernel can: see
    /// [`collapse`](crate::os_memory::collapse).
    pub(super) fn prefer_large(&self) {
        #[cfg(target_os = "linux")]
        let _ = crate::os_memory::collapse(&self.0);
    }

    /// A descriptor of the same bytes.
    pub(super) fn file(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

/// The blocks of `compiled` that hold anything. A model's state is mostly buffers that are still
/// empty: of half a gigabyte for a small model, some twenty megabytes are left.
pub(super) fn blocks(compiled: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    compiled
        .chunks(BLOCK)
        .zip(0..)
        .filter(|(block, _)| block.iter().any(|&byte| byte != 0))
        .map(|(b, i)| (i, b))
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

    #[test]
    fn an_image_cannot_be_cut_short_or_changed() {
        let image = Image::new(b"compiled code").unwrap();
        let file = image.file().unwrap();
        assert!(file.set_len(1).is_err(), "truncation would kill every process that has it mapped");
        assert!(file.write_all_at(b"x", 0).is_err());
    }
}
