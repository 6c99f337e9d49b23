//! Table of known models: settings that their files cannot state.

/// Known model: settings beyond the content of its file.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Known {
    /// BLAKE3 of the file, in hexadecimal.
    pub hash: &'static str,
    /// Short name.
    pub name: &'static str,
    /// Description, in one line.
    pub description: &'static str,
    /// Alignment heads of the decoder, as (layer, head) from 0; empty when unknown.
    pub alignment_heads: &'static [(u32, u32)],
    /// True if an utterance gets better with the end of the previous one as prompt (condition on
    /// previous text). Most models were trained with such prompts; the benefit is to be measured.
    pub carries: bool,
    /// True if it decodes timestamps while it streams: models that were not trained without them
    /// need them.
    pub timestamps: bool,
    /// Longest window of a running utterance [samples at 16 kHz], where that is less than the
    /// model's context: beyond it words are lost.
    pub window: Option<u32>,
    /// Minimum probability of an isolated word while streaming; set above what the model gives to
    /// hallucinated words.
    pub alone: f32,
    /// Minimum probability of an isolated word in an utterance that is over within three seconds.
    pub alone_briefly: f32,
    /// Minimum mean probability (geometric mean) of an utterance's words; 0 if not measured.
    pub plausible: f32,
    /// True if utterances may share a window (packing). Small models that were trained on single
    /// phrases lose words otherwise.
    pub packs: bool,
}

/// The model that [`embedded`](super::embedded) gives.
pub const EMBEDDED: Known = Known {
    hash: "d1931628c0b33b50f2855989686aaf3fab8d1d376ee65904cb26c82e93b2bee9",
    name: "hearken-phrases",
    description: "English numbers, letters, dates, times and commands (286 words), 10 s of context; comes with hearken",
    // One of the two that were trained on word times.
    alignment_heads: &[(2, 0)],
    // A prompt does not improve its word error rate, and makes it hallucinate more of its
    // vocabulary in ordinary speech: docs/streaming.md has the figures.
    carries: false,
    timestamps: true,
    // With this value ten minutes without a pause lose no word; longer windows were not measured.
    window: Some(6 * 16_000),
    // With this value streaming has no hallucinations on recorded noise and music.
    alone: 0.85,
    alone_briefly: 0.0,
    plausible: 0.0,
    packs: false,
};

/// All known models.
pub const KNOWN: &[Known] = &[EMBEDDED];

/// Looks a model up by the hash of its content.
pub fn known(hash: &blake3::Hash) -> Option<&'static Known> {
    let hash = hash.to_hex();
    KNOWN.iter().find(|known| known.hash == hash.as_str())
}
