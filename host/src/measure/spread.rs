//! What many durations have in common.

/// Median, 90th and 95th percentile and maximum of some durations, in seconds. Percentiles are those of the nearest rank: always
/// one of the values.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Spread {
    /// How many values there are, at least one.
    pub count: usize,
    /// At least half of the values are not above it.
    pub median: f64,
    /// At least 90 % of the values are not above it.
    pub p90: f64,
    /// At least 95 % of the values are not above it.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// `None` without values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let rank = |percent: usize| values[(count * percent).div_ceil(100).max(1) - 1];
        (count > 0).then(|| Self { count, median: rank(50), p90: rank(90), p95: rank(95), max: rank(100) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values() {
        let spread = Spread::of((1..=10).rev().map(f64::from)).unwrap();
        assert_eq!(spread, Spread { count: 10, median: 5.0, p90: 9.0, p95: 10.0, max: 10.0 });
        assert_eq!(Spread::of([2.5]), Some(Spread { count: 1, median: 2.5, p90: 2.5, p95: 2.5, max: 2.5 }));
        assert_eq!(Spread::of([]), None);
    }
}
