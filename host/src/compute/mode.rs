//! Compute modes that a user can choose.

use std::fmt;
use std::str::FromStr;

/// Where matrix multiplication runs, and with what precision.
///
/// Everything else of the recognizer — parser, spectrogram, tokens, decoding, policy — runs inside
/// the sandbox in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compute {
    /// The host, with the processor's fastest instructions: weights and activations are rounded to
    /// 8 bits in blocks of 32, or to bfloat16, and summed in 32 bits.
    #[default]
    Fast,
    /// The host, at native whisper.cpp's precision or closer to the model's weights: half precision
    /// in 16-bit fixed point or single precision, single precision unchanged, quantized weights
    /// with activations rounded to 8 bits.
    Exact,
    /// The guest, inside the sandbox: nothing crosses but audio and text.
    Guest,
    /// ggml's own WebAssembly kernels inside the sandbox: slow; for comparisons.
    #[doc(hidden)]
    Stock,
}

/// Unknown compute mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("computing is `fast`, `exact` or `guest`, not `{0}`")]
pub struct UnknownCompute(String);

impl FromStr for Compute {
    type Err = UnknownCompute;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "fast" => Ok(Self::Fast),
            "exact" => Ok(Self::Exact),
            "guest" => Ok(Self::Guest),
            "stock" => Ok(Self::Stock),
            _ => Err(UnknownCompute(name.to_owned())),
        }
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fast => "fast",
            Self::Exact => "exact",
            Self::Guest => "guest",
            Self::Stock => "stock",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_they_say() {
        for compute in [Compute::Fast, Compute::Exact, Compute::Guest, Compute::Stock] {
            assert_eq!(compute.to_string().parse(), Ok(compute));
        }
        assert!("Fast".parse::<Compute>().is_err());
    }
}
