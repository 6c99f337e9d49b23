//! Encodes a recording with rten: `bench-rten ENCODER.onnx MODEL.bin RECORDING.wav TIMES`. The
//! encoder has the weights of the ggml model: see onnx_encoder.py.

#[path = "../../ggml.rs"]
#[allow(dead_code, reason = "there is no decoder here")]
mod ggml;

use std::time::Instant;

use rten::Model;
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let begun = Instant::now();
    let model = Model::load_file(&arguments[1])?;
    let file = ggml::Model::read(&arguments[2]);
    let load = begun.elapsed().as_secs_f64();
    let mel = ggml::spectrogram(&file, &ggml::samples(&arguments[3]));
    let bands = file.header[9];
    let mel = NdTensor::from_data([1, bands, mel.len() / bands], mel);
    let (mut runs, mut text) = (Vec::new(), String::new());
    for _ in 0..arguments[4].parse()? {
        let begun = Instant::now();
        let heard: NdTensor<f32, 3> = model.run_one(mel.view().into(), None)?.try_into()?;
        let encoder = begun.elapsed().as_secs_f64();
        runs.push([encoder, 0.0, encoder]);
        // What tells one encoder from another: a few of its numbers.
        let some: Vec<String> =
            [0, 100, 500].iter().map(|place| format!("{:.3}", heard[[0, *place, 7]])).collect();
        text = format!("encoder alone: {}", some.join(" "));
    }
    ggml::report(load, &runs, &text);
    Ok(())
}
