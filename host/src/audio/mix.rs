//! Several channels as one.

use super::Format;

/// Length of a measurement, in ms: how soon channels that cancel each other out are noticed.
const WINDOW_MS: u32 = 10;

/// Share of the energy measured so far that is kept after each measurement: half of it is gone
/// after 340 ms.
const MEMORY: f32 = 0.98;

/// The average has less than this share of the channels' mean energy: they cancel each other out.
/// Channels that have nothing in common leave one half (of two) to one eighth (of eight).
const CANCELLED: f32 = 0.02;

/// The average has more than this share: they no longer do.
const RESTORED: f32 = 0.08;

/// Averages channels. Where that cancels the sound, because one is the other upside down (a cable
/// wired the wrong way round, a "vocal remover"), takes the loudest channel instead.
#[derive(Debug)]
pub(super) struct Mixer {
    channels: usize,
    /// Frames of a measurement.
    window: usize,
    /// Samples of a frame that the last push cut in half.
    split: Vec<f32>,
    /// Frames of the measurement that runs.
    measured: usize,
    /// Smoothed energy of each channel, then of the average; empty for one channel.
    energies: Vec<f32>,
    /// The channel that is taken at present.
    taken: Option<usize>,
    /// The last one that was.
    last_taken: Option<usize>,
}

impl Mixer {
    pub(super) fn new(format: Format) -> Self {
        let channels = usize::from(format.channels);
        Self {
            channels,
            window: (format.sample_rate * WINDOW_MS / 1000) as usize,
            split: Vec::new(),
            measured: 0,
            energies: if channels > 1 { vec![0.0; channels + 1] } else { Vec::new() },
            taken: None,
            last_taken: None,
        }
    }

    /// The channel that was last taken alone, counted from 0.
    pub(super) fn taken(&self) -> Option<u16> {
        self.last_taken.and_then(|channel| u16::try_from(channel).ok())
    }

    /// Appends the mix of whole frames to `mono`, and keeps a split one for the next push.
    pub(super) fn push(&mut self, mut interleaved: &[f32], mono: &mut Vec<f32>) {
        if self.channels == 1 {
            mono.extend_from_slice(interleaved);
            return;
        }
        if !self.split.is_empty() {
            let missing = (self.channels - self.split.len()).min(interleaved.len());
            let (head, tail) = interleaved.split_at(missing);
            self.split.extend_from_slice(head);
            interleaved = tail;
            if self.split.len() < self.channels {
                return;
            }
            let frame = std::mem::take(&mut self.split);
            mono.push(self.mix(&frame));
        }
        let frames = interleaved.chunks_exact(self.channels);
        self.split.extend_from_slice(frames.remainder());
        mono.extend(frames.map(|frame| self.mix(frame)));
    }

    /// Resets the measurement, and returns the number of samples of an incomplete frame that are
    /// left out.
    pub(super) fn finish(&mut self) -> usize {
        self.measured = 0;
        self.energies.fill(0.0);
        self.taken = None;
        std::mem::take(&mut self.split).len()
    }

    fn mix(&mut self, frame: &[f32]) -> f32 {
        let average = frame.iter().sum::<f32>() / frame.len() as f32;
        for (energy, sample) in self.energies.iter_mut().zip(frame.iter().chain([&average])) {
            *energy += sample * sample;
        }
        let mixed = self.taken.map_or(average, |channel| frame[channel]);
        self.measured += 1;
        if self.measured == self.window {
            self.measured = 0;
            self.judge();
        }
        mixed
    }

    fn judge(&mut self) {
        let Some((average, channels)) = self.energies.split_last() else { return };
        let mean = channels.iter().sum::<f32>() / channels.len() as f32;
        if self.taken.is_none() && *average < CANCELLED * mean {
            // The first of equal ones.
            let loudest = channels.iter().enumerate().rev().max_by(|one, other| one.1.total_cmp(other.1));
            self.taken = loudest.map(|(channel, _)| channel);
            self.last_taken = self.taken;
        } else if *average > RESTORED * mean {
            self.taken = None;
        }
        self.energies.iter_mut().for_each(|energy| *energy *= MEMORY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(mixer: &mut Mixer, frames: &[f32], block: usize) -> Vec<f32> {
        let mut mono = Vec::new();
        frames.chunks(block).for_each(|block| mixer.push(block, &mut mono));
        mono
    }

    /// Both channels, made of a sample of a tone.
    type Sides = fn(f32) -> [f32; 2];

    fn stereo(seconds: f32, sides: impl Fn(f32) -> [f32; 2]) -> Vec<f32> {
        (0..(seconds * 16_000.0) as usize).flat_map(|n| sides((n as f32 * 0.1).sin())).collect()
    }

    fn level(samples: &[f32]) -> f32 {
        (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
    }

    const STEREO: Format = Format { sample_rate: 16_000, channels: 2 };

    #[test]
    fn channels_that_cancel_each_other_out_leave_the_louder_one() {
        let mut mixer = Mixer::new(STEREO);
        let mono = mixed(&mut mixer, &stereo(1.0, |s| [0.45 * s, -0.5 * s]), 777);
        assert_eq!(mixer.taken(), Some(1));
        assert!(level(&mono[..160]) < 0.03, "it takes a measurement");
        assert!((level(&mono[160..]) - 0.5 * 0.5f32.sqrt()).abs() < 0.01);
    }

    #[test]
    fn other_channels_are_averaged() {
        let cases: [(&str, Sides); 4] = [
            ("the same", |s| [s, s]),
            ("one silent", |s| [s, 0.0]),
            ("one much quieter, upside down", |s| [s, -0.3 * s]),
            ("silence", |_| [0.0, 0.0]),
        ];
        for (name, sides) in cases {
            let mut mixer = Mixer::new(STEREO);
            let input = stereo(1.0, sides);
            let average: Vec<f32> = input.chunks_exact(2).map(|frame| (frame[0] + frame[1]) / 2.0).collect();
            assert_eq!(mixed(&mut mixer, &input, 640), average, "{name}");
            assert_eq!(mixer.taken(), None, "{name}");
        }
    }

    #[test]
    fn it_comes_back_to_the_average_and_starts_afresh() {
        let mut mixer = Mixer::new(STEREO);
        mixed(&mut mixer, &stereo(1.0, |s| [s, -s]), 640);
        let mono = mixed(&mut mixer, &stereo(2.0, |s| [s, 0.8 * s]), 640);
        assert!((level(&mono[16_000..]) - 0.9 * 0.5f32.sqrt()).abs() < 0.01, "averaged again");
        assert_eq!(mixer.taken(), Some(0), "it is remembered");
        assert_eq!(mixer.finish(), 0);
        mixer.push(&[0.1, 0.2, 0.3], &mut Vec::new());
        assert_eq!(mixer.finish(), 1);
    }
}
