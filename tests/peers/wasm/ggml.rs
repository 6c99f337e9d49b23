// A ggml Whisper model (f32 or f16) and a recording, for engines that read neither.

use std::collections::HashMap;
use std::fs;

/// A tensor in single precision, with the outermost extent first.
pub struct Weights {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// A model file.
pub struct Model {
    /// Words, places of the encoder, width, heads, layers, places of a text, its width, heads and
    /// layers, bands, format.
    pub header: [usize; 11],
    /// Filters of the spectrogram, by band.
    pub filters: Vec<f32>,
    /// Bytes of each token that is text.
    pub tokens: Vec<Vec<u8>>,
    pub tensors: HashMap<String, Weights>,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(len);
        self.0 = rest;
        head
    }

    fn int(&mut self) -> usize {
        u32::from_le_bytes(self.take(4).try_into().unwrap()) as usize
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        self.take(4 * count)
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect()
    }

    fn halves(&mut self, count: usize) -> Vec<f32> {
        self.take(2 * count)
            .chunks_exact(2)
            .map(|bytes| half(u16::from_le_bytes(bytes.try_into().unwrap())))
            .collect()
    }
}

/// Widens half precision.
fn half(bits: u16) -> f32 {
    let (sign, exponent, mantissa) =
        (u32::from(bits >> 15) << 31, u32::from(bits >> 10 & 31), u32::from(bits & 1023));
    match (exponent, mantissa) {
        (0, _) => {
            let small = mantissa as f32 * 2f32.powi(-24);
            if sign == 0 { small } else { -small }
        }
        (31, _) => f32::from_bits(sign | 0x7f80_0000 | mantissa << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | mantissa << 13),
    }
}

impl Model {
    pub fn read(path: &str) -> Self {
        let bytes = fs::read(path).expect("the model can be read");
        let mut reader = Reader(&bytes);
        assert_eq!(reader.int(), 0x6767_6d6c, "a ggml model");
        let header: [usize; 11] = std::array::from_fn(|_| reader.int());
        let (bands, frequencies) = (reader.int(), reader.int());
        let filters = reader.floats(bands * frequencies);
        let words = reader.int();
        let tokens = (0..words)
            .map(|_| {
                let len = reader.int();
                reader.take(len).to_vec()
            })
            .collect();
        let mut tensors = HashMap::new();
        while !reader.0.is_empty() {
            let (dimensions, len, kind) = (reader.int(), reader.int(), reader.int());
            let mut shape: Vec<usize> = (0..dimensions).map(|_| reader.int()).collect();
            shape.reverse();
            let name = String::from_utf8(reader.take(len).to_vec()).expect("a name");
            let count = shape.iter().product();
            let values = match kind {
                0 => reader.floats(count),
                1 => reader.halves(count),
                _ => panic!("{name} is quantized: take a model of f16"),
            };
            if name.ends_with(".bias") {
                // Biases of convolutions are columns.
                shape = vec![count];
            }
            tensors.insert(name, Weights { shape, values });
        }
        Self { header, filters, tokens, tensors }
    }

    /// Tokens that a decode begins with: English, transcribed, without timestamps; and the one that
    /// ends it.
    pub fn task(&self) -> (Vec<u32>, u32) {
        // Multilingual vocabularies have a word more, and 99 languages or 100.
        let words = self.header[0] as u32;
        if words < 51_865 {
            return (vec![50_257, 50_362], 50_256);
        }
        let languages = words - 51_865 + 99;
        let (end, start) = (50_257, 50_258);
        let transcribe = start + languages + 2;
        (vec![start, start + 1, transcribe, transcribe + 4], end)
    }

    /// The text of tokens; special ones have none.
    pub fn text(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> =
            tokens.iter().filter_map(|token| self.tokens.get(*token as usize)).flatten().copied().collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

/// The spectrogram of 30 s, band by band, as OpenAI's Whisper computes it: plainly, since candle's
/// own starts threads, which WASI does not have. Once for all runs.
pub fn spectrogram(model: &Model, samples: &[f32]) -> Vec<f32> {
    const WINDOW: usize = 400;
    const HOP: usize = 160;
    const FRAMES: usize = 3000;
    let circle: Vec<(f32, f32)> = (0..WINDOW)
        .map(|n| (n as f64 * std::f64::consts::TAU / WINDOW as f64).sin_cos())
        .map(|(sine, cosine)| (sine as f32, cosine as f32))
        .collect();
    let frequencies = WINDOW / 2 + 1;
    let bands = model.filters.len() / frequencies;
    let sample = |at: isize| samples.get(at.unsigned_abs()).copied().unwrap_or(0.0);
    let mut mel = vec![0.0f32; bands * FRAMES];
    for frame in 0..FRAMES {
        let start = (frame * HOP) as isize - (WINDOW / 2) as isize;
        let windowed: Vec<f32> =
            (0..WINDOW).map(|n| sample(start + n as isize) * 0.5 * (1.0 - circle[n].1)).collect();
        if windowed.iter().all(|sample| *sample == 0.0) {
            continue;
        }
        let power: Vec<f32> = (0..frequencies)
            .map(|frequency| {
                let (mut real, mut imaginary) = (0.0, 0.0);
                for (n, sample) in windowed.iter().enumerate() {
                    let (sine, cosine) = circle[n * frequency % WINDOW];
                    real += sample * cosine;
                    imaginary += sample * sine;
                }
                real * real + imaginary * imaginary
            })
            .collect();
        for (band, filter) in model.filters.chunks_exact(frequencies).enumerate() {
            mel[band * FRAMES + frame] =
                filter.iter().zip(&power).map(|(filter, power)| filter * power).sum();
        }
    }
    mel.iter_mut().for_each(|value| *value = value.max(1e-10).log10());
    let top = mel.iter().copied().fold(f32::MIN, f32::max);
    mel.iter_mut().for_each(|value| *value = (value.max(top - 8.0) + 4.0) / 4.0);
    mel
}

/// Samples of a WAV of one channel, 16 kHz and 16 bits.
pub fn samples(path: &str) -> Vec<f32> {
    let bytes = fs::read(path).expect("the recording can be read");
    let data = bytes.windows(4).position(|name| name == b"data").expect("data") + 8;
    bytes[data..]
        .chunks_exact(2)
        .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
        .collect()
}

/// Prints what was measured, as a line of JSON.
pub fn report(load: f64, runs: &[[f64; 3]], text: &str) {
    let best = runs.iter().min_by(|one, other| one[2].total_cmp(&other[2])).expect("a run");
    let [encoder, token, total] = best.map(|seconds| (seconds * 1e4).round() / 1e4);
    println!(
        r#"{{"load": {load:.3}, "encoder": {encoder}, "token": {token}, "total": {total}, "text": {text:?}}}"#
    );
}
