//! Recognition: speech where somebody speaks, words at their times, and nothing where nobody says
//! anything.

mod activity;
mod hallucination;
mod repeated;
mod times;

use std::sync::LazyLock;

use hearken::audio::Format;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Engine, Model, ModelSource, Word};

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    Engine::new().expect("an engine").load(&ModelSource::Embedded).expect("the embedded model")
});

const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// Words that a session recognizes in 16 kHz audio, and its number of utterances.
fn stream(audio: &[f32]) -> (Vec<Word>, usize) {
    let mut session = Session::driven(&MODEL, SessionOptions::new(Format::MODEL)).expect("a session");
    for block in audio.chunks(320) {
        session.push(block).expect("it is taken");
        while session.decode_pending().is_some() {}
    }
    session.finish().expect("it has not ended");
    while session.decode_pending().is_some() {}
    let (mut said, mut utterances) = (Vec::new(), 0);
    for event in session.events() {
        match event {
            // What was shown for certain counts, whatever became of it.
            SessionEvent::Partial { committed, .. } => said.extend(committed),
            SessionEvent::Final { words, .. } => {
                utterances += 1;
                said.retain(|word: &Word| words.first().is_none_or(|first| word.start < first.start));
                said.extend(words);
            }
            SessionEvent::Dropped { reason, .. } => panic!("something was lost: {reason}"),
            _ => {}
        }
    }
    (said, utterances)
}

fn text(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}
