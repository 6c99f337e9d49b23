//! All weights of a model, under the names of OpenAI's checkpoints.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::error::ImportError;
use super::tensor::Tensor;
use crate::model::Layout;
use crate::store::StoreError;

/// Most layers that are looked for. A header of more than 48 is refused.
const MAX_LAYERS: u64 = 64;

/// Tensors that a reader found, by name, and the numbers of heads, which no tensor states.
#[derive(Debug)]
pub(super) struct Weights {
    path: PathBuf,
    encoder_heads: i64,
    decoder_heads: i64,
    tensors: HashMap<String, Tensor>,
}

/// Number of layers: the highest at the beginning of one of `names`, and one more. `end` follows
/// it.
pub(super) fn layers<'a>(names: impl Iterator<Item = &'a str>, end: char) -> u64 {
    let numbers = names.filter_map(|name| name.split_once(end)?.0.parse::<u64>().ok());
    numbers.map(|number| number.saturating_add(1)).max().unwrap_or(0).min(MAX_LAYERS)
}

impl Weights {
    /// Makes an empty set. `path` is the name in messages: the file, or the folder of several.
    pub(super) fn new(path: &Path, encoder_heads: i64, decoder_heads: i64) -> Self {
        Self { path: path.to_owned(), encoder_heads, decoder_heads, tensors: HashMap::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a tensor under OpenAI's name.
    pub(super) fn add(&mut self, name: String, tensor: Tensor) -> Result<(), StoreError> {
        match self.tensors.insert(name, tensor) {
            None => Ok(()),
            Some(other) => Err(other.problem("comes twice, under two names")),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The header's fields, of which the last is `ftype`, computed from the shapes.
    pub(super) fn fields(&self, ftype: i32) -> Result<[i32; 11], StoreError> {
        let dim = |name: &str, index: usize| {
            let tensor = self.get(name).ok_or_else(|| self.missing(name, 1))?;
            tensor.shape().get(index).copied().ok_or_else(|| {
                tensor.problem(format!("has shape {:?}, which has too few dimensions", tensor.shape()))
            })
        };
        let count = |side: &str| {
            let start = format!("{side}.blocks.");
            layers(self.tensors.keys().filter_map(|name| name.strip_prefix(&start)), '.')
        };
        let (n_vocab, n_text_state) =
            (dim("decoder.token_embedding.weight", 0)?, dim("decoder.token_embedding.weight", 1)?);
        let (n_audio_ctx, n_audio_state) =
            (dim("encoder.positional_embedding", 0)?, dim("encoder.positional_embedding", 1)?);
        let n_text_ctx = dim("decoder.positional_embedding", 0)?;
        let n_mels = dim("encoder.conv1.weight", 1)?;
        let int = |value: u64| {
            i32::try_from(value).map_err(|_| {
                ImportError::field(&self.path, "a dimension", format!("is {value}, which no Whisper has"))
            })
        };
        let heads = |value: i64| {
            i32::try_from(value).map_err(|_| {
                ImportError::field(
                    &self.path,
                    "the number of heads",
                    format!("is {value}, which no Whisper has"),
                )
            })
        };
        Ok([
            int(n_vocab)?,
            int(n_audio_ctx)?,
            int(n_audio_state)?,
            heads(self.encoder_heads)?,
            int(count("encoder"))?,
            int(n_text_ctx)?,
            int(n_text_state)?,
            heads(self.decoder_heads)?,
            int(count("decoder"))?,
            int(n_mels)?,
            ftype,
        ])
    }

    /// Takes the tensors out in the order of OpenAI's checkpoints, each with its layout in the
    /// file. Fails if one is missing, has another shape, or is left over.
    pub(super) fn in_order(mut self, layout: Vec<Layout>) -> Result<Vec<(Layout, Tensor)>, StoreError> {
        let mut layout: HashMap<String, Layout> =
            layout.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let (encoder, decoder) = (
            layers(layout.keys().filter_map(|name| name.strip_prefix("encoder.blocks.")), '.'),
            layers(layout.keys().filter_map(|name| name.strip_prefix("decoder.blocks.")), '.'),
        );
        let (mut ordered, mut missing) = (Vec::new(), Vec::new());
        for name in checkpoint(encoder, decoder) {
            let Some(wanted) = layout.remove(&name) else { continue };
            match self.tensors.remove(&name) {
                Some(tensor) => {
                    expect_shape(&tensor, &wanted)?;
                    ordered.push((wanted, tensor));
                }
                None => missing.push(name),
            }
        }
        debug_assert!(layout.is_empty(), "the checkpoint's order has all tensors: {:?}", layout.keys());
        if let Some(first) = missing.first() {
            return Err(self.missing(first, missing.len()));
        }
        match self.tensors.values().next() {
            None => Ok(ordered),
            Some(tensor) => Err(tensor.problem("is none of Whisper's")),
        }
    }

    fn missing(&self, first: &str, count: usize) -> StoreError {
        ImportError::Missing { path: self.path.clone(), first: first.to_owned(), count }.into()
    }
}

/// Fails unless the shapes are the same, but for dimensions of 1 and their order.
fn expect_shape(tensor: &Tensor, wanted: &Layout) -> Result<(), StoreError> {
    let wanted: Vec<u64> = wanted.dims.iter().rev().map(|&dim| dim.into()).filter(|&dim| dim != 1).collect();
    if tensor.shape().iter().copied().filter(|&dim| dim != 1).eq(wanted.iter().copied()) {
        return Ok(());
    }
    Err(tensor.problem(format!("has shape {:?}, not {wanted:?}", tensor.shape())))
}

/// OpenAI's names in the order in which their checkpoints have them, and whisper.cpp's files.
fn checkpoint(encoder_layers: u64, decoder_layers: u64) -> Vec<String> {
    const NORM: [&str; 2] = ["weight", "bias"];
    const ATTENTION: [&str; 7] =
        ["query.weight", "query.bias", "key.weight", "value.weight", "value.bias", "out.weight", "out.bias"];
    let mut names = vec![
        "decoder.positional_embedding".to_owned(),
        "encoder.positional_embedding".to_owned(),
        "decoder.token_embedding.weight".to_owned(),
    ];
    let with =
        |name: &str, parts: &[&str]| parts.iter().map(|part| format!("{name}.{part}")).collect::<Vec<_>>();
    let blocks = |side: &str, layers: u64, attentions: &[&str]| {
        let mut names = Vec::new();
        for layer in 0..layers {
            let block = format!("{side}.blocks.{layer}");
            names.extend(with(&format!("{block}.mlp_ln"), &NORM));
            names.extend(with(&format!("{block}.mlp.0"), &NORM));
            names.extend(with(&format!("{block}.mlp.2"), &NORM));
            for attention in attentions {
                names.extend(with(&format!("{block}.{attention}_ln"), &NORM));
                names.extend(with(&format!("{block}.{attention}"), &ATTENTION));
            }
        }
        names
    };
    names.extend(blocks("decoder", decoder_layers, &["attn", "cross_attn"]));
    names.extend(with("decoder.ln", &NORM));
    names.extend(with("encoder.conv1", &NORM));
    names.extend(with("encoder.conv2", &NORM));
    names.extend(blocks("encoder", encoder_layers, &["attn"]));
    names.extend(with("encoder.ln_post", &NORM));
    names
}
