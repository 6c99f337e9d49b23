//! Whisper's mel filters, computed.
//!
//! They are librosa's (`librosa.filters.mel(sr=16000, n_fft=400)`): triangles on Slaney's scale,
//! each of the same area, rounded to `f32` before and after they are scaled. All 16,080 and 25,728
//! values are those of OpenAI's `mel_filters.npz` to the bit, but for the sign of one zero.

/// Frequency bins of a 400-point transform.
const BINS: usize = 201;
/// Hertz between two bins.
const SPACING: f64 = 40.0;
/// Hertz of a mel below the knee of Slaney's scale.
const LINEAR: f64 = 200.0 / 3.0;
/// Point at which the scale becomes logarithmic, in mel and in hertz.
const KNEE: (f64, f64) = (15.0, 1000.0);

/// The step of the logarithmic part: 27 mel are a factor of 6.4.
fn step() -> f64 {
    6.4f64.ln() / 27.0
}

fn hertz(mel: f64) -> f64 {
    if mel < KNEE.0 { mel * LINEAR } else { KNEE.1 * (step() * (mel - KNEE.0)).exp() }
}

fn mel(hertz: f64) -> f64 {
    if hertz < KNEE.1 { hertz / LINEAR } else { KNEE.0 + (hertz / KNEE.1).ln() / step() }
}

/// `count` filters from 0 to 8 kHz, one after the other, as ggml files have them: 201 little-endian
/// `f32` each.
pub(super) fn filters(count: u32) -> Vec<u8> {
    let apart = mel(8000.0) / f64::from(count + 1);
    let edges: Vec<f64> = (0..=count).map(|index| hertz(f64::from(index) * apart)).chain([8000.0]).collect();
    let mut bytes = Vec::with_capacity(count as usize * BINS * 4);
    for edges in edges.windows(3) {
        let &[low, middle, high] = edges else { unreachable!("windows of three") };
        let area = 2.0 / (high - low);
        for bin in 0..BINS {
            let at = bin as f64 * SPACING;
            let gain = ((at - low) / (middle - low)).min((high - at) / (high - middle)).max(0.0) as f32;
            bytes.extend(((f64::from(gain) * area) as f32).to_le_bytes());
        }
    }
    // OpenAI's file with 128 filters has a negative zero there, and so have whisper.cpp's files
    // that were made of it. Those with 80 were made of an older one, which had none.
    if count > 80 {
        bytes[..4].copy_from_slice(&(-0.0f32).to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::store::content::hex;

    /// SHA-256 of the arrays in OpenAI's `mel_filters.npz` (openai-whisper 20250625); that of 80
    /// with its zero's sign cleared.
    const OPENAI: [(u32, &str); 2] = [
        (80, "85818f156f7e189453901a515e4726d270d307f976e161cf9403e8caab405498"),
        (128, "2a5f9822897750e047c85dea37cc268d3be0ecfd23c28a5f10da129d99d05afe"),
    ];

    #[test]
    fn filters_are_openais_to_the_bit() {
        for (count, sha256) in OPENAI {
            let filters = filters(count);
            assert_eq!(filters.len(), count as usize * BINS * 4);
            assert_eq!(hex(&Sha256::digest(&filters)), sha256, "{count} filters");
        }
    }
}
