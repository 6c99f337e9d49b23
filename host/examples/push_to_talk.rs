//! Push-to-talk: the program says where an utterance begins and ends, and no voice activity does.
//! Here a recording is pushed, with the key down for each second half of two seconds.
//!
//! `cargo run --release --example push_to_talk -- talk.wav`

use std::error::Error;
use std::path::Path;

use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Engine, ModelSource, audio};

fn main() -> Result<(), Box<dyn Error>> {
    let recording = std::env::args().nth(1).ok_or("usage: push_to_talk RECORDING")?;
    let mut source = audio::open(Path::new(&recording))?;
    let (mut block, mut samples) = (Vec::new(), Vec::new());
    while source.read(&mut block)? > 0 {
        samples.extend_from_slice(&block);
    }

    let model = Engine::new()?.load(&ModelSource::Embedded)?;
    let format = source.format();
    let mut session = Session::new(&model, SessionOptions::new(format).voice_activity(None))?;
    let second = format.sample_rate as usize * usize::from(format.channels);
    for (number, piece) in samples.chunks(second).enumerate() {
        if number % 2 == 1 {
            session.begin()?;
        }
        session.push(piece)?;
        session.end()?;
    }
    session.finish()?;
    for event in session.events() {
        if let SessionEvent::Final { utterance, words, .. } = event {
            let words: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
            println!("{:8.2}  {}", hearken::seconds(utterance), words.join(" "));
        }
    }
    Ok(())
}
