//! The log-mel spectrogram (Radford et al., arXiv:2212.04356, section 2.2), as whisper.cpp defines
//! it.
//!
//! The Fourier transform of a frame is real-valued on one side, and its cosines and sines repeat
//! themselves: folded twice, it is four products of a quarter of the size, of many frames at once.
//! The filters are a fifth.

use std::f64::consts::TAU;

use super::super::tensor::Format;
use super::gemm;
use super::rows::{Rows, RowsMut};

/// Samples of a frame.
const FRAME: usize = 400;
/// Samples from one frame to the next.
const HOP: usize = hearken_proto::HOP_LENGTH as usize;
/// Bins of a frame's power.
const BINS: usize = FRAME / 2 + 1;
/// Frames of silence that follow the samples: 30 s.
const SILENCE: usize = 30 * hearken_proto::SAMPLE_RATE as usize / HOP;
/// Value of silence in every band.
const LEAST: f32 = -10.0;
/// Number of frames processed at once: their intermediate results stay in a second-level cache.
const BLOCK: usize = 128;
/// Folded samples of a frame, and bins of one parity: 101, and zeroes up to a whole turn of a
/// product's loop.
const QUARTER: usize = 104;
/// The last folded sample.
const MIDDLE: usize = FRAME / 4;

/// Most bands of any Whisper.
const MOST_BANDS: usize = 128;
/// Bytes of a model file that [`Spectrogram::of_model`] needs at most.
pub(crate) const BEGINNING: usize = 4 * (14 + MOST_BANDS * BINS);

/// Makes spectrograms for one model.
pub(crate) struct Spectrogram {
    bands: usize,
    window: Vec<f32>,
    /// Cosines of even bins and of odd ones, then sines: a row for each bin.
    waves: [Vec<f32>; 4],
    /// A row for each band: weights of even bins, then of odd ones.
    filters: Vec<f32>,
    /// Folded frames: the right side of the product with the rows of `waves`.
    folded: [Vec<f32>; 4],
    parts: [Vec<f32>; 4],
    powers: Vec<f32>,
    scratch: gemm::Scratch,
}

/// Number of frames that samples reach, the last of them half filled: those that whisper.cpp
/// decodes.
pub(crate) fn frames_heard(samples: usize) -> usize {
    (samples.saturating_sub(FRAME / 2) / HOP + 1).max(1)
}

/// Number of spectrogram frames of `samples` samples and of the silence that follows them.
pub(crate) fn frames(samples: usize) -> usize {
    samples / HOP + SILENCE
}

impl Spectrogram {
    /// Makes a spectrogram with a model's filters: [a weight for each bin](BINS) of each band.
    fn new(filters: &[f32]) -> Self {
        let wave = |parity: usize, f: fn(f64) -> f64| {
            let mut rows = vec![0.0; QUARTER * QUARTER];
            for (row, bin) in rows.chunks_exact_mut(QUARTER).zip((parity..BINS).step_by(2)) {
                for (sample, value) in row.iter_mut().enumerate().take(MIDDLE + 1) {
                    *value = f((bin * sample % FRAME) as f64 / FRAME as f64 * TAU) as f32;
                }
            }
            rows
        };
        let (filters, _) = filters.as_chunks::<BINS>();
        let mut weights = vec![0.0; filters.len() * 2 * QUARTER];
        for (band, weights) in filters.iter().zip(weights.chunks_exact_mut(2 * QUARTER)) {
            for (bin, weight) in band.iter().enumerate() {
                weights[bin % 2 * QUARTER + bin / 2] = *weight;
            }
        }
        let block = || vec![0.0; BLOCK * QUARTER];
        let hann = |sample: usize| (0.5 * (1.0 - (sample as f64 / FRAME as f64 * TAU).cos())) as f32;
        Self {
            bands: filters.len(),
            window: (0..FRAME).map(hann).collect(),
            waves: [wave(0, f64::cos), wave(1, f64::cos), wave(0, f64::sin), wave(1, f64::sin)],
            filters: weights,
            folded: std::array::from_fn(|_| block()),
            parts: std::array::from_fn(|_| block()),
            powers: vec![0.0; BLOCK * 2 * QUARTER],
            scratch: gemm::Scratch::default(),
        }
    }

    /// Reads the filters that a model file has near its beginning: after a magic number and eleven
    /// hyper-parameters their extents, and then the filters themselves. `None`, if they are not of
    /// Whisper's form.
    pub(crate) fn of_model(beginning: &[u8]) -> Option<Self> {
        let (words, _) = beginning.as_chunks::<4>();
        let [bands, bins] = words.get(12..14)? else { return None };
        let bands = usize::try_from(i32::from_le_bytes(*bands))
            .ok()
            .filter(|bands| (1..=MOST_BANDS).contains(bands))?;
        let is_known = i32::from_le_bytes(*bins) == BINS as i32;
        let filters = words.get(14..14 + bands * BINS).filter(|_| is_known)?;
        Some(Self::new(&filters.iter().map(|weight| f32::from_le_bytes(*weight)).collect::<Vec<f32>>()))
    }

