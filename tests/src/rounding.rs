//! Effect of rounding alone on whisper.cpp: the distance between two native builds.
//!
//! One is whisper-rs's default build, for this processor. The other one is for any processor of
//! this architecture, as a distribution would make it. Building it takes a minute of CPU time, so
//! distances are recorded, in `tests/recorded/rounding.jsonl`. It is built where one is not there,
//! as for samples of another version of espeak-ng. `HEARKEN_RECORD=rounding` measures them again,
//! and records those that are not there.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use hearken_native::whisper_rs::WHISPER_CPP_VERSION;
use hearken_native::{Native, floats};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::command;
use crate::recorded;

#[path = "../../host/build/nested.rs"]
mod nested;

/// Instructions that the oldest processors lack, so that vectors have another length, and sums
/// another order, than in the default build on any machine with AVX. Other architectures have
/// `GGML_NATIVE` alone.
const SETTINGS: [&str; 6] = ["GGML_NATIVE", "GGML_AVX", "GGML_AVX2", "GGML_FMA", "GGML_F16C", "GGML_BMI2"];

/// Maximum change of the margin between two logits, at any position, from one native build to the
/// other on the same samples and forced tokens.
///
/// # Panics
///
/// When whisper.cpp fails, or cannot be built.
pub fn of_margins(model: &[u8], samples: &[f32], language: &str, tokens: &[u32]) -> f32 {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded/rounding.jsonl");
    let key = key(model, samples, language, tokens);
    let measure = recorded::asked("rounding");
    if let Some(distance) = read(&file).get(&key).filter(|_| !measure) {
        return *distance;
    }
    let distance = distance(model, samples, language, tokens);
    println!("rounding moves a margin by {distance} (measured)");
    if measure && !read(&file).contains_key(&key) {
        // One write, so that tests of several processes can record at the same time.
        let line = format!("{}\n", json!({ "key": key, "distance": distance }));
        let mut file = fs::File::options().append(true).create(true).open(&file).expect("the records");
        file.write_all(line.as_bytes()).expect("the records");
    }
    distance
}

fn key(model: &[u8], samples: &[f32], language: &str, tokens: &[u32]) -> String {
    let mut digest = Sha256::new()
        .chain_update(WHISPER_CPP_VERSION)
        .chain_update(Sha256::digest(model))
        .chain_update(language);
    samples.iter().for_each(|sample| digest.update(sample.to_le_bytes()));
    tokens.iter().for_each(|token| digest.update(token.to_le_bytes()));
    recorded::name(digest).0
}

fn read(file: &Path) -> BTreeMap<String, f32> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let entry = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let distance = line["distance"].as_f64().expect("a number") as f32;
        (line["key"].as_str().expect("a key").to_owned(), distance)
    };
    text.lines().map(entry).collect()
}

fn distance(model: &[u8], samples: &[f32], language: &str, tokens: &[u32]) -> f32 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (model_file, sample_file) = (folder.path().join("model.bin"), folder.path().join("samples.f32"));
    fs::write(&model_file, model).expect("room for the model");
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    fs::write(&sample_file, bytes).expect("room for the samples");
    let output = Command::new(portable())
        .arg("score")
        .args([&model_file, &sample_file])
        .arg(language)
        .args(tokens.iter().map(u32::to_string))
        .output()
        .expect("the portable build runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let portable = floats(&output.stdout);
    let default = Native::load(model).state().score(samples, language, tokens);
    assert_eq!(portable.len(), default.iter().map(Vec::len).sum::<usize>(), "as many logits");
    let mut portable = &portable[..];
    let mut farthest = 0f32;
    for logits in default {
        let (here, rest) = portable.split_at(logits.len());
        portable = rest;
        let moved = here.iter().zip(&logits).map(|(one, other)| one - other);
        let (least, most) = moved.fold((0f32, 0f32), |(least, most), by| (least.min(by), most.max(by)));
        farthest = farthest.max(most - least);
    }
    farthest
}

/// Builds native whisper.cpp for any processor of this architecture.
fn portable() -> PathBuf {
    // target/release/hearken
    let target = command::binary().ancestors().nth(2).expect("a target folder").join("portable");
    let output = nested::cargo()
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--release", "--package=hearken-native", "--target-dir"])
        .arg(&target)
        .envs(SETTINGS.map(|name| (name, "OFF")))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "the portable build of whisper.cpp failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    target.join("release").join(format!("hearken-native{}", std::env::consts::EXE_SUFFIX))
}
