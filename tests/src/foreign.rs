//! ggml models in the formats in which people have Whisper: the inverse of `hearken models import`,
//! by the names that Hugging Face's transformers and CTranslate2 give.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde_json::json;

/// A tensor as it is in a ggml file in half precision.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// OpenAI's name.
    pub name: String,
    /// Slowest dimension first.
    pub shape: Vec<u32>,
    /// `F16` or `F32`.
    pub dtype: &'static str,
    /// Little-endian.
    pub bytes: Vec<u8>,
}

/// A ggml model in half precision, taken apart.
#[derive(Debug, Clone)]
pub struct Foreign {
    /// The header's fields.
    pub fields: [i32; 11],
    /// Entries of the vocabulary.
    pub vocabulary: Vec<Vec<u8>>,
    /// Tensors in the file's order.
    pub tensors: Vec<Tensor>,
}

/// Reader of trusted files.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }

    fn int(&mut self) -> i32 {
        i32::from_le_bytes(self.bytes(4).try_into().expect("four bytes"))
    }

    fn len(&mut self) -> usize {
        self.int() as usize
    }
}

impl Foreign {
    /// Takes a ggml file apart.
    pub fn new(ggml: &[u8]) -> Self {
        let mut reader = Reader(ggml);
        reader.int();
        let fields = std::array::from_fn(|_| reader.int());
        let filters = reader.len() * reader.len() * 4;
        reader.bytes(filters);
        let mut vocabulary = Vec::new();
        for _ in 0..reader.int() {
            let len = reader.len();
            vocabulary.push(reader.bytes(len).to_vec());
        }
        let mut tensors = Vec::new();
        while !reader.0.is_empty() {
            let (n_dims, len, kind) = (reader.int(), reader.len(), reader.int());
            let mut shape: Vec<u32> = (0..n_dims).map(|_| reader.int().cast_unsigned()).collect();
            shape.reverse();
            let name = String::from_utf8(reader.bytes(len).to_vec()).expect("names are text");
            let (dtype, size) = if kind == 0 { ("F32", 4) } else { ("F16", 2) };
            let bytes =
                reader.bytes(shape.iter().map(|&dim| dim as usize).product::<usize>() * size).to_vec();
            if name.contains("conv") && name.ends_with("bias") {
                // [n, 1] in ggml files.
                shape.truncate(1);
            }
            tensors.push(Tensor { name, shape, dtype, bytes });
        }
        Self { fields, vocabulary, tensors }
    }

    /// The tensor of that name, to be changed.
    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).expect("it is there")
    }

    /// All tokens as Hugging Face writes them, special ones included.
    fn tokens(&self) -> Vec<String> {
        let text = if self.fields[0] > 51_864 { 50_257 } else { 50_256 };
        let characters = characters();
        let entry = |id: usize| match self.vocabulary.get(id) {
            Some(entry) if id < text => entry.iter().map(|byte| characters[byte]).collect(),
            _ if id == text => "<|endoftext|>".to_owned(),
            _ => format!("<|{id}|>"),
        };
        (0..self.fields[0] as usize).map(entry).collect()
    }

    /// Writes `config.json`, `vocab.json` and `model.safetensors`.
    ///
    /// # Panics
    ///
    /// When the folder cannot be written.
    pub fn write_hugging_face(&self, folder: &Path) {
        let [
            n_vocab,
            audio_ctx,
            state,
            audio_heads,
            audio_layers,
            text_ctx,
            _,
            text_heads,
            text_layers,
            mels,
            _,
        ] = self.fields;
        let config = json!({
            "model_type": "whisper", "vocab_size": n_vocab, "d_model": state, "num_mel_bins": mels,
            "max_source_positions": audio_ctx, "max_target_positions": text_ctx,
            "encoder_layers": audio_layers, "encoder_attention_heads": audio_heads,
            "decoder_layers": text_layers, "decoder_attention_heads": text_heads,
        });
        let tokens: serde_json::Map<_, _> = self
            .tokens()
            .into_iter()
            .take(50_258)
            .enumerate()
            .map(|(id, token)| (token, id.into()))
            .collect();
        let mut header = serde_json::Map::new();
        let mut at = 0;
        for Tensor { name, shape, dtype, bytes } in &self.tensors {
            let end = at + bytes.len();
            let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [at, end] });
            header.insert(format!("model.{}", hugging_face(name)), entry);
            at = end;
        }
        let header = serde_json::Value::Object(header).to_string();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        for tensor in &self.tensors {
            file.extend(&tensor.bytes);
        }
        fs::create_dir_all(folder).expect("a folder");
        let write = |name: &str, content: &[u8]| fs::write(folder.join(name), content).expect("room");
        write("config.json", config.to_string().as_bytes());
        write("vocab.json", serde_json::Value::Object(tokens).to_string().as_bytes());
        write("model.safetensors", &file);
    }

    /// Writes `model.bin` and `vocabulary.txt`, with everything in half precision where it fits
    /// without loss.
    ///
    /// # Panics
    ///
    /// When the folder cannot be written.
    pub fn write_ctranslate2(&self, folder: &Path) {
        let mut variables: Vec<(String, Vec<u32>, u8, Vec<u8>)> = Vec::new();
        for (name, heads) in [("encoder/num_heads", self.fields[3]), ("decoder/num_heads", self.fields[7])] {
            variables.push((name.to_owned(), Vec::new(), 2, (heads as i16).to_le_bytes().to_vec()));
        }
        for tensor in &self.tensors {
            let (name, joins) = ctranslate2(&tensor.name);
            // Joined parts follow each other: queries, keys, values; a key's bias is zero.
            let mut add =
                |shape: &[u32], kind: u8, bytes: &[u8]| match variables.iter_mut().find(|v| v.0 == name) {
                    Some(variable) if joins => {
                        variable.1[0] += shape[0];
                        variable.3.extend(bytes);
                    }
                    _ => variables.push((name.clone(), shape.to_vec(), kind, bytes.to_vec())),
                };
            let kind = if tensor.dtype == "F32" { 0 } else { 4 };
            if tensor.name.ends_with(".value.bias") {
                add(&tensor.shape, kind, &vec![0; tensor.bytes.len()]);
            }
            add(&tensor.shape, kind, &tensor.bytes);
        }
        let mut file = 6u32.to_le_bytes().to_vec();
        string(&mut file, "WhisperSpec");
        file.extend(3u32.to_le_bytes());
        file.extend((variables.len() as u32).to_le_bytes());
        for (name, shape, kind, bytes) in &variables {
            string(&mut file, name);
            file.push(shape.len() as u8);
            file.extend(shape.iter().flat_map(|dim| dim.to_le_bytes()));
            file.push(*kind);
            file.extend((bytes.len() as u32).to_le_bytes());
            file.extend(bytes);
        }
        file.extend(0u32.to_le_bytes());
        fs::create_dir_all(folder).expect("a folder");
        fs::write(folder.join("model.bin"), file).expect("room");
        fs::write(folder.join("vocabulary.txt"), self.tokens().join("\n") + "\n").expect("room");
    }
}

