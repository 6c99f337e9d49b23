//! Memory that a model takes in the sandbox.

use super::header::Header;
use super::layout;

/// Address space of a 32-bit sandbox, in bytes.
pub(crate) const LIMIT: u64 = 1 << 32;

/// Longest piece of memory that the sandbox's allocator gives, in bytes: `sbrk` of wasi-libc takes
/// a signed 32-bit increment. ggml takes the weights in one piece.
pub(crate) const PIECE: u64 = (1 << 31) - (1 << 16);

/// The recognizer's code data, stack, vocabulary (two maps of 52,000 strings), graphs'
/// descriptions, and 30 s of samples and features.
const FIXED: u64 = 64 << 20;

/// Each of whisper.cpp's four graph schedulers (convolution, encoder, cross, decoder) reserves
/// descriptions of twice 2 inputs (`GGML_SCHED_MAX_SPLIT_INPUTS` of `build/guest.rs`) for each of
/// 4096 possible splits; a tensor's description has 256 bytes on a 32-bit target.
const SCHEDULERS: u64 = 4 * 4096 * 2 * 2 * 256;

/// Memory of the weights, which are one piece, in bytes.
pub(crate) fn weights(header: &Header) -> u64 {
    layout::tensors(header).iter().map(|tensor| tensor.bytes().next_multiple_of(32)).sum()
}

/// See [`Header::guest_memory`]. The header's bounds keep every product far below 2^64.
pub(crate) fn estimate(header: &Header) -> u64 {
    let dims = header.dims();
    let state = u64::from(dims.n_audio_state);
    let audio = u64::from(dims.n_audio_ctx);
    let text = u64::from(dims.n_text_ctx);
    let vocab = u64::from(dims.n_vocab);
    let text_layers = u64::from(dims.n_text_layer);
    let mels = u64::from(dims.n_mels);
    // whisper.cpp pads its caches' contexts.
    let (audio_padded, text_padded) = (audio.next_multiple_of(256), text.next_multiple_of(256));

    // Keys and values, f16: the decoder's own, across to the encoder, and the encoder's scratch.
    let caches = 4 * state * (text_layers * (text_padded + audio_padded) + audio_padded);
    // The convolutions' unfolded input in f16, and their outputs in f32.
    let convolution =
        4 * 2 * audio * mels + 2 * 2 * audio * (3 * mels).max(2 * state) + 4 * 2 * audio * state * 2;
    // Attention scores of all heads, then residuals, queries, keys, values and the widened
    // feed-forward.
    let encoder = 4 * audio * audio * u64::from(dims.n_audio_head) + 4 * audio * state * 7;
    let feed_forward = 4 * audio * state * 10;
    let cross = 4 * audio * state * 4;
    // Logits of a whole context of tokens, and the scores against the longer of the two contexts.
    let decoder = 4 * text * vocab
        + 4 * text * audio.max(text_padded) * u64::from(dims.n_text_head)
        + 4 * text * state * 10;
    // whisper.cpp keeps its own copy of the logits.
    let logits = 4 * text * vocab;
    weights(header)
        + caches
        + convolution
        + encoder.max(feed_forward)
        + cross
        + decoder
        + logits
        + SCHEDULERS
        + FIXED
}
