//! A model file read once: counted, hashed, and never trusted about lengths.

use std::io::{BufReader, ErrorKind, Read};

use super::ModelError;

/// Bytes taken at a time. BLAKE3 uses its widest kernels from 16 KiB; larger than this only costs
/// cache.
const CHUNK: usize = 128 * 1024;

/// The file behind [`check`](super::check).
pub(crate) struct Source<R> {
    /// Buffered, because a vocabulary is a hundred thousand small reads.
    reader: BufReader<R>,
    hasher: blake3::Hasher,
    /// Bytes taken.
    offset: u64,
    /// Number of bytes that the caller stated for the file.
    len: u64,
    chunk: Vec<u8>,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(reader: R, len: u64) -> Self {
        let reader = BufReader::with_capacity(CHUNK, reader);
        Self { reader, hasher: blake3::Hasher::new(), offset: 0, len, chunk: vec![0; CHUNK] }
    }

    /// Bytes taken so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns true if the stated length is used up.
    pub(crate) fn at_end(&self) -> bool {
        self.offset >= self.len
    }

    /// Fails unless `bytes` more can come, so that nothing is read or reserved for missing data.
    pub(crate) fn expect(&self, bytes: u64, what: impl FnOnce() -> String) -> Result<(), ModelError> {
        if bytes > self.len.saturating_sub(self.offset) {
            return Err(ModelError::Truncated { what: what(), offset: self.offset });
        }
        Ok(())
    }

    /// Fills `into`.
    pub(crate) fn take(&mut self, into: &mut [u8], what: impl Fn() -> String) -> Result<(), ModelError> {
        self.expect(into.len() as u64, &what)?;
        match self.reader.read_exact(into) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(ModelError::Truncated { what: what(), offset: self.offset });
            }
            Err(error) => return Err(error.into()),
        }
        self.hasher.update(into);
        self.offset += into.len() as u64;
        Ok(())
    }

    /// A little-endian 32-bit integer.
    pub(crate) fn i32(&mut self, what: impl Fn() -> String) -> Result<i32, ModelError> {
        let mut bytes = [0; 4];
        self.take(&mut bytes, what)?;
        Ok(i32::from_le_bytes(bytes))
    }

    /// Hashes `bytes` without keeping them.
    pub(crate) fn skip(&mut self, mut bytes: u64, what: impl Fn() -> String) -> Result<(), ModelError> {
        self.expect(bytes, &what)?;
        let mut chunk = std::mem::take(&mut self.chunk);
        let mut result = Ok(());
        while bytes > 0 && result.is_ok() {
            let now = bytes.min(CHUNK as u64);
            // `now` is at most CHUNK, the buffer's length.
            result = self.take(&mut chunk[..now as usize], &what);
            bytes -= now;
        }
        self.chunk = chunk;
        result
    }

    /// Returns as many bytes as `into` holds, fewer at the end: for guessing the format of a
    /// foreign file.
    pub(crate) fn peek_rest(&mut self, into: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < into.len() {
            match self.reader.read(&mut into[filled..]) {
                Ok(0) | Err(_) => break,
                Ok(count) => filled += count.min(into.len() - filled),
            }
        }
        filled
    }

    /// Ends the file: nothing may follow. Answers its hash and length.
    pub(crate) fn finish(mut self) -> Result<(blake3::Hash, u64), ModelError> {
        let mut one = [0];
        loop {
            match self.reader.read(&mut one) {
                Ok(0) => break,
                Ok(_) => return Err(ModelError::Trailing { offset: self.offset }),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((self.hasher.finalize(), self.offset))
    }
}
