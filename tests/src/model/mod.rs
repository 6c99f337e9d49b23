//! Whisper models with random weights, so that tests need no trained ones.
//!
//! whisper.cpp takes any dimensions from a file's header; what it demands beyond that (ids of
//! special tokens, the filters' size, tensors' types) is written as it demands it. The text that
//! such a model gives is nonsense, but it is the same nonsense for the same audio, in native
//! whisper.cpp and in the sandbox.

mod blocks;
mod mel;
#[cfg(test)]
mod tests;
mod vocabulary;
mod weights;

use std::io::{self, Write};

use hearken::testing::SplitMix64;

pub use blocks::Weights;
pub use vocabulary::Vocabulary;

/// A model to be written. Change fields at will: what they hold is written, sane or not.
#[derive(Debug, Clone, PartialEq)]
pub struct SyntheticModel {
    /// 51,864 (English), 51,865 or 51,866 (multilingual).
    pub n_vocab: i32,
    /// Positions of the encoder, 20 ms each.
    pub n_audio_ctx: i32,
    /// Width of encoder and decoder; a multiple of 32 for quantized weights, 64 for each head is
    /// usual.
    pub n_state: i32,
    /// Attention heads of encoder and decoder.
    pub n_head: i32,
    /// Layers of the encoder.
    pub n_audio_layer: i32,
    /// Positions of the decoder.
    pub n_text_ctx: i32,
    /// Layers of the decoder; whisper.cpp takes 2 for a distilled model and then never gives
    /// timestamps.
    pub n_text_layer: i32,
    /// Mel bands, 80 or 128.
    pub n_mels: i32,
    /// Type of the large weights.
    pub weights: Weights,
    /// Seed of the weights.
    pub seed: u64,
    /// Text of its tokens.
    pub vocabulary: Vocabulary,
    /// Standard deviation of the logits: with 4 the likeliest token has some ten per cent, with 20
    /// nearly all.
    pub deviation: f32,
}

impl SyntheticModel {
    /// The dimensions of Whisper's tiny.en, f16: 75 MB.
    pub fn tiny() -> Self {
        Self {
            n_vocab: 51_864,
            n_audio_ctx: 1500,
            n_state: 384,
            n_head: 6,
            n_audio_layer: 4,
            n_text_ctx: 448,
            n_text_layer: 4,
            n_mels: 80,
            weights: Weights::F16,
            seed: 1,
            vocabulary: Vocabulary::Plain,
            deviation: 4.0,
        }
    }

    /// The dimensions of Whisper's base.en, f16: 142 MB.
    pub fn base() -> Self {
        Self { n_state: 512, n_head: 8, n_audio_layer: 6, n_text_layer: 6, ..Self::tiny() }
    }

    /// The smallest that is still shaped like a Whisper: one head of 64, 10 s of context, 7 MB in
    /// f16.
    pub fn smallest() -> Self {
        Self { n_audio_ctx: 500, n_state: 64, n_head: 1, n_audio_layer: 1, n_text_layer: 1, ..Self::tiny() }
    }

    /// The same with Whisper's languages: 99, or with `cantonese` 100 and the 128 mel bands of
    /// large-v3.
    pub fn multilingual(self, cantonese: bool) -> Self {
        let (n_vocab, n_mels) = if cantonese { (51_866, 128) } else { (51_865, 80) };
        Self { n_vocab, n_mels, ..self }
    }

