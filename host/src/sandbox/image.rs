//! A compiled snapshot in memory that nobody can change or cut short while it is mapped.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// Bytes copied at a time; also the grain at which zeroes become holes.
const BLOCK: usize = 64 << 10;

/// The bytes of a compiled module, sealed. Pages are shared by all instances that map it.
pub(crate) struct Image(File);

impl Image {
    /// Copies everything from `reader`. Runs of zeroes, of which a model's buffers have many, take no memory.
    pub(crate) fn copy_from(reader: &mut dyn Read) -> io::Result<Self> {
        let descriptor =
            memfd_create(c"hearken-snapshot", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut file = File::from(descriptor);
        let mut block = vec![0; BLOCK];
        let mut len = 0u64;
        loop {
            let count = fill(reader, &mut block)?;
            if count == 0 {
                break;
            }
            if block[..count].iter().all(|&byte| byte == 0) {
                file.seek(SeekFrom::Current(count as i64))?;
            } else {
                file.write_all(&block[..count])?;
            }
            len += count as u64;
        }
        file.set_len(len)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
        file.rewind()?;
        Ok(Self(file))
    }

    /// A descriptor of the same bytes.
    pub(super) fn file(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

/// Reads until the block is full or the input ends.
fn fill(reader: &mut dyn Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match reader.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_the_same_bytes_holes_included() {
        let mut bytes = vec![0u8; BLOCK * 5 + 17];
        bytes[BLOCK * 2 + 1] = 7;
        bytes[BLOCK * 5 + 16] = 9;
        let image = Image::copy_from(&mut bytes.as_slice()).unwrap();
        let mut copy = Vec::new();
        image.file().unwrap().read_to_end(&mut copy).unwrap();
        assert!(copy == bytes);
    }

    #[test]
    fn an_image_cannot_be_cut_short_or_changed() {
        let image = Image::copy_from(&mut &b"compiled code"[..]).unwrap();
        let mut file = image.file().unwrap();
        assert!(file.set_len(1).is_err(), "truncation would kill whoever has it mapped");
        assert!(file.write_all(b"x").is_err());
    }
}
