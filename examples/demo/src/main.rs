//! Transcribes human speech in English, three times over: as text, as subtitles, and live.
//!
//! Run by `make demo`. With whisper.cpp's tiny.en, if the user's store has it (`make models` puts
//! it there), else with the small model inside hearken, which knows spoken digits and commands.

mod live;
mod recordings;
mod report;
mod subtitles;
mod text;

use std::error::Error;

use console::style;
use hearken::store::Store;
use hearken::{Engine, Model, ModelSource, Preparation};

use recordings::Recording;

/// The official model that the recordings are for.
const MODEL: &str = "tiny.en";

fn main() -> Result<(), Box<dyn Error>> {
    let (source, recordings) = choose()?;
    let engine = Engine::builder()
        .on_prepare(|step| {
            if let Preparation::Started { name } = step {
                println!("preparing {name} for the sandbox, once …");
            }
        })
        .build()?;
    let model = engine.load(&source)?;
    report::forget_peak();
    let name = if matches!(source, ModelSource::File(_)) { MODEL } else { "the small model inside hearken" };
    introduce(name, &model);
    let [first, second, third] = recordings;
    text::show(&model, &first)?;
    subtitles::show(&model, &second)?;
    live::show(&model, &third)?;
    Ok(())
}

/// Chooses the official model and human speech, or the small model and words that it knows.
fn choose() -> Result<(ModelSource, [Recording; 3]), Box<dyn Error>> {
    let missing = match (Store::open()?.find(MODEL), recordings::people()) {
        (Ok(stored), Ok(people)) => return Ok((ModelSource::File(stored.path), people)),
        (Err(_), _) => format!("{MODEL} is not in the store (`make models`)"),
        (_, Err(problem)) => problem.to_string(),
    };
    println!(
        "{missing}: this is the small model inside hearken, which knows English digits and commands and nothing else."
    );
    Ok((ModelSource::Embedded, recordings::digits_and_commands()?))
}

fn introduce(name: &str, model: &Model) {
    let threads = model.engine().threads();
    println!(
        "\n{}: whisper.cpp in a WebAssembly sandbox, {name}, {threads} threads",
        style("hearken").bold()
    );
}
