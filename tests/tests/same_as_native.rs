//! What the sandbox hears is what whisper.cpp hears outside it.

use hearken::{Engine, Model, ModelSource, TranscribeOptions};
use hearken_tests::model::{SyntheticModel, Vocabulary, Weights};
use hearken_tests::native::{self, Native};
use hearken_tests::speech::{self, Recording};

fn load(engine: &Engine, model: &[u8]) -> Model {
    engine.load(&ModelSource::Bytes(model.into())).expect("hearken loads it")
}

#[derive(Debug, Default)]
struct Tally {
    compared: usize,
    fell_back: usize,
    tokens: usize,
}

fn compare(recordings: &[Recording]) -> Tally {
    let bytes = hearken::model::embedded().expect("the embedded model");
    let engine = Engine::builder().no_cache().build().expect("an engine");
    let model = load(&engine, &bytes);
    let native = Native::load(&bytes, false);
    let options = TranscribeOptions { language: Some("en".to_owned()), ..TranscribeOptions::new() };
    let mut tally = Tally::default();
    for recording in recordings {
        let t0 = std::time::Instant::now();
        let mut expected = Vec::new();
        let mut fell_back = false;
        for chunk in recording.chunks(model.context_samples()) {
            let heard = native.state().hear(&chunk.samples);
            fell_back |= heard.fell_back;
            expected.extend(heard.segments.into_iter().filter(|segment| {
                !segment.text.is_empty() && !(heard.no_speech > 0.6 && segment.avg_logprob < -1.0)
            }));
        }
        let t1 = std::time::Instant::now();
        let transcript = model.transcribe(&mut recording.source(), &options, |_| {}).expect("a transcript");
        println!("{:?} {:?}", t1 - t0, t1.elapsed());
        let text: Vec<&str> = expected.iter().map(|segment| &*segment.text).collect();
        let tokens: Vec<u32> = expected.iter().flat_map(|segment| segment.tokens.clone()).collect();
        let found: Vec<u32> = transcript.segments.iter().flat_map(|segment| segment.tokens.clone()).collect();
        println!("{} {fell_back} {} {:?} | {:?}", tokens == found, recording.name, text, transcript.text());
        tally.compared += 1;
        tally.tokens += tokens.len();
    }
    tally
}

#[test]
fn synthesised_speech_reads_the_same() {
    let mut recordings = Vec::new();
    for voice in ["en-gb", "en-us", "en-gb-scotland", "en-us+f3"] {
        for speed in [120, 160] {
            recordings.push(speech::espeak(voice, speed, "three one four one five nine two"));
            recordings.push(speech::espeak(voice, speed, "zero eight. six, seven"));
        }
    }
    println!("{:?}", compare(&recordings));
}

#[test]
fn spoken_digits_read_the_same() {
    let Some(folder) = speech::recordings() else { return };
    let recordings = speech::spoken_digits(&folder.join("fsdd"), 6, 6);
    println!("{:?}", compare(&recordings));
}

#[test]
fn probe() {
    let models = [
        ("f16 64", SyntheticModel::smallest()),
        ("q8_0 128", SyntheticModel { n_state: 128, n_head: 2, n_audio_layer: 2, n_text_layer: 3, weights: Weights::Q8_0, ..SyntheticModel::smallest() }),
        ("f16 192 multi", SyntheticModel { n_state: 192, n_head: 3, n_audio_layer: 2, n_text_layer: 2, n_audio_ctx: 300, weights: Weights::F16, ..SyntheticModel::smallest() }.multilingual(false)),
        ("q5_1 96 multi cantonese", SyntheticModel { n_state: 96, n_head: 3, n_audio_layer: 1, n_text_layer: 1, n_audio_ctx: 250, weights: Weights::Q5_1, vocabulary: Vocabulary::Plain, ..SyntheticModel::smallest() }.multilingual(true)),
    ];
    let chirp: Vec<f32> = (0..64_000).map(|i| (i as f32 * i as f32 * 2e-6).sin() * 0.3).collect();
    for (name, model) in models {
        let bytes = model.bytes();
        let native = Native::load(&bytes, false);
        let (tokens, off) = native.state().follow(&chirp, "de", 40);
        let on = Native::load(&bytes, true).state().score(&chirp, "de", &tokens);
        let delta: Vec<f32> = off.iter().zip(&on).map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)).collect();
        let margins: Vec<f32> = off.iter().map(|l| { let (_, b, s) = native::top_two(l); b - s }).collect();
        println!("{name}: tokens {tokens:?}\n delta {delta:.4?}\n margins {margins:.3?}");
        for (variant, guest) in hearken::guests() {
            for stock in [false, true] {
                let t = std::time::Instant::now();
                let engine = Engine::builder().no_cache().guest(guest).stock_kernels(stock).build().expect("an engine");
                let model = load(&engine, &bytes);
                let t1 = t.elapsed();
                let scores = model.score(&chirp, Some("de"), &tokens).expect("scores");
                let best: Vec<f32> = scores.iter().zip(&off).map(|(s, l)| { let (t, b, se) = native::top_two(l); if t != s.token { 99.0 } else { (b - s.best).abs().max((se - s.second).abs()) } }).collect();
                println!(" {variant} {stock} {t1:?} {:?} {:?} {best:.4?}", t.elapsed(), best.iter().copied().fold(0.0, f32::max));
            }
        }
    }
}
