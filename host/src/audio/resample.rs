//! Resampling from any rate and channel count to 16 kHz mono.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use super::mix::Mixer;
use super::{AudioError, Format};

/// Length of a block that is transformed at once [ms], rounded up to a multiple that the ratio of
/// the rates allows: 12 ms at 48 kHz, 20 ms at 44.1 kHz. A longer block has a narrower transition
/// band, more delay, and tables that each of ten thousand idle sessions would hold; at this length
/// 7.4 kHz passes untouched and 7.5 kHz loses 0.3 dB.
const BLOCK_MS: u32 = 12;

/// Frames that are averaged at once where no rate changes.
const PASS: usize = 1024;

/// Turns interleaved audio of one [`Format`] into 16 kHz mono, as a stream.
///
/// Channels are averaged; where that cancels the sound, the loudest is
/// [taken](Self::taken_channel). Then they are resampled with [rubato]'s synchronous FFT resampler.
/// The filter's delay is compensated: output sample `n` is the input at `n / 16000` seconds. What
/// comes out does not depend on how the input is cut into blocks, and after
/// [`finish`](Self::finish) it is exactly `round(frames * 16000 / rate)` samples. Input that
/// already is 16 kHz mono passes unchanged, bit by bit.
///
/// The last 25 ms or so are only known once the input behind them is; rates that share few factors
/// with 16 kHz (44 099 Hz, say) need blocks of up to two seconds.
pub struct Resampler {
    format: Format,
    mixer: Mixer,
    /// Mono samples at the input's rate that do not fill a block yet.
    waiting: Vec<f32>,
    /// `None` at 16 kHz.
    rate: Option<Rate>,
    frames_in: u64,
    frames_out: u64,
}

/// A change of rate: rubato's resampler with its delay taken out.
pub(super) struct Rate {
    fft: Fft<f32>,
    channels: usize,
    scratch: Vec<f32>,
    /// Output samples that are still the filter's delay, and to be thrown away.
    delay: usize,
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resampler")
            .field("format", &self.format)
            .field("frames_in", &self.frames_in)
            .field("frames_out", &self.frames_out)
            .finish_non_exhaustive()
    }
}

impl Resampler {
    /// A resampler from `format` to [`Format::MODEL`].
    ///
    /// # Errors
    /// [`AudioError::Format`] if the rate or the channels are out of range.
    pub fn new(format: Format) -> Result<Self, AudioError> {
        let format = format.validate()?;
        let rate = Rate::between(format.sample_rate, crate::SAMPLE_RATE, 1)?;
        Ok(Self { format, mixer: Mixer::new(format), waiting: Vec::new(), rate, frames_in: 0, frames_out: 0 })
    }

    /// Input format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Frames taken in so far.
    pub fn frames_in(&self) -> u64 {
        self.frames_in
    }

    /// Samples given out so far.
    pub fn frames_out(&self) -> u64 {
        self.frames_out
    }

    /// The channel, counted from 0, that was taken alone, because averaging the channels would have
    /// cancelled the sound.
    pub fn taken_channel(&self) -> Option<u16> {
        self.mixer.taken()
    }

    /// Appends to `out` the output that can be computed with `interleaved`, which may be of any
    /// length and end within a frame.
    pub fn push(&mut self, interleaved: &[f32], out: &mut Vec<f32>) {
        let block = self.rate.as_ref().map_or(PASS, Rate::block);
        let channels = usize::from(self.format.channels);
        let mut rest = interleaved;
        // Block by block: the buffer never grows beyond one, whatever is pushed at once.
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(rest.len().min((block - self.waiting.len()) * channels));
            rest = tail;
            let before = self.waiting.len();
            self.mixer.push(head, &mut self.waiting);
            self.frames_in += (self.waiting.len() - before) as u64;
            match &mut self.rate {
                None => {
                    self.frames_out += self.waiting.len() as u64;
                    out.append(&mut self.waiting);
                }
                Some(rate) if self.waiting.len() == block => {
                    self.frames_out += rate.convert(&self.waiting, usize::MAX, out);
                    self.waiting.clear();
                }
                Some(_) => {}
            }
        }
    }

    /// Appends the rest to `out` and starts afresh, for another stream of the same format.
    ///
    /// Returns how many samples of an incomplete last frame were left out: 0 unless the input ended
    /// within a frame.
    pub fn finish(&mut self, out: &mut Vec<f32>) -> usize {
        if let Some(rate) = &mut self.rate {
            let total = resampled(self.frames_in, self.format.sample_rate);
            let block = rate.block();
            // Silence behind the end pushes the last real samples out of the filter.
            self.waiting.resize(block, 0.0);
            while self.frames_out < total {
                let missing = usize::try_from(total - self.frames_out).unwrap_or(usize::MAX);
                self.frames_out += rate.convert(&self.waiting, missing, out);
                self.waiting.fill(0.0);
            }
            rate.reset();
        }
        self.waiting.clear();
        self.frames_in = 0;
        self.frames_out = 0;
        self.mixer.finish()
    }
}

