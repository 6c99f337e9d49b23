//! Small models in the formats that are read, for tests and fuzzers.

use half::{bf16, f16};
use serde_json::json;

use super::tensor::Element;
use crate::model::{Ftype, Header, layout};

/// A model's dimensions.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) n_vocab: i32,
    pub(super) n_state: i32,
    pub(super) heads: i32,
    pub(super) encoder_layers: i32,
    pub(super) decoder_layers: i32,
    pub(super) n_mels: i32,
}

/// The smallest that the checker takes, but for its vocabulary: 120 kB in half precision.
pub(super) const SMALLEST: Shape =
    Shape { n_vocab: 51_864, n_state: 1, heads: 1, encoder_layers: 1, decoder_layers: 1, n_mels: 80 };

/// A tensor of a file, or one of CTranslate2's settings.
#[derive(Clone)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) shape: Vec<u64>,
    pub(super) bytes: Vec<u8>,
}

/// A type as both formats write it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F16,
    Bf16,
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests refuse such a model"))]
    I8,
    I16,
}

impl Kind {
    pub(super) fn of(element: Element) -> Self {
        match element {
            Element::F32 => Self::F32,
            Element::F16 => Self::F16,
            Element::Bf16 => Self::Bf16,
        }
    }

    fn safetensors(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::I8 => "I8",
            Self::I16 => "I16",
        }
    }

    fn ctranslate2(self) -> u8 {
        match self {
            Self::F32 => 0,
            Self::I8 => 1,
            Self::I16 => 2,
            Self::F16 => 4,
            Self::Bf16 => 5,
        }
    }
}

impl Shape {
    /// All tensors under OpenAI's names.
    fn tensors(self, element: Element) -> Vec<Named> {
        let Self { n_vocab, n_state, heads, encoder_layers, decoder_layers, n_mels } = self;
        let fields = [
            n_vocab,
            50,
            n_state,
            heads,
            encoder_layers,
            64,
            n_state,
            heads,
            decoder_layers,
            n_mels,
            Ftype::F16.file_number(),
        ];
        let header = Header::new(fields).expect("a shape that is taken");
        let tensor = |(index, tensor): (usize, crate::model::Layout)| {
            let mut shape: Vec<u64> = tensor.dims.iter().rev().map(|&dim| dim.into()).collect();
            // As both formats have them: convolutions with three dimensions, their biases and all
            // vectors with one.
            if tensor.name.ends_with(".bias") || tensor.name.contains("ln") {
                shape = vec![shape.iter().product()];
            } else if !tensor.name.contains("conv") {
                shape.remove(0);
            }
            let count: u64 = shape.iter().product();
            let bytes = (0..count).flat_map(|at| number(index as u64, at, element)).collect();
            Named { name: tensor.name, kind: Kind::of(element), shape, bytes }
        };
        layout(&header).into_iter().enumerate().map(tensor).collect()
    }

    /// `config.json`, and the tensors of `model.safetensors`.
    pub(super) fn hugging_face(self, element: Element) -> (serde_json::Value, Vec<Named>) {
        let config = json!({
            "model_type": "whisper", "activation_function": "gelu", "scale_embedding": false, "vocab_size": self.n_vocab,
            "d_model": self.n_state, "encoder_attention_heads": self.heads, "decoder_attention_heads": self.heads,
            "encoder_layers": self.encoder_layers, "decoder_layers": self.decoder_layers, "num_mel_bins": self.n_mels,
            "max_source_positions": 50, "max_target_positions": 64,
        });
        let mut tensors = self.tensors(element);
        for tensor in &mut tensors {
            tensor.name = format!("model.{}", hugging_face_name(&tensor.name));
        }
        (config, tensors)
    }

