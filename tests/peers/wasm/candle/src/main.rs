//! Transcribes a recording with candle: `bench-candle MODEL.bin RECORDING.wav TIMES`. The model is
//! a ggml file, whose weights become tensors in single precision, as in candle's own example.

#[path = "../../ggml.rs"]
mod ggml;

use std::collections::HashMap;
use std::time::Instant;

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::whisper::model::Whisper;
use candle_transformers::models::whisper::{Config, N_FRAMES};

/// Hugging Face's name for a tensor.
fn renamed(name: &str) -> String {
    let mut name = format!("model.{name}");
    for (before, after) in [
        ("encoder.positional_embedding", "encoder.embed_positions.weight"),
        ("decoder.positional_embedding", "decoder.embed_positions.weight"),
        ("decoder.token_embedding.", "decoder.embed_tokens."),
        ("encoder.ln_post.", "encoder.layer_norm."),
        ("decoder.ln.", "decoder.layer_norm."),
        (".blocks.", ".layers."),
        (".cross_attn_ln.", ".encoder_attn_layer_norm."),
        (".attn_ln.", ".self_attn_layer_norm."),
        (".mlp_ln.", ".final_layer_norm."),
        (".cross_attn.", ".encoder_attn."),
        (".attn.", ".self_attn."),
        (".query.", ".q_proj."),
        (".key.", ".k_proj."),
        (".value.", ".v_proj."),
        ("attn.out.", "attn.out_proj."),
        (".mlp.0.", ".fc1."),
        (".mlp.2.", ".fc2."),
    ] {
        name = name.replace(before, after);
    }
    name
}

fn main() -> candle_core::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let begun = Instant::now();
    let mut file = ggml::Model::read(&arguments[1]);
    let samples = ggml::samples(&arguments[2]);
    let device = Device::Cpu;
    let [vocab_size, audio_ctx, d_model, encoder_heads, encoder_layers, text_ctx, _, heads, layers, bands, _] =
        file.header;
    let config = Config {
        num_mel_bins: bands,
        max_source_positions: audio_ctx,
        d_model,
        encoder_attention_heads: encoder_heads,
        encoder_layers,
        vocab_size,
        max_target_positions: text_ctx,
        decoder_attention_heads: heads,
        decoder_layers: layers,
        suppress_tokens: Vec::new(),
    };
    let mut tensors = HashMap::new();
    for (name, weights) in file.tensors.drain() {
        tensors.insert(renamed(&name), Tensor::from_vec(weights.values, weights.shape, &device)?);
    }
    let mut model = Whisper::load(&VarBuilder::from_tensors(tensors, DType::F32, &device), config.clone())?;
    let load = begun.elapsed().as_secs_f64();
    let mel = ggml::spectrogram(&file, &samples);
    let (mut runs, mut text) = (Vec::new(), String::new());
    for _ in 0..arguments[3].parse().expect("a number") {
        let mel = Tensor::from_vec(mel.clone(), (1, bands, N_FRAMES), &device)?;
        let begun = Instant::now();
        let heard = model.encoder.forward(&mel, true)?;
        let encoder = begun.elapsed().as_secs_f64();
        let (mut tokens, end) = file.task();
        let prompt = tokens.len();
        let decoding = Instant::now();
        while tokens.len() < text_ctx / 2 {
            let input = Tensor::new(tokens.as_slice(), &device)?.unsqueeze(0)?;
            let states = model.decoder.forward(&input, &heard, tokens.len() == prompt)?;
            let last = states.dim(1)? - 1;
            let scores = model.decoder.final_linear(&states.i((..1, last..))?)?.i(0)?.i(0)?;
            // Special tokens are suppressed, as in whisper.cpp.
            let scores = scores.to_vec1::<f32>()?;
            let next =
                scores[..=end as usize].iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1));
            let next = next.expect("a vocabulary").0 as u32;
            if next == end {
                break;
            }
            tokens.push(next);
        }
        let made = tokens.len() - prompt + 1;
        let token = decoding.elapsed().as_secs_f64() / made as f64;
        runs.push([encoder, token, begun.elapsed().as_secs_f64()]);
        text = file.text(&tokens[prompt..]);
    }
    ggml::report(load, &runs, &text);
    Ok(())
}
