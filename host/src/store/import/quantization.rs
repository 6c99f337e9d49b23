//! Types to which weights are quantized.

use hearken_proto::abi::Quantization as Block;

use crate::model::Ftype;

/// Quantization of large weights, by whisper.cpp's own routines inside the sandbox. From the most
/// accurate to the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quantization {
    /// 8.5 bits a weight.
    Q8_0,
    /// 6 bits a weight.
    Q5_1,
    /// 5.5 bits a weight.
    Q5_0,
    /// 4.5 bits a weight.
    Q4_0,
}

impl Quantization {
    /// All quantizations.
    pub const ALL: [Self; 4] = [Self::Q8_0, Self::Q5_1, Self::Q5_0, Self::Q4_0];

    /// Usual name, as in file names.
    pub fn name(self) -> &'static str {
        self.ftype().name()
    }

    pub(super) fn ftype(self) -> Ftype {
        match self {
            Self::Q8_0 => Ftype::Q8_0,
            Self::Q5_1 => Ftype::Q5_1,
            Self::Q5_0 => Ftype::Q5_0,
            Self::Q4_0 => Ftype::Q4_0,
        }
    }

    pub(super) fn block(self) -> Block {
        match self {
            Self::Q8_0 => Block::Q8_0,
            Self::Q5_1 => Block::Q5_1,
            Self::Q5_0 => Block::Q5_0,
            Self::Q4_0 => Block::Q4_0,
        }
    }
}

impl std::fmt::Display for Quantization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Quantization {
    type Err = UnknownQuantization;

    fn from_str(name: &str) -> Result<Self, UnknownQuantization> {
        Self::ALL.into_iter().find(|quantization| quantization.name() == name).ok_or(UnknownQuantization)
    }
}

/// A name that is no [`Quantization`]'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a type of quantized weights; use q8_0, q5_1, q5_0 or q4_0")]
pub struct UnknownQuantization;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_blocks_are_those_of_the_model_checker() {
        for quantization in Quantization::ALL {
            assert_eq!(quantization.name().parse(), Ok(quantization));
            let (number, weights, bytes) = quantization.ftype().tensor_type();
            let block = quantization.block();
            assert_eq!((number.cast_unsigned(), weights), (block as u32, u64::from(Block::BLOCK)));
            assert_eq!(bytes, u64::from(block.block_bytes()));
            assert_eq!(Block::from_raw(block as u32), Some(block));
        }
        assert!("q4_k".parse::<Quantization>().is_err());
    }
}
