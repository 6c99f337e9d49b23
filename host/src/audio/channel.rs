//! One channel of a recording by itself.

use super::{AudioError, Faults, Format, Source, Tracks};

/// A source that has one channel of another: a telephone call has a speaker in each.
#[derive(Debug)]
pub struct Channel<S> {
    source: S,
    channel: usize,
    width: usize,
    block: Vec<f32>,
}

impl<S: Source> Channel<S> {
    /// Channel number `channel` of `source`, counted from 0. A channel that it does not have is
    /// silent.
    pub fn new(source: S, channel: u16) -> Self {
        let width = source.format().channels.into();
        Self { source, channel: channel.into(), width, block: Vec::new() }
    }
}

impl<S: Source> Source for Channel<S> {
    fn format(&self) -> Format {
        Format { channels: 1, ..self.source.format() }
    }

    fn frames(&self) -> Option<u64> {
        self.source.frames()
    }

    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        block.clear();
        let frames = self.source.read(&mut self.block)?;
        let of_frame = |frame: &[f32]| frame.get(self.channel).copied().unwrap_or(0.0);
        block.extend(self.block.chunks_exact(self.width).map(of_frame));
        Ok(frames)
    }

    fn take_gap(&mut self) -> u64 {
        self.source.take_gap()
    }

    fn faults(&self) -> Faults {
        self.source.faults()
    }

    fn tracks(&self) -> Option<Tracks> {
        self.source.tracks()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::Samples;

    #[test]
    fn each_channel_is_alone() {
        let format = Format { sample_rate: 16_000, channels: 2 };
        for (channel, expected) in [(0, [0.1, 0.3]), (1, [0.2, 0.4]), (2, [0.0, 0.0])] {
            let samples = Samples::new(vec![0.1, 0.2, 0.3, 0.4], format).expect("whole frames");
            let mut source = Channel::new(samples, channel);
            assert_eq!(source.format(), Format { channels: 1, ..format });
            let mut block = vec![7.0];
            assert_eq!(source.read(&mut block).expect("sound"), 2);
            assert_eq!(block, expected);
            assert_eq!(source.read(&mut block).expect("the end"), 0);
            assert!(block.is_empty());
        }
    }
}
