//! Every reader: accepted and rejected input.

use std::path::Path;
use std::sync::Arc;

use super::fixtures::{Kind, Named, SMALLEST, Shape, binary, safetensors, with_header};
use super::input::Input;
use super::plan::{Make, Plan};
use super::tensor::Element;
use super::vocabulary::Wanted;
use super::weights::Weights;
use super::write::Output;
use super::{ctranslate2, hugging_face};
use crate::model::{self, Checked};
use crate::store::StoreError;

const ELEMENTS: [Element; 3] = [Element::F32, Element::F16, Element::Bf16];

/// Entries that the checker takes: one of them is a space.
fn vocabulary(_: Wanted) -> Result<Vec<Vec<u8>>, StoreError> {
    Ok(vec![b" ".to_vec(), b"word".to_vec()])
}

/// The ggml file that weights become.
fn written(weights: Result<Weights, StoreError>) -> Result<Vec<u8>, String> {
    let plan = weights.and_then(|weights| Make::new(weights, None, vocabulary)).map(Plan::Make);
    let plan = plan.map_err(|error| error.to_string())?;
    let mut file = Vec::new();
    let mut take = |bytes: &[u8]| {
        file.extend_from_slice(bytes);
        Ok(())
    };
    Output { file: &mut take, quantizer: None }.write(&plan).map_err(|error| error.to_string())?;
    assert_eq!(plan.bytes(), file.len() as u64, "the length was known beforehand");
    Ok(file)
}

fn from_ctranslate2(file: &[u8]) -> Result<Vec<u8>, String> {
    written(ctranslate2::read(&Arc::new(Input::memory("model.bin", file))))
}

fn from_hugging_face(config: &serde_json::Value, files: &[&[u8]]) -> Result<Vec<u8>, String> {
    let config = Input::memory("config.json", config.to_string().as_bytes());
    let files: Vec<_> = files.iter().map(|file| Arc::new(Input::memory("model.safetensors", file))).collect();
    written(hugging_face::combine(Path::new("folder"), &config, &files))
}

fn checked(file: &[u8]) -> Checked {
    model::check(file, file.len() as u64).unwrap()
}

/// Asserts that it is rejected with one short line that has all of these in it.
#[track_caller]
fn refused(result: Result<Vec<u8>, String>, words: &[&str]) {
    let message = result.map(|file| file.len()).unwrap_err();
    assert!(message.lines().count() == 1 && message.len() < 500, "{message}");
    assert!(!message.contains(char::is_control), "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

fn find<'a>(tensors: &'a mut [Named], name: &str) -> &'a mut Named {
    tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
}

#[test]
fn every_format_and_type_gives_the_same_file() {
    let multilingual = Shape { n_vocab: 51_865, n_state: 4, heads: 2, ..SMALLEST };
    let distilled = Shape { encoder_layers: 3, decoder_layers: 2, ..multilingual };
    let large_v3 = Shape { n_vocab: 51_866, n_mels: 128, encoder_layers: 2, ..multilingual };
    for shape in [SMALLEST, multilingual, distilled, large_v3] {
        let (config, tensors) = shape.hugging_face(Element::F16);
        let file = from_hugging_face(&config, &[&safetensors(&tensors)]).unwrap();
        let dims = *checked(&file).header.dims();
        assert_eq!((dims.n_vocab, dims.n_mels), (shape.n_vocab as u32, shape.n_mels as u32));
        assert_eq!(dims.n_audio_layer, shape.encoder_layers as u32);
        assert_eq!(dims.n_text_layer, shape.decoder_layers as u32);
        assert_eq!(dims.n_audio_head, shape.heads as u32);
        for element in ELEMENTS {
            let (config, tensors) = shape.hugging_face(element);
            assert!(from_hugging_face(&config, &[&safetensors(&tensors)]).unwrap() == file, "{element:?}");
            let bin = binary(&shape.ctranslate2(element));
            assert!(from_ctranslate2(&bin).unwrap() == file, "{element:?}");
        }
    }
}

