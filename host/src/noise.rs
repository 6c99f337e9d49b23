//! Noise for the unit tests, the same each time.

/// A linear congruential generator (Press et al., *Numerical Recipes*). The upper bits are the
/// better ones.
pub(crate) struct Noise(pub(crate) u32);

impl Noise {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0
    }

    /// Number from -1 to 1.
    pub(crate) fn sample(&mut self) -> f32 {
        f32::from((self.next() >> 16) as i16) / 32_768.0
    }
}
