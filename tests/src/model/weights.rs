//! Random numbers and Whisper's position code.

/// SplitMix64: a crate's generator might change its numbers with its version, and tests name seeds.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Fills with about normal numbers: sums of four uniform ones, which is near enough for weights
    /// and fast.
    pub(super) fn normal(&mut self, deviation: f32, values: &mut [f32]) {
        // Variance of the sum of four uniform numbers of width 1 is 4/12.
        let scale = deviation * 3f32.sqrt() / 65_536.0;
        for value in values {
            let bits = self.next();
            let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
            *value = (sum as f32 - 131_070.0) * scale;
        }
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
