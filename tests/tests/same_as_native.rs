//! What the sandbox hears is what whisper.cpp hears outside it.
//!
//! Both sides get the same samples: hearken's own audio path cuts the chunks. Where they may differ is where rounding
//! decides, and how far that carries is measured, between two native builds ([`rounding`]).

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use hearken::audio::Format;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Compute, Engine, Model, ModelSource, Score, TranscribeOptions, Transcript};
use hearken_native::{Native, top_two};
use hearken_tests::model::{SyntheticModel, Weights};

use hearken_tests::rounding;
use hearken_tests::speech::{self, Recording};

/// The thresholds by which hearken takes a window for silence (OpenAI's), whatever words were found in it.
const NO_SPEECH: f32 = 0.6;
const LOGPROB: f32 = -1.0;

/// An English model's end of text; the tokens before it are text.
const END_OF_TEXT: u32 = 50_256;

fn load(engine: &Engine, model: &[u8]) -> Model {
    engine.load(&ModelSource::Bytes(model.into())).expect("hearken loads it")
}

/// What native whisper.cpp makes of a recording, chunk by chunk, less what hearken's rule takes for silence.
struct Expected {
    text: Vec<String>,
    chunks: Vec<(Vec<f32>, Vec<u32>)>,
    /// Segments that were silence by that rule.
    silent: usize,
    /// Tokens were drawn at random in some chunk. The generator is the C++ standard's, but what a draw makes of its
    /// numbers is each library's own, so that the text may differ without either being wrong.
    fell_back: bool,
}

impl Expected {
    fn new(native: &Native, recording: &Recording, context: usize) -> Self {
        let mut expected = Self { text: Vec::new(), chunks: Vec::new(), silent: 0, fell_back: false };
        for chunk in recording.chunks(context) {
            let heard = native.state().hear(&chunk.samples);
            expected.fell_back |= heard.fell_back;
            let mut tokens = Vec::new();
            for segment in heard.segments {
                if heard.no_speech > NO_SPEECH && segment.avg_logprob < LOGPROB {
                    expected.silent += 1;
                } else if !segment.text.is_empty() {
                    tokens.extend(segment.tokens);
                    expected.text.push(segment.text);
                }
            }
            expected.chunks.push((chunk.samples, tokens));
        }
        expected
    }

    fn tokens(&self) -> Vec<u32> {
        self.chunks.iter().flat_map(|(_, tokens)| tokens).copied().collect()
    }

    /// Whether native whisper.cpp, where `found` first says something else, is undecided: the two tokens' logits are
    /// no farther from each other than one native build is from another.
    fn undecided(&self, native: &Native, model: &[u8], mut found: &[u32]) -> bool {
        for (samples, tokens) in &self.chunks {
            if let Some(rest) = found.strip_prefix(&tokens[..]) {
                found = rest;
                continue;
            }
            let Some(at) = tokens.iter().zip(found).position(|(expected, found)| expected != found) else {
                return false;
            };
            let epsilon = rounding::of_margins(model, samples, "en", &tokens[..at]);
            let logits = native.state().score(samples, "en", &tokens[..at]);
            let last = &logits[logits.len() - 1];
            return last[tokens[at] as usize] - last[found[at] as usize] <= epsilon;
        }
        false
    }
}

/// What was compared, and what not.
#[derive(Debug, Default)]
struct Tally {
    recordings: usize,
    tokens: usize,
    /// Segments that the rule takes for silence, and hearken did too.
    silent: usize,
    /// The same text, but another time where native whisper.cpp itself is undecided.
    undecided: usize,
    /// Not compared: native whisper.cpp fell back to drawing tokens at random.
    skipped: usize,
}

/// Transcribes recordings with the embedded model on both sides: natively, and in each way that is to be the same.
fn compare(what: &str, recordings: &[Recording]) {
    let bytes = hearken::model::embedded().expect("the embedded model");
    let ways = [Compute::Exact, Compute::Guest];
    let models = ways.map(|compute| {
        let engine = Engine::builder().no_cache().compute(compute).build().expect("an engine");
        load(&engine, &bytes)
    });
    let native = Native::load(&bytes);
    let options =
        TranscribeOptions { language: Some("en".to_owned()), verbatim: true, ..TranscribeOptions::new() };
    let context = models[0].context_samples();
    let (expected, found) = thread::scope(|scope| {
        let reference = |recording: &Recording| Expected::new(&native, recording, context);
        let expected = scope.spawn(move || recordings.iter().map(reference).collect::<Vec<_>>());
        let found = models.each_ref().map(|model| {
            let transcribe = |recording: &Recording| {
                model.transcribe(&mut recording.source(), &options, |_| {}).expect("a transcript")
            };
            recordings.iter().map(transcribe).collect::<Vec<_>>()
        });
        (expected.join().expect("the reference"), found)
    });
    for (compute, found) in ways.into_iter().zip(found) {
        hold_to_native(&format!("{what}, {compute}"), &bytes, &native, recordings, &expected, found);
    }
}

