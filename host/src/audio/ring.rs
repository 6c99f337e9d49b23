//! Ring buffer from an audio callback, which must not wait, to a thread that may.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::{AudioError, Format};

/// Gaps that can wait to be read. While there are as many, the last one grows.
const GAPS: usize = 64;

/// Period at which a ring is polled. An audio callback cannot wake anybody: that would be a system
/// call.
#[cfg(any(feature = "capi", feature = "capture"))]
pub(crate) const RING_PERIOD: Duration = Duration::from_millis(10);

/// Audio that a ring holds unless somebody chooses otherwise: how long its reader may be held up,
/// by a machine that is busy or asleep, before audio is lost.
#[cfg(any(feature = "capi", feature = "capture"))]
pub(crate) const RING_HOLD: Duration = Duration::from_secs(4);

/// A lock-free ring of interleaved samples with one writer and one reader, that holds `capacity` of
/// audio.
///
/// # Errors
///
/// [`AudioError::Format`] if the rate or the channels are out of range.
pub fn ring(format: Format, capacity: Duration) -> Result<(RingWriter, RingReader), AudioError> {
    let format = format.validate()?;
    let frames = (capacity.as_secs_f64() * f64::from(format.sample_rate)).ceil().max(1.0) as usize;
    let channels = usize::from(format.channels);
    let (mut samples_in, mut samples_out) = HeapRb::new(frames.saturating_mul(channels)).split();
    // The first touch of a page is the kernel's business: not in the callback.
    samples_in.push_iter(std::iter::repeat(0.0));
    samples_out.clear();
    let (gaps_in, gaps_out) = HeapRb::new(GAPS).split();
    let offered = Arc::new(AtomicU64::new(0));
    let writer = RingWriter {
        samples: samples_in,
        gaps: gaps_in,
        channels,
        offered: Arc::clone(&offered),
        position: 0,
        gap: None,
    };
    let reader = RingReader {
        samples: samples_out,
        gaps: gaps_out,
        channels,
        offered,
        format,
        position: 0,
        ended: false,
    };
    Ok((writer, reader))
}

/// Frames that found no room.
#[derive(Debug, Clone, Copy)]
struct Gap {
    /// Position of the first frame.
    position: u64,
    frames: u64,
}

/// The end for an audio callback: it neither waits, locks, allocates nor calls the system.
pub struct RingWriter {
    samples: HeapProd<f32>,
    gaps: HeapProd<Gap>,
    channels: usize,
    /// `position`, for the reader.
    offered: Arc<AtomicU64>,
    /// Frames that were offered, taken or not.
    position: u64,
    /// Gap that was not yet reported to the reader: it may still grow.
    gap: Option<Gap>,
}

/// Next item of a [`RingReader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingRead {
    /// Number of frames, which were appended to the block.
    Frames(u64),
    /// Number of frames that were offered when there was no room, and are lost.
    Lost(u64),
    /// No frames yet.
    Empty,
    /// No frames, and none will come: the writer is gone.
    Ended,
}

/// The end for a thread that may take its time.
pub struct RingReader {
    samples: HeapCons<f32>,
    gaps: HeapCons<Gap>,
    channels: usize,
    offered: Arc<AtomicU64>,
    format: Format,
    /// Frames that were read or known to be lost.
    position: u64,
    ended: bool,
}

impl RingWriter {
    /// Takes whole interleaved frames, as many as there is room for; the reader learns of the
    /// others. Samples that are no whole frame at the end are left out.
    pub fn write(&mut self, interleaved: impl ExactSizeIterator<Item = f32>) {
        let frames = interleaved.len() / self.channels;
        let mut taken = frames.min(self.samples.vacant_len() / self.channels);
        if let Some(gap) = &mut self.gap {
            // The reader must know of a gap before it reads the samples behind it.
            if taken > 0 && self.gaps.try_push(*gap).is_ok() {
                self.gap = None;
            } else {
                gap.frames += frames as u64;
                taken = 0;
            }
        }
        self.samples.push_iter(interleaved.take(taken * self.channels));
        if taken < frames && self.gap.is_none() {
            let position = self.position + taken as u64;
            self.gap = Some(Gap { position, frames: (frames - taken) as u64 });
        }
        self.position += frames as u64;
        self.offered.store(self.position, Ordering::Release);
    }
}

