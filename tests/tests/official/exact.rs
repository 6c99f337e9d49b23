//! `exact` gives native whisper.cpp's text and tokens, without forcing either. Native results are
//! recorded (`hearken_tests::recorded`); a sixteenth of them is made again in each run.

use std::fs;

use hearken::{Compute, Engine, ModelSource};
use hearken_tests::command;
use hearken_tests::official::official;
use hearken_tests::prompts::{self, Prompt};
use hearken_tests::reference::Reference;
use hearken_tests::speech::Recording;

/// A recording of this length does not fit one window of Whisper, which is 30 s.
const JOINED_SECONDS: f32 = 45.0;

fn recordings(prompts: Vec<Prompt>) -> Vec<Recording> {
    prompts.into_iter().map(|prompt| prompt.recording).collect()
}

/// Compares an official model with native whisper.cpp.
fn hold(model: &str, compute: Compute, language: &str, form: &str, recordings: &[Recording]) {
    let Some(path) = official(model) else { return };
    let bytes = fs::read(&path).expect("a model of the store");
    let engine = Engine::builder().cache_dir(command::cache()).compute(compute).build().expect("an engine");
    let hearken = engine.load(&ModelSource::File(path)).expect("hearken loads it");
    let seconds: f32 = recordings
        .iter()
        .map(|recording| recording.samples.len() as f32 / recording.format.sample_rate as f32)
        .sum();
    let what = format!("{model}, {compute}, {form} ({language}, {seconds:.0} s)");
    let records = format!("{model}-{language}-{form}-{}", recordings.len());
    Reference::new(&bytes, language).with_records(&records).hold(&what, &hearken, recordings);
}

/// Each prompt is a window of its own.
fn one_by_one(model: &str, language: &str, count: usize) {
    hold(model, Compute::Exact, language, "alone", &recordings(prompts::sentences(language, count)));
}

/// The same prompts in recordings of several windows.
fn joined(model: &str, compute: Compute, language: &str, count: usize) {
    let prompts = prompts::sentences(language, count);
    hold(model, compute, language, "joined", &recordings(prompts::joined(&prompts, JOINED_SECONDS)));
}

#[test]
fn tiny_en_hears_english_prompts_as_native() {
    one_by_one("tiny.en", "en", 112);
}

#[test]
fn tiny_en_hears_long_english_recordings_as_native() {
    joined("tiny.en", Compute::Exact, "en", 112);
}

/// All arithmetic inside the sandbox: slow, so less of it.
#[test]
fn tiny_en_inside_the_sandbox_hears_long_recordings_as_native() {
    joined("tiny.en", Compute::Guest, "en", 12);
}

#[test]
fn base_hears_spanish_and_french_prompts_as_native() {
    one_by_one("base", "es", 10);
    one_by_one("base", "fr", 10);
}

#[test]
fn base_hears_italian_and_russian_prompts_as_native() {
    one_by_one("base", "it", 10);
    one_by_one("base", "ru", 10);
}

#[test]
fn base_hears_long_recordings_in_five_languages_as_native() {
    for (language, count) in [("en", 24), ("es", 10), ("fr", 10), ("it", 10), ("ru", 10)] {
        joined("base", Compute::Exact, language, count);
    }
}
