//! Reads CTranslate2's `model.bin`, the weights of faster-whisper.
//!
//! The format, all little-endian: version (`u32`); name and revision of the specification; number
//! of variables, and of each its name, dimensions, type and bytes; aliases. A string is a length
//! (`u16`) and as many bytes, of which the last is zero.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::error::{ImportError, quoted};
use super::input::{Cursor, Input};
use super::tensor::{Element, Tensor};
use super::weights::{Weights, layers};
use crate::store::StoreError;

/// Versions of the format whose variables state their type. Whisper has been converted since
/// version 6.
const VERSIONS: std::ops::RangeInclusive<u32> = 4..=6;
/// The specification of Whisper.
const SPECIFICATION: &str = "WhisperSpec";
/// Most variables. Whisper's large has 1,300.
const MAX_VARIABLES: u32 = 1 << 14;
/// Most dimensions.
const MAX_RANK: u8 = 4;
const MAX_NAME: u16 = 256;

/// Remedy for weights in integers.
const INTEGERS: &str = "rounded weights cannot be had back: convert the original again with `--quantization float16`, \
                        then use `hearken models import --quantize q8_0`";
/// Remedy for anything else that is not Whisper as OpenAI made it.
const RECONVERT: &str =
    "convert it again with ct2-transformers-converter of CTranslate2 4 and `--quantization float16`";

/// Settings that whisper.cpp does not have, and the value that it computes with.
const SETTINGS: [(&str, i64); 5] = [
    ("decoder/pre_norm", 1),
    ("decoder/scale_embeddings", 0),
    ("decoder/alibi", 0),
    ("decoder/start_from_zero_embedding", 0),
    // GELU with the error function.
    ("decoder/activation", 3),
];

/// Returns true if a file that begins so is one of CTranslate2's.
pub(super) fn begins(head: &[u8]) -> bool {
    let [version @ .., _, _] = head.first_chunk::<6>().copied().unwrap_or_default();
    matches!(u32::from_le_bytes(version), 1..=99) && head.get(6..).is_some_and(|rest| rest.contains(&0))
}

/// A variable of the file.
struct Variable {
    /// CTranslate2's number of the type.
    kind: u8,
    shape: Vec<u64>,
    at: u64,
    bytes: u64,
}

/// Finds all weights in the file; reads none of them but the settings.
pub(super) fn read(input: &Arc<Input>) -> Result<Weights, StoreError> {
    let path = input.path();
    let variables = variables(input)?;
    let setting = |name: &str| {
        variables
            .get(name)
            .filter(|variable| variable.shape.is_empty())
            .map(|variable| number(input, name, variable))
    };
    for (name, value) in SETTINGS {
        if let Some(found) = setting(name).transpose()?.filter(|found| *found != value) {
            return Err(ImportError::field(path, name, format!("is {found}, and Whisper's is {value}")));
        }
    }
    let heads =
        |name: &str| setting(name).unwrap_or_else(|| Err(ImportError::field(path, name, "is missing")));
    let (encoder_heads, decoder_heads) = (heads("encoder/num_heads")?, heads("decoder/num_heads")?);

    let mut tensors = Names { input, variables, weights: Weights::new(path, encoder_heads, decoder_heads) };
    for side in ["encoder", "decoder"] {
        tensors.side(side)?;
    }
    let Names { variables, weights, .. } = tensors;
    match variables.iter().find(|(_, variable)| !variable.shape.is_empty()) {
        None => Ok(weights),
        Some((name, _)) => Err(ImportError::tensor(path, name, "is none of Whisper's")),
    }
}

