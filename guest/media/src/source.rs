//! The recording's bytes, as readers of containers want them.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "symphonia")]
use symphonia::core::io::MediaSource;

/// Bytes that can be read at a position.
pub trait Bytes: Send + Sync {
    /// Reads some bytes from `position` on; 0 is the end. A source that cannot seek is read from
    /// front to back.
    ///
    /// # Errors
    /// The bytes cannot be had.
    fn read_at(&mut self, position: u64, out: &mut [u8]) -> io::Result<usize>;
}

/// Bytes with a position, some of them replaced.
pub struct Source {
    bytes: Box<dyn Bytes>,
    position: u64,
    /// The part of `bytes` that is the recording.
    section: Range<u64>,
    /// The end of the section is known.
    bounded: bool,
    seekable: bool,
    /// Bytes of the section's start that were read already.
    start: Vec<u8>,
    /// Bytes that stand for others, and their position.
    patch: (u64, Vec<u8>),
    /// The bytes ended before the section did.
    short: Arc<AtomicBool>,
}

/// Most bytes of the start that are kept of a source that cannot seek: headers with pictures in
/// them.
const MAX_START: usize = 16 << 20;

impl Source {
    /// All of `bytes`, which are `len` bytes long if that is known.
    pub fn new(bytes: impl Bytes + 'static, len: Option<u64>, seekable: bool) -> Self {
        Self {
            bytes: Box::new(bytes),
            position: 0,
            section: 0..len.unwrap_or(u64::MAX),
            bounded: len.is_some(),
            seekable: seekable && len.is_some(),
            start: Vec::new(),
            patch: (0, Vec::new()),
            short: Arc::default(),
        }
    }

    /// Tells whether the bytes ended before the section did, also while others own the source.
    pub fn short(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.short)
    }

    /// Length in bytes, if it is known.
    pub fn len(&self) -> Option<u64> {
        self.bounded.then(|| self.section.end - self.section.start)
    }

    /// Returns true if it can be read at any position.
    pub fn is_seekable(&self) -> bool {
        self.seekable
    }

    /// Reads up to `len` bytes of the start, which stay readable.
    ///
    /// # Errors
    /// The bytes cannot be had.
    pub fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        while self.start.len() < len {
            let mut piece = [0; 4096];
            let piece_len = piece.len().min(len - self.start.len());
            let read = self.read_bytes(self.start.len() as u64, &mut piece[..piece_len])?;
            if read == 0 {
                break;
            }
            self.start.extend_from_slice(&piece[..read]);
        }
        Ok(&self.start[..len.min(self.start.len())])
    }

    /// Fills `out` with bytes from `position` on, without moving; fewer, if there are no more.
    ///
    /// # Errors
    /// The bytes cannot be had, or they lie too far behind the start of a source that cannot seek.
    pub fn look(&mut self, position: u64, out: &mut [u8]) -> io::Result<usize> {
        if !self.seekable {
            let start = usize::try_from(position).unwrap_or(usize::MAX);
            let end = start.saturating_add(out.len());
            if end > MAX_START {
                return Err(io::ErrorKind::Unsupported.into());
            }
            let bytes = self.peek(end)?.get(start..).unwrap_or_default();
            out[..bytes.len()].copy_from_slice(bytes);
            return Ok(bytes.len());
        }
        let mut len = 0;
        while len < out.len() {
            match self.read_bytes(position.saturating_add(len as u64), &mut out[len..])? {
                0 => break,
                read => len += read,
            }
        }
        Ok(len)
    }

    /// Puts `bytes` in the place of those at `position`.
    pub fn replace(&mut self, position: u64, bytes: Vec<u8>) {
        self.patch = (position, bytes);
    }

    /// Leaves the bytes from `start` on, `len` of them or all; positions count from there.
    pub fn section(mut self, start: u64, len: Option<u64>) -> Self {
        let start = start.min(self.len().unwrap_or(u64::MAX));
        self.start.drain(..self.start.len().min(usize::try_from(start).unwrap_or(usize::MAX)));
        self.section.start = self.section.start.saturating_add(start);
        if let Some(len) = len {
            let end = self.section.start.saturating_add(len);
            if self.bounded && end > self.section.end {
                self.short.store(true, Ordering::Relaxed);
            }
            self.section.end = self.section.end.min(end);
            self.bounded = true;
            let len = self.section.end - self.section.start;
            self.start.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        }
        self.position = 0;
        self.patch = (0, Vec::new());
        self
    }

    /// Reads at a position of the section, past what was peeked at.
    fn read_bytes(&mut self, position: u64, out: &mut [u8]) -> io::Result<usize> {
        let at = self.section.start.saturating_add(position);
        let left = self.section.end.saturating_sub(at);
        let len = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if len == 0 {
            return Ok(0);
        }
        let read = self.bytes.read_at(at, &mut out[..len])?;
        if read == 0 && self.bounded {
            self.short.store(true, Ordering::Relaxed);
        }
        Ok(read)
    }
}

/// The bytes from `offset` on, if there are any.
fn behind(bytes: &[u8], offset: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(offset).ok()?..).filter(|bytes| !bytes.is_empty())
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let (patched, patch) = &self.patch;
        // Up to the patch, then from it.
        let before = patched.checked_sub(self.position).filter(|&before| before > 0 && !patch.is_empty());
        let most =
            before.map_or(out.len(), |before| out.len().min(usize::try_from(before).unwrap_or(usize::MAX)));
        let out = &mut out[..most];
        let position = self.position;
        let kept = |from: u64, bytes| behind(bytes, position.checked_sub(from)?);
        let read = match kept(*patched, patch).or_else(|| kept(0, &self.start)) {
            Some(bytes) => {
                let len = bytes.len().min(out.len());
                out[..len].copy_from_slice(&bytes[..len]);
                len
            }
            None => self.read_bytes(self.position, out)?,
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let end = self.len();
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
            SeekFrom::End(delta) => end.and_then(|end| end.checked_add_signed(delta)),
        };
        let position = position.ok_or(io::ErrorKind::InvalidInput)?;
        if !self.seekable && position != self.position {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.position = position;
        Ok(position)
    }
}

#[cfg(feature = "symphonia")]
impl MediaSource for Source {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.len()
    }
}