impl Rate {
    /// A change of rate for interleaved samples of `channels`; `None` where the rates are the same.
    pub(super) fn between(from: u32, to: u32, channels: u16) -> Result<Option<Self>, AudioError> {
        if from == to {
            return Ok(None);
        }
        let step = from / gcd(from, to);
        // An even number of steps puts the filter's center on a sample, on both sides: the delay is
        // a whole number.
        let steps = (from * BLOCK_MS / 1000).div_ceil(step).next_multiple_of(2);
        let fft = Fft::new_custom(
            from as usize,
            to as usize,
            (step * steps) as usize,
            1,
            channels.into(),
            WindowFunction::BlackmanHarris,
            FixedSync::Both,
        )
        .map_err(|_| AudioError::Format { sample_rate: from, channels })?;
        let channels = usize::from(channels);
        let scratch = vec![0.0; fft.output_frames_max() * channels];
        Ok(Some(Self { scratch, channels, delay: fft.output_delay(), fft }))
    }

    /// Frames of the next block to convert.
    pub(super) fn block(&self) -> usize {
        self.fft.input_frames_next()
    }

    /// Converts one block, and appends at most `limit` frames of it that are not the filter's
    /// delay. Returns how many.
    pub(super) fn convert(&mut self, block: &[f32], limit: usize, out: &mut Vec<f32>) -> u64 {
        let channels = self.channels;
        let frames = self.scratch.len() / channels;
        let input = InterleavedSlice::new(block, channels, block.len() / channels)
            .expect("the slice has exactly these frames");
        let mut output = InterleavedSlice::new_mut(&mut self.scratch, channels, frames)
            .expect("the slice has exactly these frames");
        let (_, written) = self
            .fft
            .process_into_buffer(&input, &mut output, None)
            .expect("both blocks have the size that the resampler asked for");
        let skip = self.delay.min(written);
        self.delay -= skip;
        let usable = (written - skip).min(limit);
        out.extend_from_slice(&self.scratch[skip * channels..(skip + usable) * channels]);
        usable as u64
    }

    fn reset(&mut self) {
        self.fft.reset();
        self.delay = self.fft.output_delay();
    }
}

/// Number of samples at 16 kHz that `frames` frames become: `round(frames * 16000 / rate)`, halves
/// upwards.
pub fn resampled(frames: u64, rate: u32) -> u64 {
    at_rate(frames, rate, crate::SAMPLE_RATE)
}