impl RingReader {
    /// Rate and channels of the frames.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Clears `block` and reads the next item. Everything that was offered comes out as
    /// [`RingRead::Frames`] or [`RingRead::Lost`], in order.
    pub fn read(&mut self, block: &mut Vec<f32>) -> RingRead {
        block.clear();
        // Checked before the samples are counted: the last samples of a writer that is gone are
        // counted then.
        let alone = !self.samples.write_is_held();
        // Counted before the gaps are checked: gaps before these samples are known then.
        let available = (self.samples.occupied_len() / self.channels) as u64;
        let gap = self.gaps.try_peek().copied();
        let until = gap.map_or(u64::MAX, |gap| gap.position.saturating_sub(self.position));
        let frames = available.min(until);
        if frames > 0 {
            let count = frames as usize * self.channels;
            block.extend(self.samples.pop_iter().take(count));
            self.position += frames;
            return RingRead::Frames(frames);
        }
        if let Some(gap) = gap.filter(|gap| gap.position <= self.position) {
            self.gaps.try_pop();
            self.position += gap.frames;
            return RingRead::Lost(gap.frames);
        }
        if !alone {
            return RingRead::Empty;
        }
        // A last gap that the writer could not tell of.
        let lost = self.offered.load(Ordering::Acquire).saturating_sub(self.position);
        self.position += lost;
        if lost > 0 && !self.ended {
            return RingRead::Lost(lost);
        }
        self.ended = true;
        RingRead::Ended
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEREO: Format = Format { sample_rate: 8_000, channels: 2 };

    /// Frame `n` holds `n` on the left and `-n` on the right.
    fn frames(from: u64, count: u64) -> Vec<f32> {
        (from..from + count).flat_map(|n| [n as f32, -(n as f32)]).collect()
    }

    /// Reads until there is nothing; answers each frame's number, `None` for those that were lost.
    fn drain(reader: &mut RingReader) -> Vec<Option<u64>> {
        let (mut block, mut all) = (Vec::new(), Vec::new());
        loop {
            match reader.read(&mut block) {
                RingRead::Frames(count) => {
                    assert_eq!(block.len() as u64, 2 * count);
                    for frame in block.chunks_exact(2) {
                        assert_eq!(frame[0], -frame[1], "frames stay whole");
                        all.push(Some(frame[0] as u64));
                    }
                }
                RingRead::Lost(count) => all.extend((0..count).map(|_| None)),
                RingRead::Empty | RingRead::Ended => return all,
            }
        }
    }

    proptest! {
        #[test]
        fn every_frame_is_read_or_known_to_be_lost(
            capacity_ms in 1u64..20,
            steps in prop::collection::vec((0u64..300, any::<bool>()), 1..200),
        ) {
            let (mut writer, mut reader) = ring(STEREO, Duration::from_millis(capacity_ms)).unwrap();
            let (mut offered, mut seen) = (0, Vec::new());
            for (count, read) in steps {
                writer.write(frames(offered, count).into_iter());
                offered += count;
                if read {
                    seen.extend(drain(&mut reader));
                }
            }
            drop(writer);
            seen.extend(drain(&mut reader));
            prop_assert_eq!(seen.len() as u64, offered);
            for (n, frame) in seen.iter().enumerate() {
                prop_assert!(frame.is_none_or(|frame| frame == n as u64), "frame {} at {}", frame.unwrap(), n);
            }
            prop_assert_eq!(reader.read(&mut Vec::new()), RingRead::Ended);
        }
    }

    #[test]
    fn a_full_ring_loses_what_comes_last_and_says_where() {
        let (mut writer, mut reader) = ring(STEREO, Duration::from_millis(10)).unwrap();
        writer.write(frames(0, 100).into_iter());
        writer.write(frames(100, 50).into_iter());
        let mut block = Vec::new();
        assert_eq!(reader.read(&mut block), RingRead::Frames(80));
        // The gap ends when there is room again.
        assert_eq!(reader.read(&mut block), RingRead::Empty);
        writer.write(frames(150, 10).into_iter());
        assert_eq!(reader.read(&mut block), RingRead::Lost(70));
        assert_eq!(reader.read(&mut block), RingRead::Frames(10));
        assert_eq!(block, frames(150, 10));
    }

    #[test]
    fn two_threads_lose_nothing_without_saying_so() {
        let (mut writer, mut reader) = ring(STEREO, Duration::from_millis(50)).unwrap();
        let offered = 400_000;
        let writing = std::thread::spawn(move || {
            (0..offered / 100).for_each(|n| writer.write(frames(n * 100, 100).into_iter()));
        });
        let (mut seen, mut block) = (0, Vec::new());
        loop {
            match reader.read(&mut block) {
                RingRead::Frames(count) => {
                    assert_eq!(block, frames(seen, count), "at {seen}");
                    seen += count;
                }
                RingRead::Lost(count) => seen += count,
                RingRead::Empty => std::hint::spin_loop(),
                RingRead::Ended => break,
            }
        }
        writing.join().unwrap();
        assert_eq!(seen, offered);
    }
}