    /// The whole file in memory.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = Vec::new();
        self.write(&mut file).expect("a vector takes every write");
        file
    }

    /// Writes the file, row by row. Give it a buffered `out`.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        let out = &mut out;
        integers(out, &[0x6767_6d6c])?;
        integers(
            out,
            &[
                self.n_vocab,
                self.n_audio_ctx,
                self.n_state,
                self.n_head,
                self.n_audio_layer,
                self.n_text_ctx,
                self.n_state,
                self.n_head,
                self.n_text_layer,
                self.n_mels,
                self.weights.ftype(),
            ],
        )?;
        integers(out, &[self.n_mels, mel::BINS as i32])?;
        for filter in mel::filters(self.n_mels.unsigned_abs() as usize) {
            for gain in filter {
                out.write_all(&gain.to_le_bytes())?;
            }
        }
        let entries = self.vocabulary.entries(self.text_tokens());
        integers(out, &[entries.len() as i32])?;
        for entry in entries {
            integers(out, &[entry.len() as i32])?;
            out.write_all(&entry)?;
        }
        self.tensors(out)
    }

    /// Tokens that are text. Those after them are named by whisper.cpp itself.
    fn text_tokens(&self) -> usize {
        if self.n_vocab > 51_864 { 50_257 } else { 50_256 }
    }

    fn tensors(&self, out: &mut impl Write) -> io::Result<()> {
        let n = self.n_state;
        let large = self.weights;
        let convolution = if large == Weights::F32 { Weights::F32 } else { Weights::F16 };
        let mut random = SplitMix64::new(self.seed);
        let mut tensor = |name: &str, dims: &[i32], kind: Weights, fill: Fill| -> io::Result<()> {
            integers(out, &[dims.len() as i32, name.len() as i32, kind.tensor_type()])?;
            integers(out, dims)?;
            out.write_all(name.as_bytes())?;
            let row = dims[0].unsigned_abs() as usize;
            let rows: usize = dims[1..].iter().map(|&n| n.unsigned_abs() as usize).product();
            // Kernels of three would make tiny rows; no block spans rows in any case.
            let (row, rows) = if kind.block() == 1 { (row * rows, 1) } else { (row, rows) };
            let mut values = vec![0.0; row];
            let mut encoded = Vec::new();
            for _ in 0..rows {
                match fill {
                    Fill::All(value) => values.fill(value),
                    Fill::Normal(deviation) => weights::normal(&mut random, deviation, &mut values),
                    Fill::Waves => weights::waves(n.unsigned_abs() as usize, &mut values),
                }
                encoded.clear();
                kind.encode(&values, &mut encoded);
                out.write_all(&encoded)?;
            }
            Ok(())
        };
        let fan_in = |count: i32| Fill::Normal(1.0 / (count.max(1) as f32).sqrt());

        tensor("encoder.positional_embedding", &[n, self.n_audio_ctx], Weights::F32, Fill::Waves)?;
        tensor("encoder.conv1.weight", &[3, self.n_mels, n], convolution, fan_in(3 * self.n_mels))?;
        tensor("encoder.conv1.bias", &[1, n], Weights::F32, Fill::All(0.0))?;
        tensor("encoder.conv2.weight", &[3, n, n], convolution, fan_in(3 * n))?;
        tensor("encoder.conv2.bias", &[1, n], Weights::F32, Fill::All(0.0))?;
        let mut blocks = |side: &str, layers: i32, attentions: &[&str]| -> io::Result<()> {
            for layer in 0..layers {
                let mut part = |name: &str, dims: &[i32], kind, fill| {
                    tensor(&format!("{side}.blocks.{layer}.{name}"), dims, kind, fill)
                };
                for attention in attentions {
                    // Doubled queries, so that attention looks somewhere instead of everywhere.
                    let query = Fill::Normal(2.0 / (n.max(1) as f32).sqrt());
                    part(&format!("{attention}_ln.weight"), &[n], Weights::F32, Fill::All(1.0))?;
                    part(&format!("{attention}_ln.bias"), &[n], Weights::F32, Fill::All(0.0))?;
                    part(&format!("{attention}.query.weight"), &[n, n], large, query)?;
                    part(&format!("{attention}.query.bias"), &[n], Weights::F32, Fill::Normal(0.02))?;
                    part(&format!("{attention}.key.weight"), &[n, n], large, fan_in(n))?;
                    part(&format!("{attention}.value.weight"), &[n, n], large, fan_in(n))?;
                    part(&format!("{attention}.value.bias"), &[n], Weights::F32, Fill::Normal(0.02))?;
                    part(&format!("{attention}.out.weight"), &[n, n], large, fan_in(n))?;
                    part(&format!("{attention}.out.bias"), &[n], Weights::F32, Fill::Normal(0.02))?;
                }
                part("mlp_ln.weight", &[n], Weights::F32, Fill::All(1.0))?;
                part("mlp_ln.bias", &[n], Weights::F32, Fill::All(0.0))?;
                part("mlp.0.weight", &[n, 4 * n], large, fan_in(n))?;
                part("mlp.0.bias", &[4 * n], Weights::F32, Fill::Normal(0.02))?;
                part("mlp.2.weight", &[4 * n, n], large, fan_in(4 * n))?;
                part("mlp.2.bias", &[n], Weights::F32, Fill::Normal(0.02))?;
            }
            Ok(())
        };
        blocks("encoder", self.n_audio_layer, &["attn"])?;
        blocks("decoder", self.n_text_layer, &["attn", "cross_attn"])?;
        tensor("encoder.ln_post.weight", &[n], Weights::F32, Fill::All(1.0))?;
        tensor("encoder.ln_post.bias", &[n], Weights::F32, Fill::All(0.0))?;
        // Embeddings are also the rows that logits come from. Small ones, enlarged by the last
        // norm, keep a token from predicting itself for ever. Of logits with a deviation of 4 the
        // likeliest of 52,000 has some ten per cent, a margin that rounding seldom turns over.
        let embedding = Fill::Normal(0.3 / (n.max(1) as f32).sqrt());
        tensor("decoder.positional_embedding", &[n, self.n_text_ctx], Weights::F32, embedding)?;
        tensor("decoder.token_embedding.weight", &[n, self.n_vocab], large, embedding)?;
        tensor("decoder.ln.weight", &[n], Weights::F32, Fill::All(self.deviation / 0.3))?;
        tensor("decoder.ln.bias", &[n], Weights::F32, Fill::All(0.0))
    }
}

/// Content of a tensor.
#[derive(Debug, Clone, Copy)]
enum Fill {
    /// The same value everywhere.
    All(f32),
    /// Normal, with this standard deviation.
    Normal(f32),
    /// Whisper's sinusoids.
    Waves,
}

fn integers(out: &mut impl Write, values: &[i32]) -> io::Result<()> {
    values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
}
