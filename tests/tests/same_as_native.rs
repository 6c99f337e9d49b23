//! Equality with native: the sandbox's results are those of whisper.cpp outside of it.
//!
//! Both sides get the same samples: hearken's own audio path cuts the chunks. Where they may differ
//! is where rounding decides, and how far that carries is measured, between two native builds
//! ([`rounding`]).

use std::time::Duration;

use hearken::audio::Format;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::testing::Score;
use hearken::{Compute, Engine, Model, ModelSource};
use hearken_native::{Native, top_two};
use hearken_tests::command;
use hearken_tests::model::{SyntheticModel, Weights};
use hearken_tests::reference::Reference;
use hearken_tests::rounding;
use hearken_tests::speech::{self, Recording};

fn load(engine: &Engine, model: &[u8]) -> Model {
    engine.load(&ModelSource::Bytes(model.into())).expect("hearken loads it")
}

/// Transcribes recordings with the embedded model on both sides, in each way that is to be the
/// same.
fn compare(what: &str, recordings: &[Recording]) {
    let bytes = hearken::model::embedded().expect("the embedded model");
    let reference = Reference::new(&bytes, "en");
    for compute in [Compute::Exact, Compute::Guest] {
        let engine =
            Engine::builder().cache_dir(command::cache()).compute(compute).build().expect("an engine");
        reference.hold(&format!("{what}, {compute}"), &load(&engine, &bytes), recordings);
    }
}

#[test]
fn synthesized_speech_reads_the_same() {
    let mut recordings = Vec::new();
    for voice in ["en-gb", "en-us", "en-gb-scotland", "en-us+f3"] {
        for speed in [120, 160] {
            recordings.push(speech::espeak(voice, speed, "three one four one five nine two"));
            recordings.push(speech::espeak(voice, speed, "zero eight. six, seven"));
        }
    }
    compare("synthesized speech", &recordings);
}

/// Needs recordings that are not part of this workspace, and says so when they are not there.
#[test]
fn spoken_digits_read_the_same() {
    let Some(folder) = speech::recordings() else {
        println!("spoken digits: no recordings beside the workspace, nothing was compared");
        return;
    };
    compare("spoken digits", &speech::spoken_digits(&folder.join("fsdd"), 6, 6));
}

/// The embedded model's window slides when it is longer.
const LONGEST_WINDOW: usize = 4 * 16_000;

/// Streaming has a decoder of its own. Where one window holds all of an utterance, and nothing was
/// said of it before, it has to say what `whisper_full` does.
fn stream(what: &str, recordings: &[Recording]) {
    let bytes = hearken::model::embedded().expect("the embedded model");
    let engine =
        Engine::builder().cache_dir(command::cache()).compute(Compute::Exact).build().expect("an engine");
    let (model, native) = (load(&engine, &bytes), Native::load(&bytes));
    let options = SessionOptions::new(Format::MODEL)
        // What is heard on the way to the end commits nothing.
        .commit("agreement:9".parse().expect("a policy"))
        .voice_activity(None)
        .step(Duration::from_secs(60));
    let (mut compared, mut words) = (0, 0);
    for recording in recordings {
        for chunk in recording.chunks(model.chunk_samples()) {
            // Longer ones are more than one window.
            if chunk.samples.len() > LONGEST_WINDOW {
                continue;
            }
            let heard = native.state().hear(&chunk.samples);
            if heard.fell_back {
                continue;
            }
            let expected: Vec<&str> =
                heard.segments.iter().flat_map(|segment| segment.text.split_whitespace()).collect();
            let mut session = Session::driven(&model, options.clone()).expect("a session");
            session.begin().expect("a key to press");
            session.push(&chunk.samples).expect("whole frames");
            session.finish().expect("an end");
            while session.decode_pending().is_some() {}
            let found: Vec<String> = (session.events().try_iter())
                .filter_map(
                    |event| if let SessionEvent::Final { words, .. } = event { Some(words) } else { None },
                )
                .flat_map(|words| words.into_iter().map(|word| word.text))
                .collect();
            assert_eq!(found, expected, "{what}, {}", recording.name);
            compared += 1;
            words += found.len();
        }
    }
    println!("{what}: {words} words in {compared} windows");
    assert!(compared * 8 >= recordings.len() * 6, "{what}: only {compared} were compared");
}

#[test]
fn a_window_is_streamed_as_whisper_full_hears_it() {
    let mut recordings = Vec::new();
    for voice in ["en-gb", "en-us", "en-gb-scotland", "en-us+f3"] {
        recordings.push(speech::espeak(voice, 120, "three one four one five nine two"));
        recordings.push(speech::espeak(voice, 160, "zero eight. six, seven"));
        recordings.push(speech::espeak(voice, 140, "zero zero zero zero"));
    }
    stream("synthesized speech", &recordings);
    if let Some(folder) = speech::recordings() {
        stream("spoken digits", &speech::spoken_digits(&folder.join("fsdd"), 9, 4));
    }
}

/// Tokens that native whisper.cpp says when it is forced to what it finds likeliest, and how sure
/// it is of them.
struct Forced {
    samples: Vec<f32>,
    tokens: Vec<u32>,
    logits: Vec<Vec<f32>>,
    /// Maximum movement of a margin by rounding.
    epsilon: f32,
}

/// The likeliest token, its logit and the second best, as [`top_two`] has them.
fn top(scores: &[Score]) -> impl Iterator<Item = (u32, f32, f32)> {
    scores.iter().map(|score| (score.token, score.best, score.second))
}

