//! Transcribes audio that a program makes or fetches itself: a `Source` of one's own. This one
//! reads raw 16-bit PCM at 16 kHz from standard input.
//!
//! `arecord -f S16_LE -r 16000 -d 5 -t raw | cargo run --release --example source`

use std::error::Error;
use std::io::{Read, stdin};

use hearken::audio::{AudioError, Format, Source};
use hearken::{Engine, ModelSource, TranscribeOptions};

struct Raw<R> {
    input: R,
    frames: u64,
}

impl<R: Read + Send> Source for Raw<R> {
    fn format(&self) -> Format {
        Format { sample_rate: 16_000, channels: 1 }
    }

    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        block.clear();
        let mut bytes = Vec::new();
        let failed =
            |cause| AudioError::Read { name: "standard input".to_owned(), frames: self.frames, cause };
        self.input.by_ref().take(32_000).read_to_end(&mut bytes).map_err(failed)?;
        let (samples, _) = bytes.as_chunks();
        block.extend(samples.iter().map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0));
        self.frames += block.len() as u64;
        Ok(block.len())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = Engine::new()?.load(&ModelSource::Embedded)?;
    let print = |progress: hearken::Progress<'_>| eprintln!("{progress:?}");
    let transcript =
        model.transcribe(&mut Raw { input: stdin(), frames: 0 }, &TranscribeOptions::new(), print)?;
    println!("{}", transcript.text());
    Ok(())
}
