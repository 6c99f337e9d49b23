//! Accuracy of word times: run by `make bench-words`, prints one table.
//!
//! Single words are joined with pauses of 0.1 to 0.5 s, so that it is known where each begins and
//! ends; the embedded model transcribes them offline, and streaming in steps of 500 ms.
//! `HEARKEN_DIGITS` names a folder with the recordings of the Free Spoken Digit Dataset; without it
//! espeak-ng speaks.

use std::path::Path;

use hearken::audio::{Format, Samples};
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Engine, Model, ModelSource, TranscribeOptions, Word};
use hearken_tests::random::Random;
use hearken_tests::scene::{Sentence, SpokenWord, TimeErrors, digits_of, words_of};

/// Sentences of each voice.
const SENTENCES: usize = 40;
const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

fn main() {
    // `cargo bench` passes this argument; a test runner is not to wait for the benchmark.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let voices: Vec<Vec<SpokenWord>> = match std::env::var_os("HEARKEN_DIGITS") {
        Some(folder) => digits_of(Path::new(&folder)),
        None => ["en-us", "en-gb", "en-us+f3", "en-gb+m3"].map(|voice| words_of(voice, DIGITS)).into(),
    };
    let model = Engine::new().and_then(|engine| engine.load(&ModelSource::Embedded)).expect("a model");
    let mut random = Random::new(3);
    let (mut offline, mut streaming) = (TimeErrors::default(), TimeErrors::default());
    for words in &voices {
        for _ in 0..SENTENCES {
            let words: Vec<&SpokenWord> =
                (0..3 + random.below(6)).map(|_| &words[random.below(words.len())]).collect();
            let sentence = Sentence::join(words, 100..500, &mut random);
            sentence.compare(&transcribe(&model, &sentence), &mut offline);
            sentence.compare(&stream(&model, &sentence), &mut streaming);
        }
    }
    println!("{} sentences of {} voices; errors in ms", SENTENCES * voices.len(), voices.len());
    println!("             words   right   start: median   90 %  largest     end: median   90 %  largest");
    for (name, errors) in [("offline", &offline), ("streaming", &streaming)] {
        let (start, end) = (errors.start().expect("words"), errors.end().expect("words"));
        println!(
            "{name:10} {:7} {:7} {:15.0} {:6.0} {:8.0} {:15.0} {:6.0} {:8.0}",
            errors.said,
            errors.starts.len(),
            start.median,
            start.p90,
            start.max,
            end.median,
            end.p90,
            end.max
        );
    }
}

fn transcribe(model: &Model, sentence: &Sentence) -> Vec<Word> {
    let mut source = Samples::new(sentence.samples.clone(), Format::MODEL).expect("a valid format");
    let transcript = model.transcribe(&mut source, &TranscribeOptions::new(), |_| {}).expect("a transcript");
    transcript.segments.into_iter().flat_map(|segment| segment.words).collect()
}

fn stream(model: &Model, sentence: &Sentence) -> Vec<Word> {
    let mut session = Session::driven(model, SessionOptions::new(Format::MODEL)).expect("a session");
    for block in sentence.samples.chunks(320) {
        session.push(block).expect("it is taken");
        while session.decode_pending().is_some() {}
    }
    session.finish().expect("it has not ended");
    while session.decode_pending().is_some() {}
    let finals = session.events().iter().filter_map(|event| match event {
        SessionEvent::Final { words, .. } => Some(words),
        _ => None,
    });
    finals.flatten().collect()
}
