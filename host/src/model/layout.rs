//! Tensors of a model of given dimensions: whisper.cpp's `whisper_model_load`, as a table.

use super::header::{Dims, Ftype, Header};

/// Description of a tensor in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// Fastest dimension first; 1 where it has fewer than three.
    pub(crate) dims: [u32; 3],
    pub(crate) ftype: Ftype,
}

impl Tensor {
    /// Bytes of its data. Rows are whole blocks: the header's check saw to that.
    pub(crate) fn bytes(&self) -> u64 {
        let (_, block, size) = self.ftype.tensor_type();
        // At most 4096 · 51866 · 4, by the header's bounds.
        self.dims.iter().map(|&n| u64::from(n)).product::<u64>() / block * size
    }

    /// Dimensions that a file states: vectors have one, biases of convolutions two.
    #[cfg(any(test, feature = "import"))]
    pub(crate) fn n_dims(&self) -> usize {
        match self.dims {
            [_, 1, 1] => 1,
            [_, _, 1] => 2,
            _ => 3,
        }
    }

    /// Size of the tensor in a file, in bytes, including the three integers, its dimensions and its
    /// name before its data.
    #[cfg(any(test, feature = "import"))]
    pub(crate) fn file_bytes(&self) -> u64 {
        self.bytes() + 12 + 4 * self.n_dims() as u64 + self.name.len() as u64
    }
}

/// Tensors of one attention or feed-forward part: name within it, shape, and true if it has the
/// weights' type.
type Part = (&'static str, [u32; 3], bool);

/// All tensors, in the order in which whisper.cpp creates them.
pub(crate) fn tensors(header: &Header) -> Vec<Tensor> {
    let dims = header.dims();
    let Dims { n_vocab, n_audio_ctx, n_audio_state: n, n_text_ctx, n_mels, .. } = *dims;
    let weights = header.ftype();
    // Convolutions stay in f16 when the products are quantized.
    let convolution = Ftype::F16;
    let mut all = Vec::new();
    let mut add = |name: String, dims, ftype| all.push(Tensor { name, dims, ftype });

    add("encoder.positional_embedding".to_owned(), [n, n_audio_ctx, 1], Ftype::F32);
    add("encoder.conv1.weight".to_owned(), [3, n_mels, n], convolution);
    add("encoder.conv1.bias".to_owned(), [1, n, 1], Ftype::F32);
    add("encoder.conv2.weight".to_owned(), [3, n, n], convolution);
    add("encoder.conv2.bias".to_owned(), [1, n, 1], Ftype::F32);
    add("encoder.ln_post.weight".to_owned(), [n, 1, 1], Ftype::F32);
    add("encoder.ln_post.bias".to_owned(), [n, 1, 1], Ftype::F32);
    add("decoder.positional_embedding".to_owned(), [n, n_text_ctx, 1], Ftype::F32);
    add("decoder.token_embedding.weight".to_owned(), [n, n_vocab, 1], weights);
    add("decoder.ln.weight".to_owned(), [n, 1, 1], Ftype::F32);
    add("decoder.ln.bias".to_owned(), [n, 1, 1], Ftype::F32);

    let row = [n, 1, 1];
    let attention: [Part; 9] = [
        ("_ln.weight", row, false),
        ("_ln.bias", row, false),
        (".query.weight", [n, n, 1], true),
        (".query.bias", row, false),
        // No bias for keys.
        (".key.weight", [n, n, 1], true),
        (".value.weight", [n, n, 1], true),
        (".value.bias", row, false),
        (".out.weight", [n, n, 1], true),
        (".out.bias", row, false),
    ];
    let feed_forward: [Part; 6] = [
        ("_ln.weight", row, false),
        ("_ln.bias", row, false),
        (".0.weight", [n, 4 * n, 1], true),
        (".0.bias", [4 * n, 1, 1], false),
        (".2.weight", [4 * n, n, 1], true),
        (".2.bias", row, false),
    ];
    let mut blocks = |side: &str, layers: u32, parts: &[(&str, &[Part])]| {
        for layer in 0..layers {
            for (part, tensors) in parts {
                for &(name, dims, large) in *tensors {
                    let ftype = if large { weights } else { Ftype::F32 };
                    add(format!("{side}.blocks.{layer}.{part}{name}"), dims, ftype);
                }
            }
        }
    };
    blocks("encoder", dims.n_audio_layer, &[("attn", &attention), ("mlp", &feed_forward)]);
    blocks(
        "decoder",
        dims.n_text_layer,
        &[("attn", &attention), ("cross_attn", &attention), ("mlp", &feed_forward)],
    );
    all
}

/// Size of all tensors in a file whose header has these fields, in bytes, including the fields
/// before each. Also for models that do not fit the sandbox.
#[cfg(all(test, feature = "pull"))]
pub(crate) fn tensor_bytes(mut fields: [i32; 11]) -> u64 {
    // One layer of each side, then what each further one adds: a header of all of them may be
    // refused.
    let (encoder, decoder) = (fields[4] as u64, fields[8] as u64);
    let mut with = |encoder, decoder| -> u64 {
        (fields[4], fields[8]) = (encoder, decoder);
        let header = Header::new(fields).expect("two layers of any official size fit");
        tensors(&header).iter().map(Tensor::file_bytes).sum()
    };
    let (base, two_encoder, two_decoder) = (with(1, 1), with(2, 1), with(1, 2));
    // From the eleventh layer on a name is one byte longer.
    let longer = |layers: u64, parts: u64| parts * layers.saturating_sub(10);
    base + (encoder - 1) * (two_encoder - base)
        + longer(encoder, 15)
        + (decoder - 1) * (two_decoder - base)
        + longer(decoder, 24)
}
