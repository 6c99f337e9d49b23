//! Whisper's decoder, token by token: the parts that streaming needs and `whisper_full` lacks.
//!
//! A window is encoded once. The decoder is fed its prompt and the committed text in one batch, and
//! predicts the next tokens greedily, under Whisper's own [rules], with a [bias] to phrases. Its
//! [cross-attention](alignment) gives the time of each word.

mod alignment;
mod annotations;
mod bias;
#[cfg(target_arch = "wasm32")]
mod greedy;
mod heads;
mod pieces;
mod rules;
mod silence;
mod transcript;
mod trie;

#[cfg(target_arch = "wasm32")]
pub(crate) use annotations::drop_bracketed;
#[cfg(target_arch = "wasm32")]
pub(crate) use greedy::{Decoded, Decoder, Order};
#[cfg(target_arch = "wasm32")]
pub(crate) use silence::trim_all;
