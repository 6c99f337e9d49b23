//! Captions the microphone until Enter is pressed.
//!
//! `cargo run --release --features capture --example captions [-- ggml-base.en.bin]`

use std::error::Error;

use hearken::capture::{Capture, Input, Pump, System};
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Engine, ModelSource};

fn main() -> Result<(), Box<dyn Error>> {
    let source = std::env::args().nth(1).map_or(ModelSource::Embedded, |path| ModelSource::File(path.into()));
    let model = Engine::new()?.load(&source)?;

    let capture = Capture::open(&System::new()?, &Input::Microphone)?;
    eprintln!("listening to {}; Enter ends it", capture.device().name);
    let session = Session::new(&model, SessionOptions::new(capture.format()))?;
    let events = session.events().clone();
    // Moves audio from the device into the session, on a thread of its own.
    let mut pump = Pump::start(capture, session)?;

    let captions = std::thread::spawn(move || {
        for event in events {
            if let SessionEvent::Final { words, .. } = event {
                let words: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
                println!("{}", words.join(" "));
            }
        }
    });
    std::io::stdin().read_line(&mut String::new())?;
    pump.stop();
    pump.join()?;
    captions.join().map_err(|_| "the captions' thread panicked")?;
    Ok(())
}