/// Frames at the rate `to` that so many frames at the rate `from` become, rounded, halves upwards.
pub(crate) fn at_rate(frames: u64, from: u32, to: u32) -> u64 {
    let (frames, from, to) = (u128::from(frames), u128::from(from), u128::from(to));
    u64::try_from((2 * frames * to + from) / (2 * from)).unwrap_or(u64::MAX)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use proptest::prelude::*;

    use super::*;
    use crate::noise::Noise;

    fn resample(format: Format, input: &[f32], block: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(format).expect("valid");
        let mut out = Vec::new();
        for piece in input.chunks(block.max(1)) {
            resampler.push(piece, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    fn sine(rate: u32, hz: f64, frames: usize) -> Vec<f32> {
        (0..frames).map(|n| (0.5 * (TAU * hz * n as f64 / f64::from(rate)).sin()) as f32).collect()
    }

    /// Cheap, repeatable, broadband.
    fn noise(len: usize, seed: u32) -> Vec<f32> {
        let mut noise = Noise(seed);
        (0..len).map(|_| 0.5 * noise.sample()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn the_length_is_exact_and_blocks_do_not_matter(
            rate in prop_oneof![
                prop::sample::select(vec![
                    8_000u32, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000,
                ]),
                8_000u32..=192_000,
            ],
            channels in 1u16..=8,
            frames in 0usize..9_000,
            block in 1usize..5_000,
            seed in any::<u32>(),
        ) {
            let format = Format { sample_rate: rate, channels };
            let input = noise(frames * usize::from(channels), seed);
            let whole = resample(format, &input, input.len());
            prop_assert_eq!(whole.len() as u64, resampled(frames as u64, rate));
            prop_assert_eq!(&whole, &resample(format, &input, block));
        }

        #[test]
        fn sixteen_kilohertz_mono_passes_bit_by_bit(
            input in prop::collection::vec(any::<i16>(), 0..3_000), block in 1usize..700,
        ) {
            let input: Vec<f32> = input.iter().map(|&s| f32::from(s) / 32_768.0).collect();
            prop_assert_eq!(&resample(Format::MODEL, &input, block), &input);
        }
    }

    #[test]
    fn rounding_is_to_the_nearest_sample() {
        assert_eq!(resampled(0, 44_100), 0);
        assert_eq!(resampled(1, 48_000), 0);
        assert_eq!(resampled(2, 48_000), 1);
        assert_eq!(resampled(44_100, 44_100), 16_000);
        assert_eq!(resampled(1, 32_000), 1);
        assert_eq!(resampled(u64::MAX, 8_000), u64::MAX);
    }

    #[test]
    fn a_tone_keeps_its_pitch_level_and_place_at_every_rate() {
        for rate in [8_000, 11_025, 22_050, 32_000, 37_800, 44_100, 48_000, 96_000, 192_000, 44_099] {
            let format = Format { sample_rate: rate, channels: 1 };
            let out = resample(format, &sine(rate, 1_000.0, 3 * rate as usize), 1_777);
            let ideal = sine(16_000, 1_000.0, out.len());
            let worst = out[1_600..out.len() - 1_600]
                .iter()
                .zip(&ideal[1_600..])
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            // -74 dB of the tone; a delay of a tenth of a sample would be ten times as much.
            assert!(worst < 1e-4, "{rate} Hz: {worst}");
        }
    }

    #[test]
    fn what_sixteen_kilohertz_cannot_hold_is_removed_and_what_speech_needs_is_kept() {
        let level = |hz: f64| {
            let format = Format { sample_rate: 48_000, channels: 1 };
            let out = resample(format, &sine(48_000, hz, 48_000), 480);
            let middle = &out[4_000..12_000];
            (middle.iter().map(|s| s * s).sum::<f32>() / middle.len() as f32).sqrt() / 0.5f32.powf(1.5)
        };
        for hz in [60.0, 300.0, 3_400.0, 7_000.0, 7_400.0] {
            assert!((level(hz) - 1.0).abs() < 0.01, "{hz} Hz: {}", level(hz));
        }
        assert!((level(7_500.0) - 1.0).abs() < 0.04, "{}", level(7_500.0));
        for hz in [8_300.0, 10_000.0, 15_000.0, 23_000.0] {
            assert!(level(hz) < 1e-4, "{hz} Hz: {}", level(hz));
        }
    }

    #[test]
    fn channels_are_averaged_even_when_a_push_ends_within_a_frame() {
        let format = Format { sample_rate: 16_000, channels: 3 };
        let mut resampler = Resampler::new(format).expect("valid");
        let mut out = Vec::new();
        resampler.push(&[0.3], &mut out);
        resampler.push(&[0.6], &mut out);
        resampler.push(&[0.0, 0.9, 0.0, 0.0, 0.5], &mut out);
        assert_eq!((resampler.frames_in(), resampler.frames_out()), (2, 2));
        assert_eq!(resampler.finish(&mut out), 1, "the incomplete frame is reported");
        assert_eq!(out.len(), 2);
        assert!(out.iter().all(|s| (s - 0.3).abs() < 1e-6), "{out:?}");
    }

    #[test]
    fn a_finished_resampler_starts_afresh() {
        let format = Format { sample_rate: 44_100, channels: 2 };
        let input = noise(20_000, 7);
        let mut resampler = Resampler::new(format).expect("valid");
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for out in [&mut first, &mut second] {
            resampler.push(&input, out);
            resampler.finish(out);
        }
        assert_eq!(first, second);
    }
}
