//! Containers whose bytes come as somebody speaks: WebM from a browser, Ogg from a telephone.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;

use super::container::Bytes;
use super::convert::Converter;
use super::{Decoded, Source};
use crate::SAMPLE_RATE;
use crate::audio::{AudioError, Format, Resampler, Track};
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
        let mut queue = self.0.lock();
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
pub enum Taken {
    /// More may follow.
    Audio,
    /// More bytes are needed.
    Starved,
    /// The stream is at its end.
    End,
}

/// The channels of what a [`LiveDecoder`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channels {
    /// One, the average.
    Averaged,
    /// As many as that; 0 before the recording has said it.
    Apart(u16),
}

/// Turns the recording's format into that of the decoder's output.
enum Output {
    Averaged(Resampler),
    Apart(Converter),
}

impl Output {
    fn push(&mut self, block: &[f32], samples: &mut Vec<f32>) {
        match self {
            Self::Averaged(resampler) => resampler.push(block, samples),
            Self::Apart(converter) => converter.push(block, samples),
        }
    }

    fn finish(self, samples: &mut Vec<f32>) {
        match self {
            Self::Averaged(mut resampler) => {
                resampler.finish(samples);
            }
            Self::Apart(converter) => converter.finish(samples),
        }
    }
}

/// Decodes a container as its bytes come, to 16 kHz: to the average of its channels, or to all of
/// them, interleaved.
pub struct LiveDecoder {
    name: String,
    channels: Channels,
    queue: Arc<Mutex<Queue>>,
    turn: Option<Pin<Box<dyn Future<Output = Turn> + Send>>>,
    /// CPU time of the turn, on all threads.
    used: Duration,
    output: Option<Output>,
}

impl LiveDecoder {
    /// A decoder for a stream that is called `name` in errors. Channels are averaged.
    pub fn new(name: &str) -> Self {
        Self::with(name.to_owned(), Channels::Averaged)
    }

    /// A decoder that keeps channels apart: the recording's own where `channels` is 0; else, where
    /// it has others, they stay where they are, missing ones are silent, and one alone is on all.
    pub fn apart(name: &str, channels: u16) -> Self {
        Self::with(name.to_owned(), Channels::Apart(channels))
    }

    /// A decoder for the recording behind this one, with the channels of this one.
    pub fn another(&self) -> Self {
        Self::with(self.name.clone(), self.channels)
    }

    fn with(name: String, channels: Channels) -> Self {
        let queue = Arc::new(Mutex::new(Queue::default()));
        let input = Box::new(Shared(Arc::clone(&queue)));
        let called = name.clone();
        let turn = async move {
            let bytes = Bytes { input, len: None, seekable: false };
            match Decoded::of_stream(called, bytes, &Track::Default).await {
                Ok(mut decoded) => {
                    let mut block = Vec::new();
                    let read = decoded.next(&mut block).await;
                    (Some(decoded), block, read)
                }
                Err(error) => (None, Vec::new(), Err(error)),
            }
        };
        Self { name, channels, queue, turn: Some(Box::pin(turn)), used: Duration::ZERO, output: None }
    }

    /// Number of channels that its samples have.
    pub fn channels(&self) -> u16 {
        match self.channels {
            Channels::Averaged => 1,
            Channels::Apart(channels) => channels.max(1),
        }
    }

    /// The output for a recording of this format.
    fn output(&mut self, from: Format) -> Result<Output, AudioError> {
        Ok(match &mut self.channels {
            Channels::Averaged => Output::Averaged(Resampler::new(from)?),
            Channels::Apart(channels) => {
                if *channels == 0 {
                    *channels = from.channels;
                }
                let to = Format { sample_rate: SAMPLE_RATE, channels: *channels };
                Output::Apart(Converter::new(from, to)?)
            }
        })
    }

    /// Adds bytes that have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.queue.lock().bytes.extend(bytes);
    }

    /// No more bytes come.
    pub fn finish(&mut self) {
        self.queue.lock().ended = true;
    }

    /// Appends the next block to `samples`, at 16 kHz, interleaved. CPU time is this thread's.
    ///
    /// # Errors
    /// The stream is not understood, or damaged; nothing follows.
    pub fn take(&mut self, samples: &mut Vec<f32>) -> Result<Taken, AudioError> {
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
        let mut output = match self.output.take() {
            Some(output) => output,
            None => self.output(decoded.format())?,
        };
        if frames == 0 {
            output.finish(samples);
            return Ok(Taken::End);
        }
        output.push(&block, samples);
        self.output = Some(output);
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

    /// All samples of a stream with its channels apart.
    fn apart(bytes: &[u8], channels: u16) -> (u16, Vec<f32>) {
        let (mut decoder, mut samples) = (LiveDecoder::apart("it", channels), Vec::new());
        decoder.push(bytes);
        decoder.finish();
        while !matches!(decoder.take(&mut samples), Ok(Taken::End)) {}
        (decoder.channels(), samples)
    }

    #[test]
    fn channels_apart_are_those_of_the_recording_or_as_many_as_asked_for() {
        let stereo = fixture!("tone-48k-stereo.webm");
        let (channels, two) = apart(stereo, 0);
        assert_eq!((channels, two.len() % 2), (2, 0));
        // Each of them is as long as their average.
        let (mono, _) = hear(stereo, usize::MAX).expect("sound");
        assert!((two.len() / 2).abs_diff(mono.len()) <= 1, "{} of {}", two.len() / 2, mono.len());
        let (channels, three) = apart(stereo, 3);
        assert_eq!((channels, three.len()), (3, two.len() / 2 * 3));
        for (three, two) in three.chunks_exact(3).zip(two.chunks_exact(2)) {
            assert_eq!(three, [two[0], two[1], 0.0]);
        }
        // One channel is on all.
        let (_, all) = apart(fixture!("tone-48k-mono.opus"), 2);
        assert!(all.chunks_exact(2).all(|frame| frame[0] == frame[1]));
        assert!(all.iter().any(|sample| sample.abs() > 0.1));
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
