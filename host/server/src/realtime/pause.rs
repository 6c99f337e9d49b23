//! Detects that a commit falls into a pause, where nothing is cut: by level alone, since voice
//! activity learns of it later.

use std::collections::VecDeque;

use hearken::audio::{Encoding, Faults};

/// Blocks of 20 ms, as a part of a second.
const BLOCKS_PER_SECOND: usize = 50;
/// Minimum length of a pause: 160 ms. Before some consonants speech is silent for up to 100.
const PAUSE: usize = 8;
/// And this much quieter than speech: 16 dB.
const QUIETER: f32 = 6.3;
/// Part that is left of the loudest block after each other one: half after 2.8 s.
const FADE: f32 = 0.995;

/// Follows the level of the audio.
#[derive(Debug)]
pub(super) struct Level {
    encoding: Encoding,
    /// Samples in a block.
    block: usize,
    /// Samples that are not a whole block yet, and bytes that are no whole sample.
    samples: Vec<f32>,
    bytes: Vec<u8>,
    /// Levels of the last blocks.
    recent: VecDeque<f32>,
    loudest: f32,
}

impl Level {
    pub(super) fn new(encoding: Encoding, sample_rate: u32) -> Self {
        Self {
            encoding,
            block: (sample_rate as usize / BLOCKS_PER_SECOND).max(1),
            samples: Vec::new(),
            bytes: Vec::new(),
            recent: VecDeque::with_capacity(PAUSE),
            loudest: 0.0,
        }
    }

    /// Takes audio.
    pub(super) fn push(&mut self, audio: &[u8]) {
        self.bytes.extend_from_slice(audio);
        let whole = self.bytes.len() / self.encoding.bytes() * self.encoding.bytes();
        self.encoding.decode(&self.bytes[..whole], &mut self.samples, &mut Faults::default());
        self.bytes.drain(..whole);
        for block in self.samples.chunks_exact(self.block) {
            let energy: f32 = block.iter().map(|sample| sample * sample).sum();
            let level = (energy / block.len() as f32).sqrt();
            self.loudest = (self.loudest * FADE).max(level);
            if self.recent.len() == PAUSE {
                self.recent.pop_front();
            }
            self.recent.push_back(level);
        }
        let rest = self.samples.len() / self.block * self.block;
        self.samples.drain(..rest);
    }

    /// Returns true if the last 160 ms were quiet.
    pub(super) fn is_pause(&self) -> bool {
        self.recent.len() == PAUSE && self.recent.iter().all(|level| level * QUIETER < self.loudest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes `ms` ms of a tone of this amplitude, of 16-bit samples at 16 kHz.
    fn tone(ms: usize, amplitude: f32) -> Vec<u8> {
        let sample = |at: usize| (at as f32 * 0.3).sin() * amplitude * 32_767.0;
        (0..ms * 16).flat_map(|at| (sample(at) as i16).to_le_bytes()).collect()
    }

    #[test]
    fn a_pause_is_quieter_than_speech_for_a_while() {
        let mut level = Level::new(Encoding::S16Le, 16_000);
        assert!(!level.is_pause(), "nothing was heard");
        level.push(&tone(500, 0.3));
        assert!(!level.is_pause());
        level.push(&tone(100, 0.01));
        assert!(!level.is_pause(), "as before a consonant");
        for piece in tone(100, 0.01).chunks(7) {
            level.push(piece);
        }
        assert!(level.is_pause());
        level.push(&tone(40, 0.3));
        assert!(!level.is_pause());
        // Where all is as loud, nothing is a pause.
        let mut level = Level::new(Encoding::S16Le, 16_000);
        level.push(&tone(1000, 0.01));
        assert!(!level.is_pause());
    }
}
