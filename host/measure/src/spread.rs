//! Distribution of durations.

/// Median, 90th, 95th and 99th percentile and maximum of some durations, in seconds. Percentiles
/// are those of the nearest rank: always one of the values.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Spread {
    /// Number of values, at least one.
    pub count: usize,
    /// Median: at least half of the values are not above it.
    pub median: f64,
    /// 90th percentile: at least 90 % of the values are not above it.
    pub p90: f64,
    /// 95th percentile: at least 95 % of the values are not above it.
    pub p95: f64,
    /// 99th percentile: at least 99 % of the values are not above it.
    pub p99: f64,
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
        (count > 0).then(|| Self {
            count,
            median: rank(50),
            p90: rank(90),
            p95: rank(95),
            p99: rank(99),
            max: rank(100),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values() {
        let spread = Spread::of((1..=200).rev().map(f64::from)).unwrap();
        assert_eq!(
            spread,
            Spread { count: 200, median: 100.0, p90: 180.0, p95: 190.0, p99: 198.0, max: 200.0 }
        );
        let one = Spread { count: 1, median: 2.5, p90: 2.5, p95: 2.5, p99: 2.5, max: 2.5 };
        assert_eq!(Spread::of([2.5]), Some(one));
        assert_eq!(Spread::of([]), None);
    }
}
