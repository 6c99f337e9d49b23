//! Whisper's decoder, token by token: what streaming needs and `whisper_full` does not do.
//!
//! A window is encoded once. The decoder is fed its prompt and what is committed in one batch, and
//! says what comes next, greedily, under Whisper's own [rules]. What it [attends](alignment) to
//! meanwhile tells where each word is.

mod alignment;
mod annotations;
#[cfg(target_arch = "wasm32")]
mod greedy;
mod heads;
mod rules;
mod silence;
mod transcript;

#[cfg(target_arch = "wasm32")]
pub(crate) use annotations::drop_bracketed;
#[cfg(target_arch = "wasm32")]
pub(crate) use greedy::{Decoded, Decoder, Order};
#[cfg(target_arch = "wasm32")]
pub(crate) use silence::trim_all;
