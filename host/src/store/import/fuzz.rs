//! Hostile model files, for fuzzers: every reader gets them, an accepted file is a model that
//! hearken's checker accepts, and a rejection is one short line.

use std::path::Path;
use std::sync::Arc;

use super::fixtures::{SMALLEST, Shape, binary, safetensors};
use super::input::Input;
use super::plan::{Make, Plan};
use super::tensor::Element;
use super::vocabulary::{self, Wanted};
use super::weights::Weights;
use super::write::Output;
use super::{ctranslate2, hugging_face};
use crate::model;
use crate::store::StoreError;

/// Names under which a vocabulary is tried.
const NAMES: [&str; 4] = ["vocab.json", "vocabulary.json", "vocabulary.txt", "multilingual.tiktoken"];

/// A `model.bin` of CTranslate2.
pub fn ctranslate2(bytes: &[u8]) {
    judge(ctranslate2::read(&Arc::new(Input::memory("model.bin", bytes))).and_then(write));
}

/// A `config.json` that ends with a zero byte, and after it a `model.safetensors`, as which the
/// first is tried, too.
pub fn hugging_face(bytes: &[u8]) {
    let (config, file) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, bytes),
    };
    let _ = hugging_face::shards(&Input::memory("index.json", config)).map_err(fit_to_be_shown);
    let config = Input::memory("config.json", config);
    let file = Arc::new(Input::memory("model.safetensors", file));
    judge(hugging_face::combine(Path::new("folder"), &config, &[file]).and_then(write));
}

/// A vocabulary in each of its forms.
pub fn vocabulary(bytes: &[u8]) {
    for name in NAMES {
        for n_vocab in [51_864, 51_865] {
            match vocabulary::read(&Input::memory(name, bytes), Wanted::new(n_vocab)) {
                Ok(entries) => assert_eq!(entries.len(), 50_257),
                Err(error) => fit_to_be_shown(error),
            }
        }
    }
}

/// Small files that are in order, for each of the functions above.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let other = Shape { n_vocab: 51_865, encoder_layers: 2, ..SMALLEST };
    let shapes = [(SMALLEST, Element::F16), (other, Element::Bf16), (other, Element::F32)];
    let token = |id: usize| if id == 50_256 { "<|endoftext|>".to_owned() } else { format!("Ġ{id}") };
    match target {
        "ctranslate2" => shapes.map(|(shape, element)| binary(&shape.ctranslate2(element))).into(),
        "hugging_face" => shapes
            .map(|(shape, element)| {
                let (config, tensors) = shape.hugging_face(element);
                [config.to_string().as_bytes(), &[0], &safetensors(&tensors)].concat()
            })
            .into(),
        _ => vec![
            b"IQ== 0\nIg== 1\nIw== 2\n= 3\n".to_vec(),
            br#"{"model":{"vocab":{"!":0,"\u0120a":1}},"added_tokens":[{"id":2,"content":"<|endoftext|>"}]}"#
                .to_vec(),
            br#"{"!":0,"\u0120a":1,"model":2}"#.to_vec(),
            br#"["!","\u0120a","<|endoftext|>"]"#.to_vec(),
            (0..51_864).map(|id| token(id) + "\n").collect::<String>().into_bytes(),
        ],
    }
}

/// The file that weights become.
fn write(weights: Weights) -> Result<Vec<u8>, StoreError> {
    let plan = Plan::Make(Make::new(weights, None, |_| Ok(vec![b" ".to_vec()]))?);
    // What a plan takes is in the file, and files here are small.
    assert!(plan.bytes() < 64 << 20);
    let mut file = Vec::new();
    let mut take = |bytes: &[u8]| {
        file.extend_from_slice(bytes);
        Ok(())
    };
    Output { file: &mut take, quantizer: None }.write(&plan)?;
    assert_eq!(plan.bytes(), file.len() as u64);
    Ok(file)
}

fn judge(result: Result<Vec<u8>, StoreError>) {
    match result {
        Ok(file) => drop(model::check(&file[..], file.len() as u64).expect("what was written is a model")),
        Err(error) => fit_to_be_shown(error),
    }
}

fn fit_to_be_shown(error: StoreError) {
    let message = error.to_string();
    assert!(message.len() < 1000 && !message.contains(char::is_control), "{message:?}");
}
