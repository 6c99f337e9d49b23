//! Effect of rounding alone on whisper.cpp.

use std::fs;
use std::process::Command;

use hearken_native::{Native, floats};

/// Maximum change of the margin between two logits, at any position, from one native build to
/// another on the same samples and forced tokens: whisper-rs's default one for this processor, and
/// one for any processor of this architecture (`build.rs`).
///
/// # Panics
///
/// When whisper.cpp fails.
pub fn of_margins(model: &[u8], samples: &[f32], language: &str, tokens: &[u32]) -> f32 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (model_file, sample_file) = (folder.path().join("model.bin"), folder.path().join("samples.f32"));
    fs::write(&model_file, model).expect("room for the model");
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    fs::write(&sample_file, bytes).expect("room for the samples");
    let output = Command::new(env!("HEARKEN_PORTABLE_NATIVE"))
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
