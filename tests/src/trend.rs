//! Linear trend of samples over time.

/// The line of least squares through samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// The mean of the values.
    pub mean: f64,
    /// Rise of the line from the first sample to the last.
    pub growth: f64,
}

impl Trend {
    /// Through values at moments, in order.
    ///
    /// # Panics
    ///
    /// With fewer than two moments.
    pub fn of(samples: &[(f64, f64)]) -> Self {
        let [(first, _), .., (last, _)] = samples else { panic!("no line goes through {samples:?}") };
        let count = samples.len() as f64;
        let (at, mean) = samples.iter().fold((0.0, 0.0), |(at, sum), sample| (at + sample.0, sum + sample.1));
        let (at, mean) = (at / count, mean / count);
        let products: f64 = samples.iter().map(|sample| (sample.0 - at) * (sample.1 - mean)).sum();
        let squares: f64 = samples.iter().map(|sample| (sample.0 - at).powi(2)).sum();
        Self { mean, growth: products / squares * (last - first) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_does_not_grow_and_a_leak_does() {
        let sawtooth = |at: i32| f64::from(at % 7) - 3.0;
        let through = |slope: f64| {
            let samples: Vec<_> =
                (0..70).map(|at| (f64::from(at), 100.0 + slope * f64::from(at) + sawtooth(at))).collect();
            Trend::of(&samples)
        };
        let (flat, leak) = (through(0.0), through(0.5));
        assert!(flat.growth.abs() < 1.0 && (flat.mean - 100.0).abs() < 1e-9, "{flat:?}");
        assert!((leak.growth - flat.growth - 0.5 * 69.0).abs() < 1e-9, "{leak:?}");
    }
}
