//! The part of an utterance that is decoded.

use hearken_proto::window::{STRIDES, quietest};

/// Distance of the places that are looked at for a cut [samples]: 10 ms.
const STEP: usize = hearken_proto::SAMPLE_RATE as usize / 100;

/// The latest part of an utterance.
pub(crate) struct Window {
    samples: Vec<f32>,
    /// Position of the first sample in the utterance.
    start: u32,
    /// Samples beyond which it slides.
    full: usize,
}

impl Window {
    /// Makes a window for a model with a context of `capacity` samples.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { samples: Vec::new(), start: 0, full: capacity / STRIDES * (STRIDES - 1) }
    }

    pub(crate) fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Buffer to which new samples are appended.
    pub(crate) fn samples_mut(&mut self) -> &mut Vec<f32> {
        &mut self.samples
    }

    /// Position of the first sample in the utterance.
    pub(crate) fn start(&self) -> u32 {
        self.start
    }

    /// Position after the last sample.
    pub(crate) fn end(&self) -> u32 {
        self.start.saturating_add(self.samples.len() as u32)
    }

    /// Returns true if it must slide before more comes: when there is room for one stride only.
    pub(crate) fn is_full(&self) -> bool {
        self.samples.len() >= self.full
    }

    /// Minimum position of a cut that makes enough room: three tenths of the window.
    pub(crate) fn least_cut(&self) -> u32 {
        self.start + (self.samples.len() / 10 * 3) as u32
    }

    /// The quietest place between three and seven tenths of the window.
    pub(crate) fn quietest_cut(&self) -> u32 {
        let (first, last) = (self.samples.len() / 10 * 3, self.samples.len() / 10 * 7);
        self.start + quietest(&self.samples, first..last, STEP) as u32
    }

    /// Forgets everything before `position`.
    pub(crate) fn cut(&mut self, position: u32) {
        let count = (position.saturating_sub(self.start) as usize).min(self.samples.len());
        self.samples.drain(..count);
        self.start += count as u32;
    }

    /// Forgets everything: the next utterance begins.
    pub(crate) fn clear(&mut self) {
        self.samples.clear();
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_falls_into_the_gap() {
        let mut window = Window::new(20_000);
        let gap = 9_000..10_000;
        window
            .samples_mut()
            .extend((0..16_000).map(|i| if gap.contains(&i) { 0.0 } else { (i as f32 * 0.3).sin() }));
        assert!(window.is_full());
        let cut = window.quietest_cut();
        assert!(gap.contains(&(cut as usize)), "{cut}");
        window.cut(cut);
        assert_eq!((window.start(), window.end()), (cut, 16_000));
        window.clear();
        assert_eq!((window.start(), window.end()), (0, 0));
    }
}
