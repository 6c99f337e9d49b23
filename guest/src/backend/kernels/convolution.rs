//! The patches that a convolution along one axis multiplies.

use super::super::tensor::Tensor;
use super::half;

/// How a kernel moves along the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::backend) struct Window {
    /// Elements of the kernel along the axis.
    pub(in crate::backend) taps: usize,
    /// From one patch to the next.
    pub(in crate::backend) step: usize,
    /// Zeroes before the first element.
    pub(in crate::backend) padding: usize,
    /// From one tap to the next.
    pub(in crate::backend) dilation: usize,
}

/// Room that is kept between calls.
#[derive(Default)]
pub(in crate::backend) struct Scratch {
    channel: Vec<u16>,
}

/// Writes patches as halves: `out[t][c · taps + k] = input[c][t · step + k · dilation - padding]`, zero outside the input.
///
/// # Safety
///
/// `input` is a matrix of floats and `out` one of halves, of `taps` times as many columns as `input` has rows. Both lie in
/// memory that is theirs, with whole rows, and do not overlap.
pub(in crate::backend) unsafe fn patches(
    input: &Tensor,
    out: &Tensor,
    window: Window,
    scratch: &mut Scratch,
) {
    let Window { taps, step, padding, dilation } = window;
    let len = input.extent[0];
    scratch.channel.resize(len, 0);
    for channel in 0..input.extent[1] {
        // SAFETY: a row of the input.
        let row: &[f32] = unsafe { std::slice::from_raw_parts(input.row([channel, 0, 0]).cast(), len) };
        half::narrow_row(row, 1.0, &mut scratch.channel);
        for patch in 0..out.extent[1] {
            let start = out.row([patch, 0, 0]).cast::<u16>().wrapping_add(channel * taps);
            // SAFETY: the channel's taps of one patch, which are inside a row of the output.
            let to = unsafe { std::slice::from_raw_parts_mut(start, taps) };
            for (tap, to) in to.iter_mut().enumerate() {
                let at = (patch * step + tap * dilation).checked_sub(padding);
                *to = at.and_then(|at| scratch.channel.get(at)).copied().unwrap_or(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tensor::Format;
    use super::super::rows::tests::Noise;
    use super::*;

    #[test]
    fn patches_are_the_input_around_each_position() {
        let mut noise = Noise::new(13);
        for (channels, len, window) in [
            (5, 20, Window { taps: 3, step: 1, padding: 1, dilation: 1 }),
            (4, 21, Window { taps: 3, step: 2, padding: 1, dilation: 1 }),
            (2, 9, Window { taps: 2, step: 3, padding: 0, dilation: 2 }),
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
