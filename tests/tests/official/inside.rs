//! All arithmetic inside the sandbox, as in a browser: the words of the host's own arithmetic, in
//! streams, in every language, with prompts, and where the decoder tries again.

use std::time::Duration;

use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Compute, Engine, Model, ModelSource};
use hearken_tests::command;
use hearken_tests::official::official;
use hearken_tests::prompts;
use hearken_tests::random::noise;
use hearken_tests::speech::Recording;
use hearken_tests::wav;

fn loaded(model: &str, compute: Compute) -> Option<Model> {
    let path = official(model)?;
    let engine = Engine::builder().cache_dir(command::cache()).compute(compute).build().expect("an engine");
    Some(engine.load(&ModelSource::File(path)).expect("hearken loads it"))
}

/// Final texts of a stream, utterance by utterance, and the number of partial ones.
fn streamed(model: &Model, recording: &Recording) -> (Vec<String>, usize) {
    // Far less often than in the page: this is slow.
    let options = SessionOptions::new(recording.format).step(Duration::from_secs(2));
    let mut session = Session::driven(model, options).expect("a session");
    for block in recording.samples.chunks(recording.format.sample_rate as usize / 10) {
        session.push(block).expect("room");
        while session.decode_pending().is_some() {}
    }
    session.finish().expect("room");
    while session.decode_pending().is_some() {}
    let (mut texts, mut partial) = (Vec::new(), 0);
    for event in session.events().iter() {
        match event {
            SessionEvent::Final { words, .. } => {
                let words: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
                texts.push(words.join(" "));
            }
            SessionEvent::Partial { .. } => partial += 1,
            SessionEvent::Dropped { reason, .. } => panic!("{reason}"),
            _ => {}
        }
    }
    (texts, partial)
}

/// Compares streams of several utterances.
fn stream(model: &str, language: &str, count: usize) {
    let (Some(inside), Some(outside)) = (loaded(model, Compute::Guest), loaded(model, Compute::Exact)) else {
        return;
    };
    let prompts = prompts::sentences(language, count);
    for joined in prompts::joined(&prompts, 20.0) {
        let (texts, partial) = streamed(&inside, &joined.recording);
        assert!(texts.len() > 1 && partial > texts.len(), "{partial} partial, {texts:?}");
        assert_eq!(texts, streamed(&outside, &joined.recording).0, "{model} {language}");
    }
}

#[test]
fn streams_of_tiny_en_have_the_words_of_the_hosts_arithmetic() {
    stream("tiny.en", "en", 3);
}

#[test]
fn streams_of_base_have_the_words_of_the_hosts_arithmetic_in_a_language_that_is_detected() {
    stream("base", "es", 2);
}

/// Output of `hearken file`.
fn file(model: &str, compute: &str, recording: &Recording, options: &[&str]) -> Option<String> {
    let model = official(model)?;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("talk.wav");
    let bytes = wav::pcm16(&recording.samples, recording.format.sample_rate, recording.format.channels);
    std::fs::write(&path, bytes).expect("a recording");
    let paths = [model.to_str().expect("text"), path.to_str().expect("text")];
    let arguments = [&["file", "--compute", compute, "--model"], &paths[..], options].concat();
    Some(command::fine(&mut command::hearken(&arguments)))
}

#[test]
fn a_prompt_has_scores_for_each_of_its_tokens() {
    let recording = prompts::joined(&prompts::sentences("en", 3), 20.0).swap_remove(0).recording;
    for words in [20, 200] {
        // More than whisper.cpp takes, at last.
        let prompt =
            "Mister Quilter is the apostle of the middle classes, and we are glad. ".repeat(words / 8);
        let options = ["--language", "en", "--prompt", &prompt];
        let Some(inside) = file("tiny.en", "guest", &recording, &options) else { return };
        assert_eq!(Some(inside), file("tiny.en", "exact", &recording, &options), "{words} words");
    }
}

#[test]
fn a_decoder_that_tries_again_with_five_candidates_ends_well() {
    // Noise, which no text fits: all temperatures are tried, each with five candidates.
    let speech = prompts::sentences("en", 1).swap_remove(0).recording;
    let noise = noise(0.3).take(12 * speech.format.sample_rate as usize);
    let samples = noise.chain(speech.samples.iter().copied()).collect();
    let recording = Recording { samples, ..speech };
    let options = ["--no-vad", "--language", "en"];
    let Some(text) = file("tiny.en", "guest", &recording, &options) else { return };
    assert!(!text.trim().is_empty());
}
