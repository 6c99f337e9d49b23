//! A recording as text.

use std::error::Error;
use std::time::Instant;

use hearken::{Model, TranscribeOptions};

use crate::recordings::Recording;
use crate::report::{self, Words};

pub(crate) fn show(model: &Model, recording: &Recording) -> Result<(), Box<dyn Error>> {
    report::heading("Text", recording);
    let started = Instant::now();
    let transcript = model.transcribe(&mut recording.source()?, &TranscribeOptions::new(), |_| {})?;
    let elapsed = started.elapsed();

    let words = Words::compare(&recording.said, &transcript.text());
    words.print();
    report::figures(&[words.error_rate(), report::speed(recording, elapsed), report::memory()]);
    Ok(())
}