impl Forced {
    fn new(model: &[u8]) -> Self {
        // A chirp from 0 to 2.6 kHz.
        let samples: Vec<f32> = (0..64_000).map(|n| (n as f32 * n as f32 * 8e-6).sin() * 0.3).collect();
        let native = Native::load(model);
        let (tokens, logits) = native.state().follow(&samples, "de", 40);
        Self { epsilon: rounding::of_margins(model, &samples, "de", &tokens), samples, tokens, logits }
    }

    /// Distances of the best two logits from the native ones, at each position.
    fn differences(&self, found: impl IntoIterator<Item = (u32, f32, f32)>) -> Vec<f32> {
        let of_one = |((_, first, runner_up), logits): ((u32, f32, f32), &Vec<f32>)| {
            let (_, best, second) = top_two(logits);
            (first - best).abs().max((runner_up - second).abs())
        };
        found.into_iter().zip(&self.logits).map(of_one).collect()
    }

    /// Holds the sandbox's answers against the native ones, wherever the margin is wider than
    /// rounding moves it.
    fn hold(&self, what: &str, scores: &[Score]) {
        assert_eq!(scores.len(), self.logits.len(), "{what}");
        let farthest = self.differences(top(scores)).into_iter().fold(0f32, f32::max);
        let mut compared = 0;
        for (position, (score, logits)) in scores.iter().zip(&self.logits).enumerate() {
            let (token, best, second) = top_two(logits);
            if best - second > self.epsilon {
                compared += 1;
                assert_eq!(score.token, token, "{what}: position {position}, margin {}", best - second);
            }
        }
        println!(
            "{what}: the same token at {compared} positions, {} skipped with a margin under {:.4}; \
             the best two logits differ by {farthest:.4} at most",
            scores.len() - compared,
            self.epsilon,
        );
        assert!(compared * 3 >= scores.len(), "{what}: too little was compared");
        assert!(
            farthest <= self.epsilon,
            "{what}: the logits differ by {farthest}, native ones by {}",
            self.epsilon
        );
    }
}

fn small() -> SyntheticModel {
    SyntheticModel { n_audio_ctx: 256, ..SyntheticModel::smallest() }
}

fn medium() -> SyntheticModel {
    SyntheticModel { n_state: 128, n_head: 2, n_audio_layer: 2, n_text_layer: 3, n_audio_ctx: 512, ..small() }
}

/// Scores `model` in the sandbox, with hearken's kernels outside and inside, and as a control with
/// ggml's own.
fn agree(name: &str, model: &SyntheticModel, control: bool) {
    let bytes = model.bytes();
    let forced = Forced::new(&bytes);
    for compute in [Compute::Exact, Compute::Guest, Compute::Stock] {
        if compute == Compute::Stock && !control {
            continue;
        }
        let engine =
            Engine::builder().cache_dir(command::cache()).compute(compute).build().expect("an engine");
        let scores =
            load(&engine, &bytes).score(&forced.samples, Some("de"), &forced.tokens).expect("scores");
        forced.hold(&format!("{name}, {compute}"), &scores);
    }
}

#[test]
fn half_precision_chooses_the_same_tokens() {
    agree("f16", &medium(), true);
}

#[test]
fn quantized_weights_choose_the_same_tokens() {
    agree("q8_0", &SyntheticModel { weights: Weights::Q8_0, ..medium() }, true);
}

#[test]
fn other_dimensions_and_languages_choose_the_same_tokens() {
    let wide = SyntheticModel { n_state: 192, n_head: 3, n_audio_ctx: 300, ..medium() };
    agree("f16, one head", &small(), false);
    agree("f16, multilingual", &wide.multilingual(false), false);
    let narrow = SyntheticModel { n_state: 96, n_head: 3, ..small() };
    agree(
        "q5_1, 128 mel bands",
        &SyntheticModel { weights: Weights::Q5_1, ..narrow }.multilingual(true),
        false,
    );
    agree("q4_0", &SyntheticModel { weights: Weights::Q4_0, ..small() }, false);
}

/// `fast` rounds the weights of a half-precision model as quantization does: it is to be no farther
/// from native than the quantized model is, natively.
#[test]
fn fast_is_no_farther_from_native_than_quantized_weights_are() {
    for (name, model) in [("f16", medium()), ("f16, multilingual", medium().multilingual(false))] {
        let forced = Forced::new(&model.bytes());
        let quantized = SyntheticModel { weights: Weights::Q8_0, ..model.clone() };
        let native = Native::load(&quantized.bytes());
        let logits = native.state().score(&forced.samples, "de", &forced.tokens);
        let quantized = logits.iter().map(|logits| top_two(logits));
        let engine =
            Engine::builder().cache_dir(command::cache()).compute(Compute::Fast).build().expect("an engine");
        let fast =
            load(&engine, &model.bytes()).score(&forced.samples, Some("de"), &forced.tokens).expect("scores");
        let (fast, quantized) = (forced.differences(top(&fast)), forced.differences(quantized));
        let mean = |differences: &[f32]| differences.iter().sum::<f32>() / differences.len() as f32;
        println!(
            "{name}, {}: the best two logits differ by {:.4} on average; those of native q8_0 by {:.4}",
            engine.describe_compute(),
            mean(&fast),
            mean(&quantized)
        );
        assert!(mean(&fast) <= 1.25 * mean(&quantized), "{name}");
    }
}
