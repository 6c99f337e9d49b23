//! The report of decoded samples.

use hearken_proto::media::{Report, Time};

/// The report of the samples in `block`.
pub(crate) fn report(sample_rate: u32, channels: usize, block: &[f32], time: Option<Time>) -> Report {
    Report::Audio {
        sample_rate,
        channels: u32::try_from(channels).unwrap_or(u32::MAX),
        address: block.as_ptr().addr() as u32,
        samples: u32::try_from(block.len()).unwrap_or(u32::MAX),
        time,
    }
}
