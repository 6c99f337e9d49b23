//! Forces tokens on native whisper.cpp and prints its logits, for comparing builds of it with each other.
//!
//! `hearken-native MODEL SAMPLES LANGUAGE [TOKEN…]`: `SAMPLES` is raw little-endian `f32` at 16 kHz; so is the answer, the
//! logits at each position.

use std::io::{self, Write};
use std::process::ExitCode;
use std::{env, fs};

use hearken_native::Native;

fn main() -> ExitCode {
    match run(env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hearken-native: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> io::Result<()> {
    let [model, samples, language, tokens @ ..] = &arguments[..] else {
        return Err(io::Error::other("usage: hearken-native MODEL SAMPLES LANGUAGE [TOKEN…]"));
    };
    let tokens = tokens.iter().map(|token| token.parse().map_err(io::Error::other));
    let tokens = tokens.collect::<io::Result<Vec<u32>>>()?;
    let samples: Vec<f32> = hearken_native::floats(&fs::read(samples)?);
    let native = Native::load(&fs::read(model)?);
    let logits = native.state().score(&samples, language, &tokens);
    let bytes: Vec<u8> = logits.iter().flatten().flat_map(|logit| logit.to_le_bytes()).collect();
    io::stdout().lock().write_all(&bytes)
}
