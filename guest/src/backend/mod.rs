//! hearken's ggml backend.
pub(crate) fn register() {}
