//! Builds native whisper.cpp a second time, for any processor of this architecture, as a
//! distribution would: how far two native builds are apart is what "the same as native" is measured
//! with.

#[path = "../host/build/nested.rs"]
mod nested;

use std::env;
use std::path::{Path, PathBuf};

/// No instruction that the oldest processors lack, so other vector lengths and another order of
/// sums than the default build has on any machine with AVX. Other architectures have `GGML_NATIVE`
/// alone.
const SETTINGS: [&str; 6] = ["GGML_NATIVE", "GGML_AVX", "GGML_AVX2", "GGML_FMA", "GGML_F16C", "GGML_BMI2"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=native");
    println!("cargo::rerun-if-changed=../host/build/nested.rs");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    match build() {
        Ok(command) => println!("cargo::rustc-env=HEARKEN_PORTABLE_NATIVE={}", command.display()),
        Err(message) => message.lines().for_each(|line| println!("cargo::error={line}")),
    }
}

fn build() -> Result<PathBuf, String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    // The guest's folder: what builds whisper.cpp's bindings is there already.
    let target = nested::target_directory(&out)?.join("guest");
    let output = nested::cargo()
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["build", "--release", "--package=hearken-native", "--target-dir"])
        .arg(&target)
        .envs(SETTINGS.map(|name| (name, "OFF")))
        .output()
        .map_err(|error| format!("cannot run cargo for the portable build: {error}"))?;
    if output.status.success() {
        Ok(target.join("release").join(format!("hearken-native{}", env::consts::EXE_SUFFIX)))
    } else {
        Err(format!("the portable build of whisper.cpp failed:\n{}", String::from_utf8_lossy(&output.stderr)))
    }
}