#[test]
fn shards_prefixes_and_tied_projections_change_nothing() {
    let (config, mut tensors) = SMALLEST.hugging_face(Element::F32);
    let file = from_hugging_face(&config, &[&safetensors(&tensors)]).unwrap();
    let (first, second) = tensors.split_at(tensors.len() / 3);
    assert!(from_hugging_face(&config, &[&safetensors(first), &safetensors(second)]).unwrap() == file);

    let mut projection = find(&mut tensors, "model.decoder.embed_tokens.weight").clone();
    projection.name = "proj_out.weight".to_owned();
    tensors.push(projection);
    let mut bias = find(&mut tensors, "model.encoder.layers.0.self_attn.q_proj.bias").clone();
    bias.name = "model.encoder.layers.0.self_attn.k_proj.bias".to_owned();
    bias.bytes.fill(0);
    tensors.push(bias);
    for tensor in &mut tensors {
        tensor.name = tensor.name.replace("model.", "");
    }
    assert!(from_hugging_face(&config, &[&safetensors(&tensors)]).unwrap() == file);

    find(&mut tensors, "encoder.layers.0.self_attn.k_proj.bias").bytes[3] = 0x3f;
    refused(from_hugging_face(&config, &[&safetensors(&tensors)]), &["k_proj.bias", "is not zero"]);
    find(&mut tensors, "encoder.layers.0.self_attn.k_proj.bias").bytes[3] = 0;
    find(&mut tensors, "proj_out.weight").bytes[0] ^= 1;
    refused(from_hugging_face(&config, &[&safetensors(&tensors)]), &["proj_out.weight", "ties"]);
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let (config, tensors) = SMALLEST.hugging_face(Element::F16);
    let file = safetensors(&tensors);
    let bin = binary(&SMALLEST.ctranslate2(Element::F16));
    for cut in (0..file.len()).step_by(4096).chain([1, 7, 8, 9, file.len() - 1]) {
        refused(from_hugging_face(&config, &[&file[..cut]]), &["model.safetensors"]);
    }
    for cut in (0..bin.len()).step_by(4096).chain(1..200).chain([bin.len() - 1]) {
        refused(from_ctranslate2(&bin[..cut]), &["model.bin"]);
    }
    refused(from_ctranslate2(&[&bin[..], b"more"].concat()), &["model.bin", "the file goes on"]);
    refused(from_hugging_face(&config, &[&[&file[..], b"more"].concat()]), &["model.safetensors", "goes on"]);
}

