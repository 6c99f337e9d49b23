//! Transcribes a recording, and prints its segments with their times.
//!
//! `cargo run --release --example file -- talk.mp3 [ggml-base.en.bin]`

use std::error::Error;
use std::path::Path;

use hearken::{Engine, ModelSource, TranscribeOptions, seconds};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let recording = arguments.next().ok_or("usage: file RECORDING [MODEL]")?;
    let source = arguments.next().map_or(ModelSource::Embedded, |path| ModelSource::File(path.into()));

    let model = Engine::new()?.load(&source)?;
    let transcript = model.transcribe_file(Path::new(&recording), &TranscribeOptions::new())?;
    for segment in &transcript.segments {
        println!("{:8.2} {:8.2}  {}", seconds(segment.start), seconds(segment.end), segment.text);
    }
    for lost in &transcript.lost {
        eprintln!("{:8.2} {:8.2}  lost: {}", seconds(lost.start), seconds(lost.end), lost.reason);
    }
    Ok(())
}
