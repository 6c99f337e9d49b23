//! Recordings that change their rate or channels on the way: what follows is given the format of
//! what came first.

use crate::audio::resample::{Rate, at_rate};
use crate::audio::{AudioError, Format};

/// Turns audio of one format into that of another, as a stream.
pub(super) struct Converter {
    from: Format,
    to: Format,
    rate: Option<Rate>,
    /// Frames with the channels of `to` and the rate of `from` that do not fill a block yet.
    waiting: Vec<f32>,
    frames_in: u64,
    frames_out: u64,
}

impl Converter {
    /// A converter between two formats.
    ///
    /// # Errors
    /// [`AudioError::Format`] if the rate or the channels of `from` are out of range.
    pub(super) fn new(from: Format, to: Format) -> Result<Self, AudioError> {
        let rate = Rate::between(from.validate()?.sample_rate, to.sample_rate, to.channels)?;
        Ok(Self { from, to, rate, waiting: Vec::new(), frames_in: 0, frames_out: 0 })
    }

    /// The format that comes in.
    pub(super) fn from(&self) -> Format {
        self.from
    }

    /// Appends to `out` what can be computed with whole frames.
    pub(super) fn push(&mut self, interleaved: &[f32], out: &mut Vec<f32>) {
        let channels = usize::from(self.to.channels);
        for frame in interleaved.chunks_exact(self.from.channels.into()) {
            spread(frame, channels, &mut self.waiting);
            self.frames_in += 1;
        }
        let Some(rate) = &mut self.rate else {
            out.append(&mut self.waiting);
            return;
        };
        let block = rate.block() * channels;
        let mut blocks = self.waiting.chunks_exact(block);
        for block in &mut blocks {
            self.frames_out += rate.convert(block, usize::MAX, out);
        }
        let rest = blocks.remainder().len();
        self.waiting.drain(..self.waiting.len() - rest);
    }

    /// Appends the rest to `out`.
    pub(super) fn finish(mut self, out: &mut Vec<f32>) {
        let Some(rate) = &mut self.rate else { return };
        let total = at_rate(self.frames_in, self.from.sample_rate, self.to.sample_rate);
        // Silence behind the end pushes the last real samples out of the filter.
        self.waiting.resize(rate.block() * usize::from(self.to.channels), 0.0);
        while self.frames_out < total {
            let missing = usize::try_from(total - self.frames_out).unwrap_or(usize::MAX);
            self.frames_out += rate.convert(&self.waiting, missing, out);
            self.waiting.fill(0.0);
        }
    }
}

/// Gives one frame another number of channels: one channel goes to all, all are averaged into one,
/// and otherwise each stays where it is, and what is missing is silent.
fn spread(frame: &[f32], channels: usize, out: &mut Vec<f32>) {
    match (frame, channels) {
        ([mono], _) => out.extend(std::iter::repeat_n(*mono, channels)),
        (_, 1) => out.push(frame.iter().sum::<f32>() / frame.len() as f32),
        _ => out.extend((0..channels).map(|channel| frame.get(channel).copied().unwrap_or(0.0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(from: Format, to: Format, input: &[f32]) -> Vec<f32> {
        let mut converter = Converter::new(from, to).expect("valid");
        let mut out = Vec::new();
        // Whole frames, in blocks of odd sizes.
        for piece in input.chunks(333 * usize::from(from.channels)) {
            converter.push(piece, &mut out);
        }
        converter.finish(&mut out);
        out
    }

    #[test]
    fn a_tone_keeps_its_length_and_its_loudness() {
        for (from, to) in [(16_000, 24_000), (24_000, 16_000), (44_100, 48_000), (8_000, 8_000)] {
            for (mono, other) in [(1, 2), (2, 1), (2, 6), (6, 2)] {
                let format = |sample_rate, channels| Format { sample_rate, channels };
                let tone = |n: usize| (n as f32 * 0.1 * 16_000.0 / from as f32).sin() * 0.5;
                let input: Vec<f32> =
                    (0..from as usize).flat_map(|n| std::iter::repeat_n(tone(n), mono.into())).collect();
                let out = convert(format(from, mono), format(to, other), &input);
                assert_eq!(out.len(), to as usize * usize::from(other), "{from} {mono} to {to} {other}");
                let first =
                    out.iter().step_by(other.into()).map(|sample| sample * sample).sum::<f32>() / to as f32;
                assert!((first - 0.125).abs() < 0.005, "{from} {mono} to {to} {other}: {first}");
            }
        }
    }

    #[test]
    fn a_format_out_of_range_is_refused() {
        let ten = Format { sample_rate: 16_000, channels: 10 };
        assert!(matches!(Converter::new(ten, Format::MODEL), Err(AudioError::Format { .. })));
    }
}
