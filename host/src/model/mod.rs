//! Model files: their claims, checked before anything trusts them.
//!
//! [`check`] reads a ggml Whisper model once, in bounded memory, and returns its [`Header`] and its
//! BLAKE3 hash; a file that whisper.cpp would misread, over-read or fail to fit is rejected with
//! the reason. [`embedded`] is the model that comes with hearken; [`known()`] has settings that a
//! file cannot state.

mod embedded;
mod error;
mod foreign;
mod ggml;
mod header;
mod known;
mod layout;
mod memory;
mod source;

pub use embedded::embedded;
pub use error::ModelError;
#[cfg(feature = "import")]
pub(crate) use foreign::name as foreign;
pub use ggml::{Checked, check, header};
pub use header::{Dims, Ftype, Header};
pub use known::{EMBEDDED, KNOWN, Known, known};
#[cfg(all(test, feature = "pull"))]
pub(crate) use layout::tensor_bytes;
#[cfg(feature = "import")]
pub(crate) use layout::{Tensor as Layout, tensors as layout};
