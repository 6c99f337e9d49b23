//! Random weights, and Whisper's position code.

use hearken::testing::SplitMix64;

/// Fills `values` with about normal numbers: sums of four uniform ones, which is near enough for
/// weights and fast.
pub(super) fn normal(random: &mut SplitMix64, deviation: f32, values: &mut [f32]) {
    // Variance of the sum of four uniform numbers of width 1 is 4/12.
    let scale = deviation * 3f32.sqrt() / 65_536.0;
    for value in values {
        let bits = random.next_u64();
        let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
        *value = (sum as f32 - 131_070.0) * scale;
    }
}

/// Whisper's sinusoids: rows of `width`, sines in the first half of a row and cosines in the
/// second.
pub(super) fn waves(width: usize, values: &mut [f32]) {
    let half = (width / 2).max(1);
    let step = 10_000f64.ln() / (half.max(2) - 1) as f64;
    for (position, row) in values.chunks_mut(width.max(1)).enumerate() {
        for (index, value) in row.iter_mut().enumerate() {
            let angle = position as f64 * (-step * (index % half) as f64).exp();
            *value = if index < half { angle.sin() } else { angle.cos() } as f32;
        }
    }
}
