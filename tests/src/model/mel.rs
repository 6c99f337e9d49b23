//! Whisper's mel filters, as librosa computes them (`librosa.filters.mel(sr=16000, n_fft=400)`).

/// Frequency bins of a 400-point transform.
pub(super) const BINS: usize = 201;

/// Slaney's scale: linear to 1 kHz, logarithmic above.
fn hertz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp() }
}

fn mel(hertz: f64) -> f64 {
    if hertz < 1000.0 { hertz * 3.0 / 200.0 } else { 15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4f64.ln() }
}

/// `count` triangles from 0 to 8 kHz, each of the same area.
pub(super) fn filters(count: usize) -> Vec<[f32; BINS]> {
    let edge = |index: usize| hertz(mel(8000.0) * index as f64 / (count + 1) as f64);
    (0..count)
        .map(|index| {
            let (low, middle, high) = (edge(index), edge(index + 1), edge(index + 2));
            std::array::from_fn(|bin| {
                let at = bin as f64 * 40.0;
                let gain = ((at - low) / (middle - low)).min((high - at) / (high - middle)).max(0.0);
                (gain * 2.0 / (high - low)) as f32
            })
        })
        .collect()
}