/// Reads all variables by name.
fn variables(input: &Arc<Input>) -> Result<HashMap<String, Variable>, StoreError> {
    let path = input.path();
    let mut cursor = Cursor { input, at: 0 };
    let version = cursor.u32(|| "the version".to_owned())?;
    if !VERSIONS.contains(&version) {
        let what = format!("a CTranslate2 model of version {version}, of which hearken reads 4 to 6");
        return Err(ImportError::unsupported(path, what, RECONVERT));
    }
    let specification = string(&mut cursor, || "the specification".to_owned())?;
    if specification != SPECIFICATION {
        let what = format!("a CTranslate2 model of another kind ({})", quoted(&specification));
        return Err(ImportError::unsupported(path, what, "hearken runs Whisper models only"));
    }
    cursor.u32(|| "the revision".to_owned())?;
    let count = cursor.u32(|| "the number of variables".to_owned())?;
    if count > MAX_VARIABLES {
        let problem = format!("is {count}, more than any Whisper has");
        return Err(ImportError::field(path, "the number of variables", problem));
    }
    let mut variables = HashMap::new();
    for index in 0..count {
        let (name, variable) = variable(&mut cursor, index)?;
        if variables.insert(name.clone(), variable).is_some() {
            return Err(ImportError::tensor(path, &name, "comes twice"));
        }
    }
    let aliases = cursor.u32(|| "the number of aliases".to_owned())?;
    for index in 0..aliases.min(MAX_VARIABLES) {
        let what = || format!("alias {index}");
        let (alias, of) = (string(&mut cursor, what)?, string(&mut cursor, what)?);
        if (alias.as_str(), of.as_str()) != ("decoder/projection/weight", "decoder/embeddings/weight") {
            return Err(ImportError::tensor(path, &alias, "is an alias that no Whisper has"));
        }
    }
    if cursor.at != input.len() {
        let problem = format!("ends at byte {} and the file goes on", cursor.at);
        return Err(ImportError::field(path, "the list of variables", problem));
    }
    Ok(variables)
}

fn variable(cursor: &mut Cursor<'_>, index: u32) -> Result<(String, Variable), StoreError> {
    let path = cursor.input.path();
    let name = string(cursor, || format!("the name of variable {index}"))?;
    let what = || format!("the description of {name}");
    let rank = cursor.u8(what)?;
    if rank > MAX_RANK {
        return Err(ImportError::tensor(path, &name, format!("has {rank} dimensions")));
    }
    let mut shape = Vec::new();
    for _ in 0..rank {
        shape.push(u64::from(cursor.u32(what)?));
    }
    let kind = cursor.u8(what)?;
    let bytes = u64::from(cursor.u32(what)?);
    let at = cursor.skip(bytes, || format!("the tensor {name}"))?;
    Ok((name, Variable { kind, shape, at, bytes }))
}

fn string(cursor: &mut Cursor<'_>, what: impl Fn() -> String) -> Result<String, StoreError> {
    let len = cursor.u16(&what)?;
    let mut bytes = if (1..=MAX_NAME).contains(&len) { cursor.bytes(len.into(), &what)? } else { Vec::new() };
    match (bytes.pop(), String::from_utf8(bytes)) {
        (Some(0), Ok(string)) => Ok(string),
        _ => Err(ImportError::field(cursor.input.path(), what(), "is no string")),
    }
}

/// The value of a setting.
fn number(input: &Input, name: &str, variable: &Variable) -> Result<i64, StoreError> {
    let bytes = input.bytes(variable.at, variable.bytes.min(4), || name.to_owned())?;
    match (variable.kind, &bytes[..]) {
        (1, &[byte]) => Ok(i64::from(byte.cast_signed())),
        (2, &[a, b]) => Ok(i16::from_le_bytes([a, b]).into()),
        (3, &[a, b, c, d]) if variable.bytes == 4 => Ok(i32::from_le_bytes([a, b, c, d]).into()),
        _ => Err(ImportError::field(input.path(), name, "is no integer")),
    }
}

/// Gives the variables OpenAI's names.
struct Names<'a> {
    input: &'a Arc<Input>,
    variables: HashMap<String, Variable>,
    weights: Weights,
}

