//! The start of a stream, which can be read a second time.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::sandbox::media::Input;

/// Most bytes of a stream that are kept until it is understood: symphonia searches through one
/// mebibyte, and headers with pictures are longer.
const MAX_START: usize = 4 << 20;

/// Bytes that are read at once to fill a gap.
const PIECE: usize = 4096;

/// A stream that several decoders read from its start, one after the other.
#[derive(Clone)]
pub(super) struct Start(Arc<Mutex<Stream>>);

struct Stream {
    input: Box<dyn Input>,
    /// Bytes from the start on.
    start: Vec<u8>,
    /// They are all that was read of the stream.
    is_whole: bool,
}

impl Start {
    /// A stream of which nothing was read.
    pub(super) fn new(input: Box<dyn Input>) -> Self {
        Self(Arc::new(Mutex::new(Stream { input, start: Vec::new(), is_whole: true })))
    }

    /// Returns true if it can be read from its start.
    pub(super) fn is_whole(&self) -> bool {
        self.0.lock().is_whole
    }

    /// Keeps nothing of what follows: nobody begins at the start any more.
    pub(super) fn forget(&self) {
        self.0.lock().is_whole = false;
    }
}

impl Stream {
    fn keep(&mut self, bytes: &[u8]) {
        if self.start.len() + bytes.len() <= MAX_START {
            self.start.extend_from_slice(bytes);
        } else {
            self.is_whole = false;
        }
    }

    /// Reads and keeps the bytes before `position`; false if there are none so far behind.
    fn fill(&mut self, position: u64) -> io::Result<bool> {
        let mut piece = [0; PIECE];
        while self.is_whole && (self.start.len() as u64) < position {
            let len = PIECE.min(usize::try_from(position).unwrap_or(usize::MAX) - self.start.len());
            let read = self.input.read_at(self.start.len() as u64, &mut piece[..len])?;
            if read == 0 {
                return Ok(false);
            }
            self.keep(&piece[..read]);
        }
        Ok(true)
    }
}

impl Input for Start {
    fn read_at(&mut self, position: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut stream = self.0.lock();
        let kept = usize::try_from(position).ok().and_then(|position| stream.start.get(position..));
        if let Some(kept) = kept.filter(|kept| !kept.is_empty()) {
            let len = kept.len().min(out.len());
            out[..len].copy_from_slice(&kept[..len]);
            return Ok(len);
        }
        if stream.is_whole && !stream.fill(position)? {
            return Ok(0);
        }
        let read = stream.input.read_at(position, out)?;
        if stream.is_whole {
            stream.keep(&out[..read]);
        }
        if !stream.is_whole {
            stream.start = Vec::new();
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::decode::container::Piped;

    fn stream(len: usize) -> (Vec<u8>, Start) {
        let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let input = Piped { reader: io::Cursor::new(bytes.clone()), position: 0 };
        (bytes, Start::new(Box::new(input)))
    }

    fn read(start: &mut Start, position: usize, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match start.read_at((position + filled) as u64, &mut out[filled..]).expect("bytes") {
                0 => break,
                read => filled += read,
            }
        }
        out.truncate(filled);
        out
    }

    #[test]
    fn a_second_reader_gets_the_same_bytes_and_then_the_rest() {
        let (bytes, mut start) = stream(100_000);
        assert_eq!(read(&mut start, 0, 1_000), bytes[..1_000]);
        // Over a gap.
        assert_eq!(read(&mut start, 20_000, 1_000), bytes[20_000..21_000]);
        assert!(start.is_whole());
        let mut again = start.clone();
        assert_eq!(read(&mut again, 500, 10_000), bytes[500..10_500]);
        start.forget();
        assert_eq!(read(&mut again, 10_500, 200_000), bytes[10_500..]);
        assert!(again.0.lock().start.is_empty(), "nothing is kept");
        assert!(again.read_at(0, &mut [0]).is_err(), "what is gone is gone");
    }

    #[test]
    fn a_start_that_is_too_long_is_not_kept() {
        let (bytes, mut start) = stream(MAX_START + 10_000);
        assert_eq!(read(&mut start, 0, bytes.len()), bytes);
        assert!(!start.is_whole());
        assert!(start.0.lock().start.is_empty());
    }
}