fn hold_to_native(
    what: &str,
    bytes: &[u8],
    native: &Native,
    recordings: &[Recording],
    expected: &[Expected],
    found: Vec<Transcript>,
) {
    let (mut tally, mut wrong) = (Tally::default(), String::new());
    for ((recording, expected), transcript) in recordings.iter().zip(expected).zip(found) {
        assert!(transcript.lost.is_empty(), "{}: {:?}", recording.name, transcript.lost);
        if expected.fell_back {
            tally.skipped += 1;
            continue;
        }
        let text = (expected.text.join(" "), transcript.text());
        let found: Vec<u32> = transcript.segments.into_iter().flat_map(|segment| segment.tokens).collect();
        let tokens = (expected.tokens(), found);
        let is_text = |token: &&u32| **token < END_OF_TEXT;
        tally.recordings += 1;
        tally.tokens += tokens.0.len();
        tally.silent += expected.silent;
        if text.0 != text.1 || !tokens.0.iter().filter(is_text).eq(tokens.1.iter().filter(is_text)) {
            let _ = writeln!(
                wrong,
                "{}: another text:\n  native  {:?}\n  hearken {:?}",
                recording.name, text.0, text.1
            );
        } else if tokens.0 != tokens.1 {
            if expected.undecided(native, bytes, &tokens.1) {
                tally.undecided += 1;
            } else {
                let _ = writeln!(
                    wrong,
                    "{}: other times:\n  native  {:?}\n  hearken {:?}",
                    recording.name, tokens.0, tokens.1
                );
            }
        }
    }
    println!("{what}: {tally:?}");
    assert!(wrong.is_empty(), "{what}: {tally:?}, but\n{wrong}");
    assert!(tally.skipped * 8 <= recordings.len(), "{what}: too little was compared: {tally:?}");
    assert!(tally.undecided * 8 <= recordings.len(), "{what}: too much hangs on rounding: {tally:?}");
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
    compare("synthesised speech", &recordings);
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

/// Streaming has a decoder of its own. Where one window holds all of an utterance, and nothing was said of it before, it has
/// to say what `whisper_full` does.
fn stream(what: &str, recordings: &[Recording]) {
    let bytes = hearken::model::embedded().expect("the embedded model");
    let engine = Engine::builder().no_cache().compute(Compute::Exact).build().expect("an engine");
    let (model, native) = (load(&engine, &bytes), Native::load(&bytes));
    let options = SessionOptions {
        // What is heard on the way to the end commits nothing.
        commit: "agreement:9".parse().expect("a policy"),
        voice_activity: None,
        step: Duration::from_secs(60),
        ..SessionOptions::new(Format::MODEL)
    };
    let (mut compared, mut words) = (0, 0);
    for recording in recordings {
        for chunk in recording.chunks(model.context_samples()) {
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
    stream("synthesised speech", &recordings);
    if let Some(folder) = speech::recordings() {
        stream("spoken digits", &speech::spoken_digits(&folder.join("fsdd"), 9, 4));
    }
}

/// Tokens that native whisper.cpp says when it is forced to what it finds likeliest, and how sure it is of them.
struct Forced {
    samples: Vec<f32>,
    tokens: Vec<u32>,
    logits: Vec<Vec<f32>>,
    /// How far rounding moves a margin.
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

    /// How far the best two logits are from the native ones, at each position.
    fn differences(&self, found: impl IntoIterator<Item = (u32, f32, f32)>) -> Vec<f32> {
        let of_one = |((_, first, runner_up), logits): ((u32, f32, f32), &Vec<f32>)| {
            let (_, best, second) = top_two(logits);
            (first - best).abs().max((runner_up - second).abs())
        };
        found.into_iter().zip(&self.logits).map(of_one).collect()
    }

    /// Holds the sandbox's answers against the native ones, wherever the margin is wider than rounding moves it.
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

/// Scores `model` in the default build of the sandbox, or in all four.
fn agree(name: &str, model: &SyntheticModel, all: bool) {
    let bytes = model.bytes();
    let forced = Forced::new(&bytes);
    for (variant, guest) in hearken::guests() {
        for compute in [Compute::Exact, Compute::Guest, Compute::Stock] {
            let default = compute != Compute::Stock && variant == hearken::guest_info().variant;
            if !all && !default {
                continue;
            }
            let engine =
                Engine::builder().no_cache().guest(guest).compute(compute).build().expect("an engine");
            let scores =
                load(&engine, &bytes).score(&forced.samples, Some("de"), &forced.tokens).expect("scores");
            forced.hold(&format!("{name}, {variant} guest, {compute}"), &scores);
        }
    }
}

#[test]
fn half_precision_chooses_the_same_tokens_in_every_build() {
    agree("f16", &medium(), true);
}

#[test]
fn quantised_weights_choose_the_same_tokens_in_every_build() {
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

/// `fast` rounds the weights of a half-precision model as whoever quantises it does: it is to be no farther from native than
/// the quantised model is, natively.
#[test]
fn fast_is_no_farther_from_native_than_quantised_weights_are() {
    for (name, model) in [("f16", medium()), ("f16, multilingual", medium().multilingual(false))] {
        let forced = Forced::new(&model.bytes());
        let quantised = SyntheticModel { weights: Weights::Q8_0, ..model.clone() };
        let native = Native::load(&quantised.bytes());
        let logits = native.state().score(&forced.samples, "de", &forced.tokens);
        let quantised = logits.iter().map(|logits| top_two(logits));
        let engine = Engine::builder().no_cache().compute(Compute::Fast).build().expect("an engine");
        let fast =
            load(&engine, &model.bytes()).score(&forced.samples, Some("de"), &forced.tokens).expect("scores");
        let (fast, quantised) = (forced.differences(top(&fast)), forced.differences(quantised));
        let mean = |differences: &[f32]| differences.iter().sum::<f32>() / differences.len() as f32;
        println!(
            "{name}, {}: the best two logits differ by {:.4} on average; those of native q8_0 by {:.4}",
            engine.describe_compute(),
            mean(&fast),
            mean(&quantised)
        );
        assert!(mean(&fast) <= 1.25 * mean(&quantised), "{name}");
    }
}
