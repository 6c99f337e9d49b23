//! Model files: their claims, checked before the recognizer trusts them.

#[path = "../../../host/src/model/error.rs"]
mod error;
#[path = "../../../host/src/model/foreign.rs"]
mod foreign;
#[path = "../../../host/src/model/ggml.rs"]
mod ggml;
#[path = "../../../host/src/model/header.rs"]
mod header;
#[path = "../../../host/src/model/known.rs"]
mod known;
#[path = "../../../host/src/model/layout.rs"]
mod layout;
#[path = "../../../host/src/model/memory.rs"]
mod memory;
#[path = "../../../host/src/model/source.rs"]
mod source;

use hearken_proto::{Kernels, LoadOptions};

pub use error::ModelError;
pub use ggml::{Checked, check, header};
pub use header::{Dims, Ftype, Header};
pub use known::{Known, known};

/// The options with which the recognizer loads a model that was checked.
pub fn load_options(checked: &Checked) -> LoadOptions {
    let known = known(&checked.hash);
    LoadOptions {
        alignment_heads: known.map_or_else(Vec::new, |known| known.alignment_heads.to_vec()),
        kernels: Kernels::Guest,
        window: known.and_then(|known| known.window).unwrap_or(0),
        padding: false,
    }
}
