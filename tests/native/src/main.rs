//! Native whisper.cpp as a program, so that builds of it can be compared with each other and with
//! hearken.
//!
//! `hearken-native score MODEL SAMPLES LANGUAGE [TOKEN…]` forces tokens and prints the logits at
//! each position. `hearken-native time MODEL SAMPLES [--flash]` prints `ready`, then for each line
//! with a number of tokens that it reads encodes once, decodes that number of tokens, and answers
//! the nanoseconds that the encoder and all the tokens took.
//!
//! `SAMPLES`, and logits, are raw little-endian `f32`; samples at 16 kHz. Everything on one thread,
//! or as many as `HEARKEN_NATIVE_THREADS` says.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::{env, fs};

use hearken_native::{Native, floats};

const USAGE: &str = "usage: hearken-native score MODEL SAMPLES LANGUAGE [TOKEN…] | hearken-native time MODEL SAMPLES [--flash]";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["score", model, samples, language, ref tokens @ ..] => score(model, samples, language, tokens),
        ["time", model, samples] => time(model, samples, false),
        ["time", model, samples, "--flash"] => time(model, samples, true),
        _ => Err(io::Error::other(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hearken-native: {error}");
            ExitCode::FAILURE
        }
    }
}

fn score(model: &str, samples: &str, language: &str, tokens: &[&str]) -> io::Result<()> {
    let tokens = tokens.iter().map(|token| token.parse().map_err(io::Error::other));
    let tokens = tokens.collect::<io::Result<Vec<u32>>>()?;
    let logits =
        Native::load(&fs::read(model)?).state().score(&floats(&fs::read(samples)?), language, &tokens);
    let bytes: Vec<u8> = logits.iter().flatten().flat_map(|logit| logit.to_le_bytes()).collect();
    io::stdout().lock().write_all(&bytes)
}

fn time(model: &str, samples: &str, flash: bool) -> io::Result<()> {
    let threads = env::var("HEARKEN_NATIVE_THREADS").map_or(Ok(1), |threads| threads.parse());
    let native = Native::load_with(&fs::read(model)?, flash);
    let mut state = native.state();
    state.set_threads(threads.map_err(io::Error::other)?);
    let samples = floats(&fs::read(samples)?);
    println!("ready");
    for line in io::stdin().lock().lines() {
        let count = line?.trim().parse().map_err(io::Error::other)?;
        let (encoder, tokens) = state.time(&samples, count);
        println!("{} {}", encoder.as_nanos(), tokens.as_nanos());
    }
    Ok(())
}