    /// The variables of `model.bin`.
    pub(super) fn ctranslate2(self, element: Element) -> Vec<Named> {
        let setting = |name: &str, value: i16| Named {
            name: name.to_owned(),
            kind: Kind::I16,
            shape: Vec::new(),
            bytes: value.to_le_bytes().to_vec(),
        };
        let mut variables = vec![
            setting("encoder/num_heads", self.heads as i16),
            setting("decoder/num_heads", self.heads as i16),
            setting("decoder/pre_norm", 1),
        ];
        for tensor in self.tensors(element) {
            let (from, kind) = tensor.name.rsplit_once('.').expect("a name has parts");
            let side = &from[..7];
            let name = match from.split_once(".blocks.") {
                None => match from {
                    "encoder" | "decoder" => format!("{from}/position_encodings/encodings"),
                    "decoder.token_embedding" => "decoder/embeddings/weight".to_owned(),
                    "decoder.ln" | "encoder.ln_post" => format!("{side}/layer_norm/{}", norm(kind)),
                    _ => format!("{}/{kind}", from.replace('.', "/")),
                },
                Some((_, rest)) => {
                    let (layer, part) = rest.split_once('.').expect("a layer has parts");
                    let part = match part {
                        "mlp_ln" => format!("ffn/layer_norm/{}", norm(kind)),
                        "attn_ln" => format!("self_attention/layer_norm/{}", norm(kind)),
                        "cross_attn_ln" => format!("attention/layer_norm/{}", norm(kind)),
                        "mlp.0" => format!("ffn/linear_0/{kind}"),
                        "mlp.2" => format!("ffn/linear_1/{kind}"),
                        "attn.out" => format!("self_attention/linear_1/{kind}"),
                        "cross_attn.out" => format!("attention/linear_2/{kind}"),
                        "cross_attn.query" => format!("attention/linear_0/{kind}"),
                        "cross_attn.key" | "cross_attn.value" => format!("attention/linear_1/{kind}"),
                        _ => format!("self_attention/linear_0/{kind}"),
                    };
                    format!("{side}/layer_{layer}/{part}")
                }
            };
            // Keys have a bias of zero.
            let zeros = vec![0; tensor.bytes.len()];
            let before = if from.ends_with(".value") && kind == "bias" { zeros } else { Vec::new() };
            join(&mut variables, Named { name, ..tensor }, &before);
        }
        variables
    }
}

/// Appends to the variable of that name, of which the first dimension grows, or adds it.
fn join(variables: &mut Vec<Named>, mut tensor: Named, before: &[u8]) {
    if !before.is_empty() {
        tensor.shape[0] *= 2;
        tensor.bytes.splice(..0, before.iter().copied());
    }
    match variables.iter_mut().find(|variable| variable.name == tensor.name) {
        Some(variable) => {
            variable.shape[0] += tensor.shape[0];
            variable.bytes.extend(tensor.bytes);
        }
        None => variables.push(tensor),
    }
}

fn norm(kind: &str) -> &'static str {
    if kind == "weight" { "gamma" } else { "beta" }
}

/// A weight that all types hold exactly.
fn number(tensor: u64, at: u64, element: Element) -> Vec<u8> {
    let value = ((tensor * 31 + at * 7) % 255) as f32 / 64.0 - 2.0;
    match element {
        Element::F32 => value.to_le_bytes().to_vec(),
        Element::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
        Element::Bf16 => bf16::from_f32(value).to_le_bytes().to_vec(),
    }
}

fn hugging_face_name(name: &str) -> String {
    [
        (".blocks.", ".layers."),
        (".cross_attn_ln.", ".encoder_attn_layer_norm."),
        (".attn_ln.", ".self_attn_layer_norm."),
        (".mlp_ln.", ".final_layer_norm."),
        (".cross_attn.", ".encoder_attn."),
        (".attn.", ".self_attn."),
        (".query.", ".q_proj."),
        (".key.", ".k_proj."),
        (".value.", ".v_proj."),
        (".out.", ".out_proj."),
        (".mlp.0.", ".fc1."),
        (".mlp.2.", ".fc2."),
        (".ln_post.", ".layer_norm."),
        (".ln.", ".layer_norm."),
        (".positional_embedding", ".embed_positions.weight"),
        (".token_embedding.", ".embed_tokens."),
    ]
    .iter()
    .fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// A safetensors file.
pub(super) fn safetensors(tensors: &[Named]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut at = 0;
    for tensor in tensors {
        let end = at + tensor.bytes.len();
        let entry =
            json!({ "dtype": tensor.kind.safetensors(), "shape": tensor.shape, "data_offsets": [at, end] });
        header.insert(tensor.name.clone(), entry);
        at = end;
    }
    with_header(&serde_json::Value::Object(header).to_string(), tensors)
}

/// A safetensors file with this header.
pub(super) fn with_header(header: &str, tensors: &[Named]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(tensors.iter().flat_map(|tensor| &tensor.bytes));
    file
}

/// A `model.bin` of version 6.
pub(super) fn binary(variables: &[Named]) -> Vec<u8> {
    let mut file = 6u32.to_le_bytes().to_vec();
    string(&mut file, "WhisperSpec");
    file.extend(3u32.to_le_bytes());
    file.extend((variables.len() as u32).to_le_bytes());
    for Named { name, kind, shape, bytes } in variables {
        string(&mut file, name);
        file.push(shape.len() as u8);
        file.extend(shape.iter().flat_map(|&dim| (dim as u32).to_le_bytes()));
        file.push(kind.ctranslate2());
        file.extend((bytes.len() as u32).to_le_bytes());
        file.extend(bytes);
    }
    file.extend(1u32.to_le_bytes());
    string(&mut file, "decoder/projection/weight");
    string(&mut file, "decoder/embeddings/weight");
    file
}

fn string(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u16 + 1).to_le_bytes());
    file.extend(text.as_bytes());
    file.push(0);
}
