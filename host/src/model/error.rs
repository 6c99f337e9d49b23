//! Why a model is refused.

use std::io;

/// Error of a model file. Messages are one line; text quoted from the file is without control
/// characters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The reader failed. Trying again may help.
    #[error("cannot read the model: {0}")]
    Io(io::Error),
    /// The file does not start with ggml's magic number.
    #[error("not a ggml Whisper model: it looks like {looks_like}; {remedy}")]
    NotGgml {
        /// Format that the first bytes belong to.
        looks_like: &'static str,
        /// Remedy.
        remedy: &'static str,
    },
    /// The file ends too early.
    #[error("the model is cut off at byte {offset}, in {what}; fetch it again")]
    Truncated {
        /// Name of the item that was being read.
        what: String,
        /// End of the file, or the start of the first item that cannot fit.
        offset: u64,
    },
    /// The file has bytes after its last tensor.
    #[error("the model has data after its last tensor, from byte {offset}; fetch it again")]
    Trailing {
        /// End of the model proper.
        offset: u64,
    },
    /// A dimension in the header is out of its range.
    #[error("the model's {name} is {value}, and must be {allowed}; convert it again or use another model")]
    Dimension {
        /// The field as whisper.cpp names it.
        name: &'static str,
        /// Value in the file.
        value: i64,
        /// Permitted values, and the reason.
        allowed: String,
    },
    /// Weights of a type that the recognizer does not take.
    #[error(
        "the model's weights have type {ftype} (unsupported); convert it to f16, q8_0, q5_1 or another common type"
    )]
    Ftype {
        /// The header's `ftype`.
        ftype: i32,
    },
    /// The vocabulary cannot be right.
    #[error("the model's vocabulary {problem}; convert it again or use another model")]
    Vocabulary {
        /// Description of the defect.
        problem: String,
    },
    /// A tensor's description cannot be right.
    #[error("the model's tensor {name} {problem}; convert it again or use another model")]
    Tensor {
        /// Name of the tensor, or its number when it has no proper one.
        name: String,
        /// Description of the defect.
        problem: String,
    },
    /// Some tensors never came.
    #[error("the model lacks {count} tensors, {first} among them; fetch or convert it again")]
    Missing {
        /// Number of defects.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// The model would not fit into the sandbox's memory.
    #[error(
        "the model needs about {needed} bytes of the sandbox's {limit}; use a smaller or more quantized one"
    )]
    TooLarge {
        /// The estimate of [`Header::guest_memory`](super::Header::guest_memory), in bytes.
        needed: u64,
        /// Address space of a 32-bit sandbox, in bytes.
        limit: u64,
    },
    /// The weights are larger than one piece of the sandbox's memory.
    #[error(
        "the model's weights take {weights} bytes, and the sandbox gives at most {limit} in one piece; use a smaller or more quantized one"
    )]
    WeightsTooLarge {
        /// Size of the weights in memory \[bytes\].
        weights: u64,
        /// Longest piece of memory \[bytes\].
        limit: u64,
        /// The estimate of [`Header::guest_memory`](super::Header::guest_memory) \[bytes\].
        needed: u64,
    },
}

impl From<io::Error> for ModelError {
    fn from(cause: io::Error) -> Self {
        Self::Io(cause)
    }
}
