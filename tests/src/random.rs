//! Chance that is the same each time.

/// A linear congruential generator (Knuth's MMIX constants): any fixed choice will do.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Different seeds give different sequences.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// A number from 0 to `limit`, without it.
    ///
    /// # Panics
    ///
    /// When `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    /// A number from -1 to 1, all of them equally often.
    pub fn sample(&mut self) -> f32 {
        (f64::from(self.next()) / f64::from(u32::MAX) * 2.0 - 1.0) as f32
    }

    /// Shuffles (Fisher and Yates).
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last + 1));
        }
    }
}

/// White noise from `-peak` to `peak`, without an end. Its generator has 32 bits (Press et al.,
/// *Numerical Recipes*): what was measured with it stays as it is.
pub fn noise(peak: f32) -> impl Iterator<Item = f32> {
    let mut state = 1u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 * (2.0 * peak) - peak
    })
}

/// Bytes that are nothing: no form is found in them.
pub fn garbage(len: u32) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
