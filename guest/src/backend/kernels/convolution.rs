//! The patches that a convolution along one axis multiplies.

use super::super::tensor::{Format, Tensor};
use super::copy::copy;

/// Size, stride, padding and dilation of a kernel along one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::backend) struct Window {
    /// Elements of the kernel along the axis.
    pub(in crate::backend) taps: usize,
    /// Step from one patch to the next.
    pub(in crate::backend) step: usize,
    /// Zeroes before the first element.
    pub(in crate::backend) padding: usize,
    /// Step from one tap to the next.
    pub(in crate::backend) dilation: usize,
}

/// Patches that are made at once: their input, with 1280 channels as halves, stays in a
/// second-level cache, and is read in stretches of some length.
const BLOCK: usize = 256;

/// Room that is kept between calls.
#[derive(Default)]
pub(in crate::backend) struct Scratch {
    /// The channels of each position, side by side.
    positions: Vec<u16>,
    zeroes: Vec<u16>,
}

/// Writes patches as halves: `out[t][c · taps + k] = input[c][t · step + k · dilation - padding]`,
/// zero outside the input.
///
/// # Safety
///
/// `input` is a matrix of floats and `out` one of halves, of `taps` times as many columns as
/// `input` has rows. Both lie in memory that is theirs, with whole rows, and do not overlap.
pub(in crate::backend) unsafe fn patches(
    input: &Tensor,
    out: &Tensor,
    window: Window,
    scratch: &mut Scratch,
) {
    let Window { taps, step, padding, dilation } = window;
    let [len, channels, ..] = input.extent;
    let Scratch { positions, zeroes } = scratch;
    zeroes.resize(channels, 0);
    for first in (0..out.extent[1]).step_by(BLOCK) {
        let last = out.extent[1].min(first + BLOCK) - 1;
        let begin = (first * step).saturating_sub(padding).min(len - 1);
        let end = (last * step + (taps - 1) * dilation + 1).saturating_sub(padding).clamp(begin + 1, len);
        positions.resize((end - begin) * channels, 0);
        let data = input.data.wrapping_add(begin * input.stride[0]);
        let [across, along, ..] = input.stride;
        let extent = [channels, end - begin, 1, 1];
        let from = Tensor { data, extent, stride: [along, across, 0, 0], ..*input };
        let to = Tensor { data: positions.as_mut_ptr().cast(), format: Format::F16, ..from }.reshaped(extent);
        // SAFETY: the positions lie in the input, and in the vector.
        unsafe { copy(&from, &to, 1.0) }
        for patch in first..=last {
            let row = out.row([patch, 0, 0]).cast::<u16>();
            // SAFETY: a row of the output.
            let row = unsafe { std::slice::from_raw_parts_mut(row, channels * taps) };
            for tap in 0..taps {
                let at =
                    (patch * step + tap * dilation).checked_sub(padding).and_then(|at| at.checked_sub(begin));
                let inside = at.and_then(|at| positions.get(at * channels..)?.get(..channels));
                let values = inside.unwrap_or(zeroes);
                row[tap..].iter_mut().step_by(taps).zip(values).for_each(|(to, value)| *to = *value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::half;
    use super::super::rows::tests::Noise;
    use super::*;

    #[test]
    fn patches_are_the_input_around_each_position() {
        let mut noise = Noise::new(13);
        for (channels, len, window) in [
            (5, 20, Window { taps: 3, step: 1, padding: 1, dilation: 1 }),
            (4, 21, Window { taps: 3, step: 2, padding: 1, dilation: 1 }),
            (2, 9, Window { taps: 2, step: 3, padding: 0, dilation: 2 }),
            (9, 3 * BLOCK + 5, Window { taps: 3, step: 1, padding: 1, dilation: 1 }),
            (7, 5 * BLOCK, Window { taps: 4, step: 2, padding: 3, dilation: 2 }),
        ] {
            let Window { taps, step, padding, dilation } = window;
            let count = (len + 2 * padding - dilation * (taps - 1) - 1) / step + 1;
            let mut values = noise.floats(channels * len);
            let input = Tensor {
                data: values.as_mut_ptr().cast(),
                format: Format::F32,
                extent: [len, channels, 1, 1],
                stride: [4, 4 * len, 4 * len * channels, 4 * len * channels],
            };
            let width = channels * taps;
            let mut halves = vec![u16::MAX; width * count];
            let out = Tensor {
                data: halves.as_mut_ptr().cast(),
                format: Format::F16,
                extent: [width, count, 1, 1],
                stride: [2, 2 * width, 2 * width * count, 2 * width * count],
            };
            // SAFETY: both own their memory.
            unsafe { patches(&input, &out, window, &mut Scratch::default()) }
            for (at, found) in halves.iter().enumerate() {
                let (patch, channel, tap) = (at / width, at % width / taps, at % taps);
                let place = (patch * step + tap * dilation) as isize - padding as isize;
                let inside = (0..len as isize).contains(&place);
                let expected = if inside { half::narrow(values[channel * len + place as usize]) } else { 0 };
                assert_eq!(*found, expected, "patch {patch}, channel {channel}, tap {tap}");
            }
        }
    }
}