    /// Bands of a frame.
    pub(crate) fn bands(&self) -> usize {
        self.bands
    }

    /// The spectrogram of `samples`, [`frames`] for each band, band after band.
    pub(crate) fn compute(&mut self, samples: &[f32]) -> Vec<f32> {
        let count = frames(samples.len());
        let heard = count.min((samples.len() + FRAME / 2) / HOP + 1);
        let mut mel = vec![LEAST; self.bands * count];
        // The beginning is mirrored.
        let mirror = (1..=FRAME / 2).rev().map(|at| samples.get(at).copied().unwrap_or(0.0));
        let padded: Vec<f32> = mirror.chain(samples.iter().copied()).chain([0.0; FRAME]).collect();
        for first in (0..heard).step_by(BLOCK) {
            let block = heard.min(first + BLOCK) - first;
            for frame in 0..block {
                let start = (first + frame) * HOP;
                let mut windowed = [0.0; FRAME];
                for ((to, sample), window) in windowed.iter_mut().zip(&padded[start..]).zip(&self.window) {
                    *to = sample * window;
                }
                fold(&windowed, frame, &mut self.folded);
            }
            self.block(block, &mut mel[first..], count);
        }
        let largest = mel.iter().copied().fold(LEAST, f32::max);
        let floor = largest - 8.0;
        mel.iter_mut().for_each(|value| *value = (value.max(floor) + 4.0) / 4.0);
        mel
    }

    /// The logarithms of folded frames, from the beginning of `mel`, whose bands are `count` frames
    /// long.
    fn block(&mut self, frames: usize, mel: &mut [f32], count: usize) {
        for ((wave, folded), part) in self.waves.iter().zip(&self.folded).zip(&mut self.parts) {
            let (wave, folded) = (rows(wave, QUARTER), rows(folded, QUARTER));
            // SAFETY: the vector has a row of this number of floats for each frame of a block.
            let mut part = unsafe { RowsMut::new(part.as_mut_ptr().cast(), 4 * QUARTER, QUARTER) };
            gemm::multiply((QUARTER, frames), &wave, &folded, &mut part, |_, _, _| {}, &mut self.scratch);
        }
        for (frame, powers) in self.powers.chunks_exact_mut(2 * QUARTER).enumerate().take(frames) {
            let [even, odd, even_sine, odd_sine] =
                std::array::from_fn(|part: usize| &self.parts[part][frame * QUARTER..][..QUARTER]);
            let (low, high) = powers.split_at_mut(QUARTER);
            for (powers, real, imaginary) in [(low, even, even_sine), (high, odd, odd_sine)] {
                for ((power, re), im) in powers.iter_mut().zip(real).zip(imaginary) {
                    *power = re * re + im * im;
                }
            }
        }
        let (powers, filters) = (rows(&self.powers, 2 * QUARTER), rows(&self.filters, 2 * QUARTER));
        assert!(mel.len() >= (self.bands - 1) * count + frames, "the spectrogram is too short");
        // SAFETY: this number of frames of each band are in the slice, and bands do not overlap.
        let mut out = unsafe { RowsMut::new(mel.as_mut_ptr().cast(), 4 * count, frames) };
        let logarithm = |_, _, out: &mut [f32]| {
            out.iter_mut().for_each(|power| *power = power.max(1e-10).log10());
        };
        gemm::multiply((frames, self.bands), &powers, &filters, &mut out, logarithm, &mut self.scratch);
    }
}

/// The rows of a vector.
fn rows(values: &[f32], len: usize) -> Rows<'_> {
    // SAFETY: callers ask for no row beyond those that the vector has.
    unsafe { Rows::new(values.as_ptr().cast(), 4 * len, len, Format::F32) }
}