impl Names<'_> {
    /// Everything of the encoder or the decoder.
    fn side(&mut self, side: &str) -> Result<(), StoreError> {
        let decodes = side == "decoder";
        self.one(&format!("{side}/position_encodings/encodings"), &format!("{side}.positional_embedding"))?;
        if decodes {
            self.one("decoder/embeddings/weight", "decoder.token_embedding.weight")?;
            self.norm("decoder/layer_norm", "decoder.ln")?;
        } else {
            self.pair("encoder/conv1", "encoder.conv1")?;
            self.pair("encoder/conv2", "encoder.conv2")?;
            self.norm("encoder/layer_norm", "encoder.ln_post")?;
        }
        let start = format!("{side}/layer_");
        for layer in 0..layers(self.variables.keys().filter_map(|name| name.strip_prefix(&start)), '/') {
            let (from, to) = (format!("{side}/layer_{layer}"), format!("{side}.blocks.{layer}"));
            self.norm(&format!("{from}/ffn/layer_norm"), &format!("{to}.mlp_ln"))?;
            self.pair(&format!("{from}/ffn/linear_0"), &format!("{to}.mlp.0"))?;
            self.pair(&format!("{from}/ffn/linear_1"), &format!("{to}.mlp.2"))?;
            self.attention(&format!("{from}/self_attention"), &format!("{to}.attn"), false)?;
            if decodes {
                self.attention(&format!("{from}/attention"), &format!("{to}.cross_attn"), true)?;
            }
        }
        Ok(())
    }

    /// Queries, keys and values are joined: all three, or across to the encoder keys and values.
    fn attention(&mut self, from: &str, to: &str, crosses: bool) -> Result<(), StoreError> {
        self.norm(&format!("{from}/layer_norm"), &format!("{to}_ln"))?;
        if crosses {
            self.pair(&format!("{from}/linear_0"), &format!("{to}.query"))?;
            self.joined(&format!("{from}/linear_1"), to, &["key", "value"])?;
            self.pair(&format!("{from}/linear_2"), &format!("{to}.out"))
        } else {
            self.joined(&format!("{from}/linear_0"), to, &["query", "key", "value"])?;
            self.pair(&format!("{from}/linear_1"), &format!("{to}.out"))
        }
    }

    fn joined(&mut self, from: &str, to: &str, names: &[&str]) -> Result<(), StoreError> {
        for kind in ["weight", "bias"] {
            let Some(joined) = self.take(&format!("{from}/{kind}"))? else { continue };
            for (index, name) in (0..).zip(names) {
                let part = joined.part(index, names.len() as u64)?;
                if (*name, kind) == ("key", "bias") {
                    part.expect_zero()?;
                } else {
                    self.weights.add(format!("{to}.{name}.{kind}"), part)?;
                }
            }
        }
        Ok(())
    }

    fn pair(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        self.one(&format!("{from}/weight"), &format!("{to}.weight"))?;
        self.one(&format!("{from}/bias"), &format!("{to}.bias"))
    }

    fn norm(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        self.one(&format!("{from}/gamma"), &format!("{to}.weight"))?;
        self.one(&format!("{from}/beta"), &format!("{to}.bias"))
    }

    fn one(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        match self.take(from)? {
            Some(tensor) => self.weights.add(to.to_owned(), tensor),
            // What is missing is found at the end.
            None => Ok(()),
        }
    }

    fn take(&mut self, name: &str) -> Result<Option<Tensor>, StoreError> {
        let Some(Variable { kind, shape, at, bytes }) = self.variables.remove(name) else { return Ok(None) };
        let path: &Path = self.input.path();
        let element = match kind {
            0 => Element::F32,
            4 => Element::F16,
            5 => Element::Bf16,
            1 | 2 => {
                let kind = if kind == 1 { "int8" } else { "int16" };
                return Err(ImportError::unsupported(
                    path,
                    format!("a CTranslate2 model in {kind}"),
                    INTEGERS,
                ));
            }
            _ => {
                let problem = format!("has type {kind}, which is none of weights");
                return Err(ImportError::tensor(path, name, problem));
            }
        };
        Tensor::new(self.input, name, (at, bytes), element, shape).map(Some)
    }
}