fn string(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u16 + 1).to_le_bytes());
    file.extend(text.as_bytes());
    file.push(0);
}

/// GPT-2's `bytes_to_unicode`.
fn characters() -> HashMap<u8, char> {
    let mut others = '\u{100}'..;
    let character = |byte: u8| match byte {
        0x21..=0x7e | 0xa1..=0xac | 0xae.. => char::from(byte),
        _ => others.next().expect("there are enough characters"),
    };
    (0..=u8::MAX).zip((0..=u8::MAX).map(character)).collect()
}

/// Replaces parts of names, one after the other.
fn renamed(name: &str, parts: &[(&str, &str)]) -> String {
    parts.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

fn hugging_face(name: &str) -> String {
    renamed(
        name,
        &[
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
        ],
    )
}

/// The name, and whether several tensors are joined under it.
fn ctranslate2(name: &str) -> (String, bool) {
    let joins = name.contains(".attn.query.") || [".key.", ".value."].iter().any(|part| name.contains(part));
    let norms = |name: &str| name.contains("ln.") || name.contains("ln_post.");
    let kinds = if norms(name) { ("gamma", "beta") } else { ("weight", "bias") };
    let name = renamed(
        name,
        &[
            (".blocks.", "/layer_"),
            (".cross_attn_ln.", "/attention/layer_norm/"),
            (".attn_ln.", "/self_attention/layer_norm/"),
            (".mlp_ln.", "/ffn/layer_norm/"),
            (".cross_attn.query.", "/attention/linear_0/"),
            (".cross_attn.key.", "/attention/linear_1/"),
            (".cross_attn.value.", "/attention/linear_1/"),
            (".cross_attn.out.", "/attention/linear_2/"),
            (".attn.query.", "/self_attention/linear_0/"),
            (".attn.key.", "/self_attention/linear_0/"),
            (".attn.value.", "/self_attention/linear_0/"),
            (".attn.out.", "/self_attention/linear_1/"),
            (".mlp.0.", "/ffn/linear_0/"),
            (".mlp.2.", "/ffn/linear_1/"),
            (".ln_post.", "/layer_norm/"),
            (".ln.", "/layer_norm/"),
            (".positional_embedding", "/position_encodings/encodings"),
            (".token_embedding.", "/embeddings/"),
            (".conv", "/conv"),
            ("conv1.", "conv1/"),
            ("conv2.", "conv2/"),
            ("/weight", "/@weight"),
            ("/bias", "/@bias"),
        ],
    );
    (name.replace("@weight", kinds.0).replace("@bias", kinds.1), joins)
}