/// Adds and subtracts the elements with the same cosine, up to its sign, and the same sine: row
/// `frame` of each of `folded`.
fn fold(x: &[f32; FRAME], frame: usize, folded: &mut [Vec<f32>; 4]) {
    let [even, odd, even_sine, odd_sine] =
        folded.each_mut().map(|rows| &mut rows[frame * QUARTER..][..MIDDLE + 1]);
    (even[0], odd[0]) = (x[0] + x[2 * MIDDLE], x[0] - x[2 * MIDDLE]);
    for n in 1..MIDDLE {
        let [a, b, c, d] = [x[n], x[FRAME - n], x[2 * MIDDLE - n], x[2 * MIDDLE + n]];
        even[n] = (a + b) + (c + d);
        odd[n] = (a + b) - (c + d);
        even_sine[n] = (a - b) - (c - d);
        odd_sine[n] = (a - b) + (c - d);
    }
    even[MIDDLE] = x[MIDDLE] + x[3 * MIDDLE];
    odd_sine[MIDDLE] = x[MIDDLE] - x[3 * MIDDLE];
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::Noise;
    use super::*;

    /// whisper.cpp's definition, in double precision.
    fn reference(samples: &[f32], filters: &[f32]) -> Vec<f64> {
        let count = samples.len() / HOP + 3000;
        let sample = |at: isize| {
            let at = if at < 0 { -at } else { at } as usize;
            samples.get(at).map_or(0.0, |sample| f64::from(*sample))
        };
        let mut mel = vec![0.0; filters.len() / BINS * count];
        for frame in 0..count {
            let windowed: Vec<f64> = (0..FRAME)
                .map(|at| {
                    let hann = 0.5 - 0.5 * (at as f64 / 400.0 * TAU).cos();
                    hann * sample((frame * HOP + at) as isize - 200)
                })
                .collect();
            let silent = windowed.iter().all(|x| *x == 0.0);
            let power = |bin: usize| {
                let angle = |at: usize| (bin * at % FRAME) as f64 / 400.0 * TAU;
                let part = |f: fn(f64) -> f64| -> f64 {
                    windowed.iter().enumerate().map(|(at, x)| x * f(angle(at))).sum()
                };
                if silent { 0.0 } else { part(f64::cos).powi(2) + part(f64::sin).powi(2) }
            };
            let powers: Vec<f64> = (0..BINS).map(power).collect();
            for (band, filter) in filters.chunks_exact(BINS).enumerate() {
                let sum: f64 = powers.iter().zip(filter).map(|(p, f)| p * f64::from(*f)).sum();
                mel[band * count + frame] = sum.max(1e-10).log10();
            }
        }
        let largest = mel.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        mel.iter().map(|value| (value.max(largest - 8.0) + 4.0) / 4.0).collect()
    }

    #[test]
    fn spectrograms_of_any_length_equal_the_definition() {
        let mut noise = Noise::new(14);
        // Any weights will do; a band of one bin alone sees each bin's place.
        let mut filters: Vec<f32> = noise.floats(6 * BINS).iter().map(|weight| weight.abs()).collect();
        for band in [1, 3] {
            filters[band * BINS..][..BINS].fill(0.0);
            filters[band * BINS + [0, 20, 0, 57][band]] = 1.0;
        }
        let mut spectrogram = Spectrogram::new(&filters);
        for len in [0, 1, 100, 201, 399, 400, 1600, 3333, 160 * BLOCK + 77] {
            let samples: Vec<f32> = (0..len)
                .map(|at| 0.3 * noise.float() + (at as f32 * 0.8).sin() * (at % 1000) as f32 / 2000.0)
                .collect();
            let (found, exact) = (spectrogram.compute(&samples), reference(&samples, &filters));
            assert_eq!(found.len(), exact.len());
            for (at, (found, exact)) in found.iter().zip(exact).enumerate() {
                assert!((f64::from(*found) - exact).abs() < 1e-4, "{len}, {at}: {found}, {exact}");
            }
        }
    }

    #[test]
    fn filters_come_from_where_a_model_has_them() {
        let model = |bands: i32, bins: i32, weights: usize| -> Vec<u8> {
            let words = (0..12).chain([bands, bins]).flat_map(i32::to_le_bytes);
            words.chain((0..weights).flat_map(|at| (at as f32).to_le_bytes())).collect()
        };
        let found = Spectrogram::of_model(&model(3, 201, 3 * BINS + 5)).expect("three bands");
        assert_eq!(found.bands(), 3);
        assert_eq!(found.filters[2 * QUARTER..][..3], [201.0, 203.0, 205.0]);
        for bad in [model(0, 201, 0), model(129, 201, 129 * BINS), model(3, 200, 603), model(3, 201, 602)] {
            assert!(Spectrogram::of_model(&bad).is_none());
        }
        assert!(Spectrogram::of_model(&[0; 50]).is_none());
        assert!(Spectrogram::of_model(&model(-1, 201, 603)).is_none());
    }

    #[test]
    fn frames_are_counted_as_whisper_does() {
        let found = [0, 199, 200, 359, 360, 16_000, 480_000].map(frames_heard);
        assert_eq!(found, [1, 1, 1, 1, 2, 99, 2999]);
        assert_eq!([0, 159, 160, 480_000].map(frames), [3000, 3000, 3001, 6000]);
    }
}
