//! Reads a folder of Hugging Face's transformers: `config.json` and `model.safetensors`, whole or
//! in shards.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path};
use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{ImportError, quoted};
use super::input::Input;
use super::tensor::{Element, Tensor};
use super::weights::Weights;
use crate::store::StoreError;

/// The weights in one file.
pub(super) const WHOLE: &str = "model.safetensors";
/// The list of several.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// File name of the model's configuration.
pub(super) const CONFIG: &str = "config.json";

/// Longest `config.json` and index.
const MAX_JSON: u64 = 4 << 20;
/// Longest header of a safetensors file. Whisper's large has one of 150 kB.
const MAX_HEADER: u64 = 4 << 20;
/// Most shards.
const MAX_SHARDS: usize = 256;

/// Content of `config.json`. All but the heads is compared with the tensors, where it is there.
#[derive(Deserialize)]
struct Config {
    model_type: Option<String>,
    encoder_attention_heads: Option<i64>,
    decoder_attention_heads: Option<i64>,
    vocab_size: Option<i64>,
    max_source_positions: Option<i64>,
    max_target_positions: Option<i64>,
    d_model: Option<i64>,
    encoder_layers: Option<i64>,
    decoder_layers: Option<i64>,
    num_mel_bins: Option<i64>,
    activation_function: Option<String>,
    scale_embedding: Option<bool>,
}

/// The list of shards.
#[derive(Deserialize)]
struct Index {
    /// The file of each tensor.
    weight_map: HashMap<String, String>,
}

/// Finds all weights of the folder; reads none of them.
pub(super) fn read(folder: &Path) -> Result<Weights, StoreError> {
    let config = folder.join(CONFIG);
    if !config.exists() {
        let remedy = "it lies beside the weights where they come from: fetch it, too";
        return Err(ImportError::MissingFile { folder: folder.to_owned(), file: CONFIG, remedy }.into());
    }
    let config = Input::open(&config)?;
    let files = if folder.join(WHOLE).exists() {
        vec![Arc::new(Input::open(&folder.join(WHOLE))?)]
    } else {
        let index = Input::open(&folder.join(INDEX))?;
        shards(&index)?
            .iter()
            .map(|name| Input::open(&folder.join(name)).map(Arc::new))
            .collect::<Result<_, _>>()?
    };
    combine(folder, &config, &files)
}

/// The model that a configuration and its files of weights are.
pub(super) fn combine(path: &Path, config: &Input, files: &[Arc<Input>]) -> Result<Weights, StoreError> {
    let parsed: Config = parse(config)?;
    let expected: [(&str, &str, Option<&str>); 2] = [
        ("model_type", "whisper", parsed.model_type.as_deref()),
        ("activation_function", "gelu", parsed.activation_function.as_deref()),
    ];
    for (field, value, found) in expected {
        if let Some(found) = found.filter(|found| *found != value) {
            let what = format!("of a model whose {field} is {} and not {value}", quoted(found));
            return Err(ImportError::unsupported(config.path(), what, "hearken runs Whisper models only"));
        }
    }
    if parsed.scale_embedding == Some(true) {
        return Err(ImportError::field(config.path(), "scale_embedding", "is true, and Whisper's is false"));
    }
    let heads = |name: &str, heads: Option<i64>| {
        heads.ok_or_else(|| ImportError::field(config.path(), name, "is missing"))
    };
    let encoder_heads = heads("encoder_attention_heads", parsed.encoder_attention_heads)?;
    let decoder_heads = heads("decoder_attention_heads", parsed.decoder_attention_heads)?;
    let path = match files {
        [file] => file.path(),
        _ => path,
    };
    let mut weights = Weights::new(path, encoder_heads, decoder_heads);
    let mut projection = None;
    for file in files {
        for (name, tensor) in tensors(file)? {
            if name == "proj_out.weight" {
                projection = Some(tensor);
            } else {
                add(&mut weights, &name, tensor)?;
            }
        }
    }
    agrees(config, &parsed, &weights)?;
    // Saved once more by some: whisper.cpp has it only as the embedding.
    if let Some((projection, embedding)) = projection.zip(weights.get("decoder.token_embedding.weight")) {
        projection.expect_same(embedding)?;
    }
    Ok(weights)
}

fn parse<T: DeserializeOwned>(input: &Input) -> Result<T, StoreError> {
    serde_json::from_slice(&input.whole(MAX_JSON)?)
        .map_err(|error| ImportError::field(input.path(), "the content", format!("cannot be read ({error})")))
}

/// Fails where the configuration contradicts the weights.
fn agrees(config: &Input, parsed: &Config, weights: &Weights) -> Result<(), StoreError> {
    let fields = weights.fields(0)?;
    let stated = [
        ("vocab_size", parsed.vocab_size, fields[0]),
        ("max_source_positions", parsed.max_source_positions, fields[1]),
        ("d_model", parsed.d_model, fields[2]),
        ("encoder_layers", parsed.encoder_layers, fields[4]),
        ("max_target_positions", parsed.max_target_positions, fields[5]),
        ("decoder_layers", parsed.decoder_layers, fields[8]),
        ("num_mel_bins", parsed.num_mel_bins, fields[9]),
    ];
    for (name, stated, found) in stated {
        if let Some(stated) = stated.filter(|stated| *stated != i64::from(found)) {
            return Err(ImportError::field(
                config.path(),
                name,
                format!("is {stated}, and the weights have {found}"),
            ));
        }
    }
    Ok(())
}

