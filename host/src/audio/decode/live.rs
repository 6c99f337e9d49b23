//! Containers whose bytes come as somebody speaks: WebM from a browser, Ogg from a telephone.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use super::container::Bytes;
use super::{Decoded, Source};
use crate::audio::{AudioError, Resampler, Track};
use crate::preempt::slice;
use crate::sandbox::media::Input;

/// Bytes that have come and were not read.
#[derive(Default)]
struct Queue {
    bytes: VecDeque<u8>,
    /// Position of the first of them in the stream.
    position: u64,
    ended: bool,
}

struct Shared(Arc<Mutex<Queue>>);

impl Input for Shared {
    fn read_at(&mut self, position: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(skipped) = position.checked_sub(queue.position) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let skipped = queue.bytes.len().min(usize::try_from(skipped).unwrap_or(usize::MAX));
        queue.bytes.drain(..skipped);
        queue.position += skipped as u64;
        if queue.bytes.is_empty() {
            return if queue.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let read = io::Read::read(&mut queue.bytes, out)?;
        queue.position += read as u64;
        Ok(read)
    }
}

/// A decoder, a block, and how many frames it has; no decoder if the stream was not understood.
type Turn = (Option<Decoded>, Vec<f32>, Result<usize, AudioError>);

/// The result of one turn of decoding.
pub(crate) enum Taken {
    /// More may follow.
    Audio,
    /// More bytes are needed.
    Starved,
    /// The stream is at its end.
    End,
}

/// Decodes a container as its bytes come, to 16 kHz mono.
pub(crate) struct LiveDecoder {
    queue: Arc<Mutex<Queue>>,
    turn: Option<Pin<Box<dyn Future<Output = Turn> + Send>>>,
    /// CPU time of the turn, on all threads.
    used: Duration,
    resampler: Option<Resampler>,
}

impl LiveDecoder {
    /// A decoder for a stream that is called `name` in errors.
    pub(crate) fn new(name: &str) -> Self {
        let queue = Arc::new(Mutex::new(Queue::default()));
        let input = Box::new(Shared(Arc::clone(&queue)));
        let name = name.to_owned();
        let turn = async move {
            let bytes = Bytes { input, len: None, seekable: false };
            match Decoded::of_stream(name, bytes, &Track::Default).await {
                Ok(mut decoded) => {
                    let mut block = Vec::new();
                    let read = decoded.next(&mut block).await;
                    (Some(decoded), block, read)
                }
                Err(error) => (None, Vec::new(), Err(error)),
            }
        };
        Self { queue, turn: Some(Box::pin(turn)), used: Duration::ZERO, resampler: None }
    }

    /// Adds bytes that have come.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).bytes.extend(bytes);
    }

    /// No more bytes come.
    pub(crate) fn finish(&mut self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
    }

    /// Appends the next block to `mono`, at 16 kHz. CPU time is this thread's.
    ///
    /// # Errors
    /// The stream is not understood, or damaged; nothing follows.
    pub(crate) fn take(&mut self, mono: &mut Vec<f32>) -> Result<Taken, AudioError> {
        let Some(turn) = &mut self.turn else { return Ok(Taken::End) };
        // It is short, and there is nobody to give way to: bytes are few.
        let Poll::Ready((decoded, block, read)) = slice(turn.as_mut(), &mut self.used, Rc::new(|| false))
        else {
            return Ok(Taken::Starved);
        };
        self.turn = None;
        self.used = Duration::ZERO;
        let frames = read?;
        let Some(mut decoded) = decoded else { return Ok(Taken::End) };
        let resampler = match &mut self.resampler {
            Some(resampler) => resampler,
            None => self.resampler.insert(Resampler::new(decoded.format())?),
        };
        if frames == 0 {
            resampler.finish(mono);
            return Ok(Taken::End);
        }
        resampler.push(&block, mono);
        self.turn = Some(Box::pin(async move {
            let mut block = block;
            let read = decoded.next(&mut block).await;
            (Some(decoded), block, read)
        }));
        Ok(Taken::Audio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! fixture {
        ($name:literal) => {
            (include_bytes!(concat!("../fixtures/", $name)) as &[u8])
        };
    }

    /// The samples of a stream that arrives in pieces, and how far they lag behind the bytes at
    /// most [s].
    fn hear(bytes: &[u8], piece: usize) -> Result<(Vec<f32>, f64), AudioError> {
        let (mut decoder, mut mono, mut lag) = (LiveDecoder::new("it"), Vec::new(), 0f64);
        let pieces = bytes.chunks(piece);
        let count = pieces.len();
        for (number, piece) in pieces.enumerate() {
            decoder.push(piece);
            while !matches!(decoder.take(&mut mono)?, Taken::Starved | Taken::End) {}
            // The fixtures are a second each, at an almost even rate.
            let come = (number + 1) as f64 / count as f64;
            lag = lag.max(come - mono.len() as f64 / 16_000.0);
        }
        decoder.finish();
        while !matches!(decoder.take(&mut mono)?, Taken::End) {}
        Ok((mono, lag))
    }

    #[test]
    fn a_stream_in_pieces_is_the_recording() {
        for (name, bytes) in [
            ("ogg opus", fixture!("tone-48k-mono.opus")),
            ("webm", fixture!("tone-48k-stereo.webm")),
            ("ogg vorbis", fixture!("tone-44k-stereo.ogg")),
            ("mp3", fixture!("tone-44k-stereo.mp3")),
            ("flac", fixture!("tone-8k-mono.flac")),
        ] {
            let mut source = super::super::from_reader("it", bytes).expect("a recording");
            let (mut block, mut whole) = (Vec::new(), Vec::new());
            let mut resampler = Resampler::new(source.format()).expect("valid");
            while source.read(&mut block).expect("sound") > 0 {
                resampler.push(&block, &mut whole);
            }
            resampler.finish(&mut whole);
            for piece in [1, 100, 3_333, usize::MAX] {
                let (heard, lag) = hear(bytes, piece).expect("sound");
                // Packets of 20 ms, and 25 ms that the resampler waits for. Ogg's pages are of a
                // second here, and those of MP3, Vorbis and FLAC are not as even.
                assert!(name != "webm" || piece > 100 || lag < 0.1, "{lag} s behind the bytes");
                assert!(heard == whole, "{name} in pieces of {piece}: {} of {}", heard.len(), whole.len());
            }
        }
    }

    #[test]
    fn nonsense_is_an_error_and_nothing_follows() {
        let mut decoder = LiveDecoder::new("it");
        decoder.push(b"PK\x03\x04");
        decoder.push(&[0; 1_000]);
        let mut mono = Vec::new();
        let error = decoder.take(&mut mono).err().expect("it is no recording");
        assert!(error.to_string().contains("a ZIP archive"), "{error}");
        assert!(matches!(decoder.take(&mut mono), Ok(Taken::End)));
    }
}
