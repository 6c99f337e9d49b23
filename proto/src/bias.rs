//! Words and phrases that are likelier than the model thinks: a bias of the decoder.

use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Maximum number of phrases in a task.
pub const MAX_PHRASES: usize = 1000;
/// Maximum length of a phrase, in bytes.
pub const MAX_PHRASE_BYTES: usize = 200;
/// Maximum length of all phrases of a task together, in bytes.
pub const MAX_BIAS_BYTES: usize = 32 * 1024;

/// A phrase that the decoder prefers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phrase {
    /// The phrase, as it is written.
    pub text: String,
    /// Boost of each of its tokens: natural logarithm of the factor on its odds.
    pub boost: f32,
}