#[test]
fn a_safetensors_header_that_lies_is_refused() {
    let (config, tensors) = SMALLEST.hugging_face(Element::F16);
    for len in [1 << 63, u64::MAX, 100 << 20, 200 << 30] {
        let mut file = safetensors(&tensors);
        file[..8].copy_from_slice(&u64::to_le_bytes(len));
        refused(from_hugging_face(&config, &[&file]), &["model.safetensors: the header", &len.to_string()]);
    }
    let entry = |name: &str, from: u64, to: u64| {
        format!(r#""model.{name}":{{"dtype":"F16","shape":[2],"data_offsets":[{from},{to}]}}"#)
    };
    for (what, header) in [
        ("overlapping", format!("{{{},{}}}", entry("a", 0, 4), entry("b", 2, 6))),
        ("a gap", format!("{{{},{}}}", entry("a", 0, 4), entry("b", 6, 10))),
        ("backwards", format!("{{{}}}", entry("a", 4, 0))),
        ("out of range", format!("{{{}}}", entry("a", 0, 200 << 30))),
        ("beyond what there is", format!("{{{}}}", entry("a", u64::MAX - 1, u64::MAX))),
        ("no object", "[]".to_owned()),
        ("escapes", "{\"\\u001b[2J\n".to_owned()),
    ] {
        let result = from_hugging_face(&config, &[&with_header(&header, &[])]);
        assert!(result.is_err(), "{what}");
        refused(result, &["model.safetensors"]);
    }
    // A consistent file that claims 200 GB.
    let header = r#"{"model.encoder.conv1.weight":{"dtype":"F32","shape":[50000000000],"data_offsets":[0,200000000000]}}"#;
    refused(from_hugging_face(&config, &[&with_header(header, &[])]), &["is cut off", "200000000"]);
}

#[test]
fn tensors_that_are_missing_foreign_or_of_another_shape_are_named() {
    let (config, tensors) = SMALLEST.hugging_face(Element::F16);
    let variables = SMALLEST.ctranslate2(Element::F16);
    let mut without = tensors.clone();
    without.retain(|tensor| tensor.name != "model.encoder.layers.0.fc1.weight");
    let words = ["model.safetensors lacks 1 tensors", "encoder.blocks.0.mlp.0.weight"];
    refused(from_hugging_face(&config, &[&safetensors(&without)]), &words);
    let mut without = variables.clone();
    without.retain(|variable| !variable.name.starts_with("decoder/layer_0/attention/linear_1/"));
    let words = ["model.bin lacks 3 tensors", "decoder.blocks.0.cross_attn.key.weight"];
    refused(from_ctranslate2(&binary(&without)), &words);
    refused(from_ctranslate2(&binary(&[])), &["model.bin"]);

    let mut wrong = tensors.clone();
    find(&mut wrong, "model.encoder.layers.0.fc1.weight").shape = vec![2, 2];
    refused(from_hugging_face(&config, &[&safetensors(&wrong)]), &["layers.0.fc1.weight", "shape [2, 2]"]);
    let mut wrong = variables.clone();
    find(&mut wrong, "encoder/conv1/weight").shape = vec![1, 3, 80];
    refused(from_ctranslate2(&binary(&wrong)), &["n_mels is 3"]);
    find(&mut wrong, "encoder/conv1/weight").shape = vec![1, 80];
    refused(from_ctranslate2(&binary(&wrong)), &["encoder/conv1/weight", "its shape"]);

    let mut more = tensors.clone();
    more.push(Named { name: "model.encoder.\u{1b}[31mextra.weight".to_owned(), ..tensors[0].clone() });
    refused(from_hugging_face(&config, &[&safetensors(&more)]), &["extra", "none of Whisper's"]);
    let mut more = variables.clone();
    more.push(Named { name: "encoder/layer_0/extra".to_owned(), ..variables[5].clone() });
    refused(from_ctranslate2(&binary(&more)), &["encoder/layer_0/extra", "none of Whisper's"]);
    let mut twice = variables.clone();
    twice.push(variables[5].clone());
    refused(from_ctranslate2(&binary(&twice)), &["comes twice"]);
    let mut twice = tensors.clone();
    twice.push(Named { name: tensors[0].name.replace("model.", ""), ..tensors[0].clone() });
    refused(from_hugging_face(&config, &[&safetensors(&twice)]), &["comes twice"]);
}

#[test]
fn weights_that_are_no_numbers_or_too_large_are_named() {
    for (bits, words) in [
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
        (f32::NEG_INFINITY, "-inf"),
        (65_520.0, "half precision ends at 65504"),
    ] {
        let (config, mut tensors) = SMALLEST.hugging_face(Element::F32);
        let name = "model.decoder.layers.0.encoder_attn.v_proj.weight";
        find(&mut tensors, name).bytes[..4].copy_from_slice(&bits.to_le_bytes());
        refused(from_hugging_face(&config, &[&safetensors(&tensors)]), &["model.safetensors", name, words]);
        let mut variables = SMALLEST.ctranslate2(Element::F32);
        let name = "encoder/layer_0/ffn/linear_0/weight";
        find(&mut variables, name).bytes[..4].copy_from_slice(&bits.to_le_bytes());
        refused(from_ctranslate2(&binary(&variables)), &["model.bin", name, words]);
    }
    // What is kept in single precision may be large.
    let (config, mut tensors) = SMALLEST.hugging_face(Element::F32);
    find(&mut tensors, "model.encoder.layer_norm.bias").bytes[..4].copy_from_slice(&1e6f32.to_le_bytes());
    assert!(from_hugging_face(&config, &[&safetensors(&tensors)]).is_ok());
}

#[test]
fn integers_and_other_models_are_refused_with_a_remedy() {
    for (kind, name) in [(Kind::I8, "int8"), (Kind::I16, "int16")] {
        let mut variables = SMALLEST.ctranslate2(Element::F16);
        find(&mut variables, "decoder/layer_0/ffn/linear_0/weight").kind = kind;
        refused(from_ctranslate2(&binary(&variables)), &[name, "--quantization float16", "--quantize q8_0"]);
    }
    let (config, mut tensors) = SMALLEST.hugging_face(Element::F16);
    find(&mut tensors, "model.encoder.conv1.bias").kind = Kind::I16;
    refused(from_hugging_face(&config, &[&safetensors(&tensors)]), &["I16", "--quantize"]);

    let bin = binary(&SMALLEST.ctranslate2(Element::F16));
    for version in [0, 1, 3, 7, u32::MAX] {
        let mut other = bin.clone();
        other[..4].copy_from_slice(&version.to_le_bytes());
        refused(from_ctranslate2(&other), &["version", "ct2-transformers-converter"]);
    }
    let mut other = bin;
    other[6..17].copy_from_slice(b"WhispySpec!");
    refused(from_ctranslate2(&other), &["another kind"]);
    let mut variables = SMALLEST.ctranslate2(Element::F16);
    find(&mut variables, "decoder/pre_norm").bytes = vec![0, 0];
    refused(from_ctranslate2(&binary(&variables)), &["decoder/pre_norm is 0"]);
    variables.retain(|variable| variable.name != "encoder/num_heads");
    find(&mut variables, "decoder/pre_norm").bytes = vec![1, 0];
    refused(from_ctranslate2(&binary(&variables)), &["encoder/num_heads is missing"]);
}

#[test]
fn a_configuration_that_is_not_the_weights_is_refused() {
    let (config, tensors) = SMALLEST.hugging_face(Element::F16);
    let file = safetensors(&tensors);
    for (field, value, words) in [
        ("model_type", "wav2vec2".into(), "hearken runs Whisper"),
        ("activation_function", "relu".into(), "gelu"),
        ("scale_embedding", true.into(), "scale_embedding"),
        ("vocab_size", 51_865.into(), "vocab_size is 51865"),
        ("encoder_layers", 4.into(), "encoder_layers is 4"),
        ("num_mel_bins", 128.into(), "num_mel_bins is 128"),
        ("encoder_attention_heads", serde_json::Value::Null, "encoder_attention_heads is missing"),
        ("decoder_attention_heads", 3.into(), "n_text_state"),
        ("decoder_attention_heads", i64::MAX.into(), "number of heads"),
        ("d_model", "large".into(), "cannot be read"),
    ] {
        let mut other = config.clone();
        other[field] = value;
        refused(from_hugging_face(&other, &[&file]), &[words]);
    }
}

#[test]
fn an_index_names_files_of_its_folder_only() {
    let shards = |json: &str| hugging_face::shards(&Input::memory("index.json", json.as_bytes()));
    let names = shards(
        r#"{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#,
    );
    assert_eq!(names.unwrap().len(), 2);
    for name in ["../x", "/etc/passwd", "a/b", "", ".", "..", "a\\u0000b"] {
        let error = shards(&format!(r#"{{"weight_map":{{"a":"{name}"}}}}"#)).unwrap_err().to_string();
        assert!(error.contains("index.json: weight_map"), "{error}");
    }
    assert!(shards(r#"{"weight_map":{}}"#).is_err() && shards("{}").is_err());
}
