//! Loads a model from a stranger, in limits that are tighter than the default ones: the file is
//! checked before memory is taken, and parsed inside the sandbox.
//!
//! `cargo run --release --example untrusted_model -- model.bin talk.wav`

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use hearken::sandbox::Limits;
use hearken::{Engine, ModelSource, TranscribeOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(recording)) = (arguments.next(), arguments.next()) else {
        return Err("usage: untrusted_model MODEL RECORDING".into());
    };
    let limits = Limits::default()
        .memory_bytes(1 << 30)
        .cpu_to_load(Duration::from_secs(60))
        .cpu_per_call(Duration::from_secs(10));
    // Of models that nobody will use again nothing is kept.
    let engine = Engine::builder().limits(limits).no_cache().build()?;
    // The error says what is wrong with the file, and where.
    let model = engine.load(&ModelSource::File(model.into())).map_err(|error| format!("refused: {error}"))?;
    let transcript = model.transcribe_file(Path::new(&recording), &TranscribeOptions::new())?;
    println!("{}", transcript.text());
    for lost in &transcript.lost {
        println!("lost: {}", lost.reason);
    }
    Ok(())
}
