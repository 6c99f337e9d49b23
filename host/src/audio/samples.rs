//! Audio that is in memory already.

use super::{AudioError, Faults, Format, Source};

/// Frames handed out at a time: a tenth of a second at 48 kHz, so that progress shows.
const BLOCK: usize = 4_800;

/// A [`Source`] over interleaved samples in memory.
#[derive(Debug, Clone)]
pub struct Samples {
    samples: Vec<f32>,
    format: Format,
    /// Samples handed out.
    done: usize,
    faults: Faults,
}

impl Samples {
    /// Interleaved samples of the given format. A frame that is not complete at the end is left
    /// out.
    ///
    /// # Errors
    ///
    /// [`AudioError::Format`] for a format out of range.
    pub fn new(samples: Vec<f32>, format: Format) -> Result<Self, AudioError> {
        Ok(Self { samples, format: format.validate()?, done: 0, faults: Faults::default() })
    }
}

impl Source for Samples {
    fn format(&self) -> Format {
        self.format
    }

    fn frames(&self) -> Option<u64> {
        Some((self.samples.len() / usize::from(self.format.channels)) as u64)
    }

    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        let channels = usize::from(self.format.channels);
        let rest = &self.samples[self.done..];
        let frames = (rest.len() / channels).min(BLOCK);
        block.clear();
        block.extend_from_slice(&rest[..frames * channels]);
        super::sanitize::sanitize(block, &mut self.faults);
        self.done += block.len();
        Ok(frames)
    }

    fn faults(&self) -> Faults {
        self.faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_whole_frames_come_out_in_order_and_clean() {
        let format = Format { sample_rate: 48_000, channels: 2 };
        let mut samples: Vec<f32> = (0..30_001).map(|i| i as f32 / 40_000.0).collect();
        samples[7] = f32::NAN;
        let mut source = Samples::new(samples.clone(), format).unwrap();
        let (mut all, mut block) = (Vec::new(), Vec::new());
        while source.read(&mut block).unwrap() > 0 {
            all.extend_from_slice(&block);
        }
        samples[7] = 0.0;
        assert_eq!(all, samples[..30_000]);
        assert_eq!(source.faults().non_finite_samples, 1);
        assert_eq!(source.frames(), Some(15_000));
    }
}
