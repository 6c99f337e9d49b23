//! Several sessions at once on one engine, each with a share of its threads: one for each recording
//! that is named. What one of them does makes no other late beyond its share.
//!
//! `cargo run --release --example sessions -- one.wav two.wav`

use std::error::Error;
use std::path::Path;

use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Engine, Model, ModelSource, SAMPLE_RATE, Share, audio};

type Failure = Box<dyn Error + Send + Sync>;

fn caption(model: &Model, recording: &str) -> Result<(), Failure> {
    let mut source = audio::open(Path::new(recording))?;
    let options = SessionOptions::new(source.format()).share(Share::new(1));
    let mut session = Session::new(model, options)?;
    let print = |event| {
        if let SessionEvent::Final { words, .. } = event {
            let words: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
            println!("{recording}: {}", words.join(" "));
        }
    };
    let mut block = Vec::new();
    while source.read(&mut block)? > 0 {
        session.push(&block)?;
        // A recording comes faster than speech: beyond its backlog a session drops audio.
        while session.waiting() > 60 * u64::from(SAMPLE_RATE) {
            print(session.events().recv()?);
        }
    }
    session.finish()?;
    session.events().iter().for_each(print);
    Ok(())
}

fn main() -> Result<(), Failure> {
    let model = Engine::new()?.load(&ModelSource::Embedded)?;
    let recordings: Vec<String> = std::env::args().skip(1).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            recordings.iter().map(|recording| scope.spawn(|| caption(&model, recording))).collect();
        let ended = threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?);
        ended.collect()
    })
}