/// Names of the files that an index lists: files of the same folder.
pub(super) fn shards(index: &Input) -> Result<BTreeSet<String>, StoreError> {
    let parsed: Index = parse(index)?;
    let shards: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if shards.is_empty() || shards.len() > MAX_SHARDS {
        let problem = format!("names {} files (1 to {MAX_SHARDS})", shards.len());
        return Err(ImportError::field(index.path(), "weight_map", problem));
    }
    for name in &shards {
        let mut parts = Path::new(name).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
            || name.contains(['/', '\0'])
        {
            let problem = format!("names a file that is not in the folder: {:?}", quoted(name));
            return Err(ImportError::field(index.path(), "weight_map", problem));
        }
    }
    Ok(shards)
}

/// All tensors of a safetensors file.
fn tensors(input: &Arc<Input>) -> Result<Vec<(String, Tensor)>, StoreError> {
    let path = input.path();
    let mut len = [0; 8];
    input.read(0, &mut len, || "the header's length".to_owned())?;
    let len = u64::from_le_bytes(len);
    if len > MAX_HEADER {
        let problem = format!("has {len} bytes, more than that of any Whisper");
        return Err(ImportError::field(path, "the header", problem));
    }
    let header = input.bytes(8, len, || "the header".to_owned())?;
    // Checks, too, that offsets follow each other without gaps, and that each tensor has the bytes
    // that its shape takes.
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| ImportError::field(path, "the header", format!("is wrong ({error})")))?;
    let start = 8 + len;
    if start.checked_add(metadata.data_len() as u64) != Some(input.len()) {
        let announced = start.saturating_add(metadata.data_len() as u64);
        if announced > input.len() {
            input.expect(0, announced, || "the last tensor".to_owned())?;
        }
        let problem = format!("is to end at byte {announced}, and the file goes on");
        return Err(ImportError::field(path, "the last tensor", problem));
    }
    let tensors = metadata.tensors();
    let tensor = |(name, info): (String, &TensorInfo)| {
        let element = match info.dtype {
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::Bf16,
            other => {
                let what = format!("a model with weights of type {other:?} ({})", quoted(&name));
                let remedy = "import one in F32, F16 or BF16, and let hearken quantize it with --quantize";
                return Err(ImportError::unsupported(path, what, remedy));
            }
        };
        let (from, to) = info.data_offsets;
        let at = (start + from as u64, to as u64 - from as u64);
        let shape = info.shape.iter().map(|&dim| dim as u64).collect();
        Ok((name.clone(), Tensor::new(input, &name, at, element, shape)?))
    };
    tensors.into_iter().map(tensor).collect()
}

/// Adds a tensor under OpenAI's name.
fn add(weights: &mut Weights, name: &str, tensor: Tensor) -> Result<(), StoreError> {
    match openai(name.strip_prefix("model.").unwrap_or(name)) {
        // Whisper's keys have none; some files have zeros.
        Some(name) if name.ends_with(".key.bias") => tensor.expect_zero(),
        Some(name) => weights.add(name, tensor),
        None => Err(tensor.problem("is none of Whisper's")),
    }
}

/// OpenAI's name of a tensor.
fn openai(name: &str) -> Option<String> {
    let (side, rest) = name.split_once('.').filter(|(side, _)| ["encoder", "decoder"].contains(side))?;
    if let Some(rest) = rest.strip_prefix("layers.") {
        let (layer, rest) = rest.split_once('.')?;
        let (part, kind) = rest.rsplit_once('.')?;
        let part = match part {
            "self_attn_layer_norm" => "attn_ln",
            "encoder_attn_layer_norm" => "cross_attn_ln",
            "final_layer_norm" => "mlp_ln",
            "fc1" => "mlp.0",
            "fc2" => "mlp.2",
            _ => return Some(format!("{side}.blocks.{layer}.{}.{kind}", attention(part)?)),
        };
        return Some(format!("{side}.blocks.{layer}.{part}.{kind}"));
    }
    Some(match (side, rest) {
        (_, "embed_positions.weight") => format!("{side}.positional_embedding"),
        ("decoder", "embed_tokens.weight") => "decoder.token_embedding.weight".to_owned(),
        (_, rest) => {
            let (part, kind) = rest.split_once('.')?;
            let part = match (side, part) {
                ("encoder", "conv1" | "conv2") => part,
                ("encoder", "layer_norm") => "ln_post",
                ("decoder", "layer_norm") => "ln",
                _ => return None,
            };
            format!("{side}.{part}.{kind}")
        }
    })
}

fn attention(part: &str) -> Option<String> {
    let (attention, projection) = part.split_once('.')?;
    let attention = match attention {
        "self_attn" => "attn",
        "encoder_attn" => "cross_attn",
        _ => return None,
    };
    let projection = match projection {
        "q_proj" => "query",
        "k_proj" => "key",
        "v_proj" => "value",
        "out_proj" => "out",
        _ => return None,
    };
    Some(format!("{attention}.{projection}"))
}
